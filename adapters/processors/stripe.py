"""Stripe through its own SDK: the public verbs, then what is between them and Stripe.

An object is made first and confirmed when its id is committed; only manual capture; every POST has
an idempotency key of ours; nothing is ever repeated by the SDK. What is not known is `Unknown`.
"""

import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import msgspec

from adapters.processors import stripe_answers as answers
from adapters.processors import stripe_lists as lists
from adapters.processors import stripe_problems as problems
from adapters.processors import stripe_requests as requests
from adapters.processors.stripe_charges import charge_of
from adapters.processors.stripe_intents import Intents
from adapters.processors.stripe_money import to_stripe
from adapters.processors.stripe_observed import observed
from adapters.processors.stripe_problems import Json, Problem
from adapters.processors.stripe_sdk import API_URL, Call, Line, raw
from adapters.processors.stripe_webhooks import hints, verify
from adapters.processors.vendor_calls import understood
from commands.observed import Absent, ListedPage, Observed
from commands.outcomes import Declined, Outcome, Pending, Referenced, Succeeded, Unknown
from commands.processor import (
    AttemptCall,
    Capabilities,
    CheckoutProof,
    CredentialField,
    Credentials,
    Described,
    Hint,
    MoneyCall,
    Window,
)
from domain.events import Operation
from domain.metadata import Mode
from domain.money import Money
from domain.routing import RetryClass

READ_S: Final = 20.0


class StripeProcessor:
    """Stripe's PaymentIntents.

    Args:
        base_url: of the API, or of a sandbox; live keys go to the API only.
        read_s: longest silence of the server, in seconds.
        now: unix seconds, for the age of webhooks.
    """

    name: str = "stripe"
    capabilities: Capabilities = Capabilities(
        partial_capture=True,
        several_captures=False,
        void=True,
        closes_declined=False,
        collects=True,
    )
    fields: tuple[CredentialField, ...] = (
        CredentialField(name="secret_key", doc="Secret or restricted API key (sk_…, rk_…)."),
        CredentialField(
            name="publishable_key", doc="Publishable key (pk_…).", secret=False, required=False
        ),
        CredentialField(
            name="webhook_secret", doc="Signing secret of the endpoint (whsec_…).", required=False
        ),
    )

    def __init__(
        self,
        *,
        base_url: str = API_URL,
        read_s: float = READ_S,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._base_url = base_url
        self._line = Line(base_url, read_s)
        self._intents = Intents(self._line)
        self._now = now

    async def aclose(self) -> None:
        """Close the connections of this event loop."""
        await self._line.aclose()

    def takes(self, amount: Money) -> str | None:
        """Say why Stripe cannot charge exactly this amount."""
        try:
            to_stripe(amount)
        except ValueError:
            return "amount not representable"
        return None

    def account_of(self, credentials: Credentials, mode: Mode) -> str:
        """Return a fingerprint of the key; Stripe's keys do not name their account."""
        key = credentials.values.get("secret_key", "")
        if not key.startswith((f"sk_{mode}_", f"rk_{mode}_")):
            raise ValueError(f"a secret key of {mode} mode begins with sk_{mode}_ or rk_{mode}_")
        public = credentials.values.get("publishable_key")
        if public and not public.startswith(f"pk_{mode}_"):
            raise ValueError(f"a publishable key of {mode} mode begins with pk_{mode}_")
        if mode == "live" and self._base_url != API_URL:
            raise ValueError("live keys are not given to a sandbox: LOOP_STRIPE_BASE_URL is set")
        return f"stripe_{hashlib.sha256(key.encode()).hexdigest()[:16]}"

    async def describe(self, token: str, credentials: Credentials) -> Described:
        """Read the payment method of a `pm_…` token."""
        if not token.startswith("pm_"):
            return Described()
        method = await self._line.send(
            credentials,
            None,
            lambda client, options: client.v1.payment_methods.retrieve_async(token, {}, options),
        )
        card = None if isinstance(method, Problem) else method.get("card")
        return answers.described(card) if isinstance(card, dict) else Described()

    async def prepare(self, call: AttemptCall, credentials: Credentials) -> Referenced | Outcome:
        """Make the PaymentIntent; moves no money."""
        try:
            params = requests.creation(call)
        except ValueError as error:
            return Declined(
                code="amount_not_representable", retry_class="failover", message=str(error)
            )
        made = await self._line.send(
            credentials,
            f"{call.idempotency_key}:create",
            lambda client, options: raw(client, "post", "payment_intents", params, options),
        )
        return _refused(made) if isinstance(made, Problem) else understood(answers.made, made)

    async def authorize(
        self, call: AttemptCall, reference: str, credentials: Credentials
    ) -> Outcome:
        """Confirm the PaymentIntent: hold the money. Without a token the customer gives a card."""
        if call.token is None:
            return await self._current(reference, credentials)
        params = requests.confirmation(call)
        key = f"{call.idempotency_key}:confirm"
        pi = await self._intents.change("confirm", reference, params, credentials, key)
        if isinstance(pi, Problem):
            return _refused(pi)
        if pi[answers.REPLAYED] and pi.get("status") in {"processing", "requires_action"}:
            # That was so when the key was new.
            return await self._current(reference, credentials)
        return understood(answers.confirmed, pi, _public_key(credentials))

    async def capture(self, call: MoneyCall, credentials: Credentials) -> Outcome:
        """Take held money; what is left of the hold is released."""
        if not call.final:
            return Declined(code="several_captures_unsupported", retry_class="stop")
        try:
            params = requests.capture(call)
        except ValueError as error:
            return Declined(code="amount_not_representable", retry_class="stop", message=str(error))
        key = call.idempotency_key
        pi = await self._intents.change("capture", call.reference, params, credentials, key)
        if isinstance(pi, Problem):
            return problems.open_question(pi) or problems.refusal(pi, "capture_refused")
        return _happened(answers.capture, pi, "succeeded")

    async def void(self, call: MoneyCall, credentials: Credentials) -> Outcome:
        """Cancel the PaymentIntent: its hold is given back, and it can never charge again."""
        params, key = requests.cancellation(), call.idempotency_key
        pi = await self._intents.change("cancel", call.reference, params, credentials, key)
        if isinstance(pi, Problem) and pi.unexpected_state:
            # The refusal may be a replay of what was so when the key was new.
            current = await self._intents.get(call.reference, credentials)
            status = None if isinstance(current, Problem) else current.get("status")
            if status == "processing":
                return Pending(look_again_s=answers.LOOK_AGAIN_S)
            if status in requests.ALLOWED["cancel"]:
                key = f"{call.idempotency_key}:{status}"
                pi = await self._intents.change("cancel", call.reference, params, credentials, key)
        if isinstance(pi, Problem):
            return problems.open_question(pi) or problems.refusal(pi, "void_refused")
        return _happened(answers.release, pi, "canceled")

    async def refund(self, call: MoneyCall, credentials: Credentials) -> Outcome:
        """Send captured money back."""
        try:
            params = requests.refund(call)
        except ValueError as error:
            return Declined(code="amount_not_representable", retry_class="stop", message=str(error))
        refund = await self._line.send(
            credentials,
            call.idempotency_key,
            lambda client, options: raw(client, "post", "refunds", params, options),
        )
        if isinstance(refund, Problem):
            return problems.open_question(refund) or problems.refusal(refund, "refund_refused")
        if refund.get("status") != "succeeded":
            refund_id = str(refund.get("id"))
            current = await self._line.send(
                credentials,
                None,
                lambda client, options: client.v1.refunds.retrieve_async(refund_id, {}, options),
            )
            refund = refund if isinstance(current, Problem) else current
        return understood(answers.refunded, refund, call.payment_id)

    async def lookup(
        self, reference: str, operation: Operation, credentials: Credentials
    ) -> Observed | Absent | Unknown:
        """Read the PaymentIntent with its charge and, once money was taken, its refunds."""
        del operation
        pi = await self._intents.get(reference, credentials)
        if isinstance(pi, Problem):
            missing = pi.status == 404 and pi.code == "resource_missing"  # noqa: PLR2004 - HTTP
            return Absent() if missing else Unknown(cause=pi.cause)
        only: Any = {"payment_intent": reference, "limit": 100}
        refunds: list[Json] | Problem = []
        if pi.get("status") == "succeeded" or pi.get("amount_received"):
            refunds = await self._line.listed(
                credentials, lambda client, options: client.v1.refunds.list_async(only, options)
            )
        disputes: list[Json] | Problem = []
        if understood(lambda: charge_of(pi).get("disputed")) is True:
            disputes = await self._line.listed(
                credentials, lambda client, options: client.v1.disputes.list_async(only, options)
            )
        if isinstance(refunds, Problem) or isinstance(disputes, Problem):
            return Unknown(cause="the refunds or disputes cannot be listed")
        return understood(observed, pi, refunds, _public_key(credentials), disputes)

    async def listed(self, window: Window, credentials: Credentials) -> ListedPage | Unknown:
        """List the PaymentIntents of a time, 100 a page."""
        params = lists.query(window)
        found = await self._line.send(
            credentials,
            None,
            lambda client, options: client.v1.payment_intents.list_async(params, options),
        )
        if isinstance(found, Problem):
            return Unknown(cause=found.cause)
        return understood(lists.page, found)

    def parse_webhook(
        self, raw: bytes, headers: Mapping[str, str], secrets: Sequence[str]
    ) -> list[Hint]:
        """Verify the signature and its age, then say which PaymentIntent to look at."""
        try:
            verify(raw, headers, secrets, self._now())
            return hints(msgspec.json.decode(raw))
        except Exception as error:  # noqa: BLE001 - whatever is wrong with it, it is refused
            raise ValueError(f"the webhook does not verify: {type(error).__name__}") from None

    def unverified(self, raw: bytes) -> list[Hint]:
        """Say which PaymentIntent a body names, whoever wrote it."""
        try:
            return hints(msgspec.json.decode(raw))
        except Exception as error:  # noqa: BLE001 - whatever is wrong with it, it names none
            raise ValueError(f"no event: {type(error).__name__}") from None

    def proves(self, proof: CheckoutProof, reference: str, credentials: Credentials) -> bool:
        """Deny: Stripe signs nothing for a browser."""
        del proof, reference, credentials
        return False

    async def read(self, credentials: Credentials, call: Call) -> Json | Problem:
        """Read something that is no payment, for the reports."""
        return await self._line.send(credentials, None, call)

    async def _current(self, reference: str, credentials: Credentials) -> Outcome:
        pi = await self._intents.get(reference, credentials)
        if isinstance(pi, Problem):
            return Unknown(cause=pi.cause)
        return understood(answers.confirmed, pi, _public_key(credentials))


def _refused(problem: Problem) -> Outcome:
    """Classify a creation or confirmation that was not answered with its PaymentIntent."""
    if problem.is_decline:
        return problems.decline(problem.error)
    doubt = problems.open_question(problem)
    if doubt is not None:
        return doubt
    status = problem.intent.get("status")
    if status not in {None, "canceled"}:
        # It was confirmed already, in another try: the lookup tells what came of that.
        return Unknown(cause=f"confirmed before, and the status is {status}")
    about_card = str(problem.error.get("param", "")).startswith("payment_method")
    retry_class: RetryClass = "fix_input" if about_card else "failover"
    return problems.refusal(problem, "processor_refused", retry_class=retry_class)


def _happened(read: Callable[[Json], Any], pi: Json, status: str) -> Outcome:
    if pi.get("status") != status:
        return Unknown(cause=f"answered, and the status is {pi.get('status')}")
    fact = understood(read, pi)
    return fact if isinstance(fact, Unknown) else Succeeded(fact=fact)


def _public_key(credentials: Credentials) -> str | None:
    return credentials.values.get("publishable_key")
