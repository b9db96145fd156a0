"""Razorpay through its own SDK: the public verbs, then what they read.

The order is the anchor: the customer pays it on Razorpay's checkout, in one payment or after
several that failed. Only manual capture; there is no void: an attempt is closed by never capturing
it, and Razorpay sends the money back by itself. What is not known is `Unknown`.
"""

import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

import msgspec

from adapters.processors import razorpay_answers as answers
from adapters.processors import razorpay_lists as lists
from adapters.processors import razorpay_requests as requests
from adapters.processors.razorpay_answers import Json, Problem
from adapters.processors.razorpay_threads import API_URL, Line
from adapters.processors.razorpay_webhooks import hints, verify
from adapters.processors.vendor_calls import understood
from commands.observed import Absent, ListedPage, Observed
from commands.outcomes import Declined, Outcome, Referenced, Unknown
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
from domain.money import EXPONENTS, Money

if TYPE_CHECKING:
    from adapters.processors.razorpay_sdk import Call

READ_S: Final = 20.0
DISPUTES_MAX: Final = 1_000
"""Disputes since a payment that are looked through for its own."""


class RazorpayProcessor:
    """Razorpay's orders, paid on its checkout.

    Args:
        base_url: of the API, or of a sandbox; live keys go to the API only.
        read_s: longest silence of the server, in seconds.
    """

    name: str = "razorpay"
    capabilities: Capabilities = Capabilities(
        partial_capture=False,
        several_captures=False,
        void=False,
        closes_declined=False,
        collects=True,
        window_s=5 * 86_400,
    )
    fields: tuple[CredentialField, ...] = (
        CredentialField(name="key_id", doc="Key id (rzp_…).", secret=False),
        CredentialField(name="key_secret", doc="Key secret."),
        CredentialField(name="webhook_secret", doc="Secret of the webhook.", required=False),
    )

    def __init__(self, *, base_url: str = API_URL, read_s: float = READ_S) -> None:
        self._base_url = base_url
        self._line = Line(base_url, read_s)

    async def aclose(self) -> None:
        """Let go of the threads; who is in a call finishes it."""
        await self._line.aclose()

    def takes(self, amount: Money) -> str | None:
        """Say why Razorpay cannot charge exactly this amount: the third decimal must be 0."""
        if EXPONENTS[amount.currency] == 3 and amount.minor % 10:  # noqa: PLR2004 - decimals
            return "amount not representable"
        return None

    def account_of(self, credentials: Credentials, mode: Mode) -> str:
        """Return the key's public id."""
        key_id = credentials.values.get("key_id", "")
        if not re.fullmatch(rf"rzp_{mode}_\w+", key_id, re.ASCII):
            raise ValueError(f"a key id of {mode} mode begins with rzp_{mode}_")
        if not credentials.values.get("key_secret"):
            raise ValueError("the key secret is missing")
        if mode == "live" and self._base_url != API_URL:
            raise ValueError("live keys are not given to a sandbox: LOOP_RAZORPAY_BASE_URL is set")
        return f"razorpay_{key_id}"

    async def describe(self, token: str, credentials: Credentials) -> Described:
        """Tell nothing: a token of Razorpay's is read for its customer only."""
        del token, credentials
        return Described()

    async def prepare(self, call: AttemptCall, credentials: Credentials) -> Referenced | Outcome:
        """Make the order; moves no money. The receipt is ours and makes it once."""
        if self.takes(call.amount):
            return Declined(code="amount_not_representable", retry_class="failover")
        data = requests.order(call)
        made = await self._line.send(
            credentials, lambda c, options: c.order.create(data, **options)
        )
        if isinstance(made, Problem):
            if made.error.get("field") == "receipt":
                return Unknown(cause="this receipt has another order")
            return answers.open_question(made) or answers.refusal(
                made, "processor_refused", retry_class="failover"
            )
        if (made.get("amount"), made.get("currency")) != (data["amount"], data["currency"]):
            return Unknown(cause="this receipt has an order of another amount")
        return understood(lambda: Referenced(reference=made["id"]))

    async def authorize(
        self, call: AttemptCall, reference: str, credentials: Credentials
    ) -> Outcome:
        """Send the customer to the checkout, unless the order is paid already."""
        del call
        payments = await self._payments(reference, credentials)
        if isinstance(payments, Problem):
            return answers.open_question(payments) or Unknown(cause=payments.cause)
        return understood(lambda: answers.authorized(payments, credentials.values.get("key_id")))

    async def capture(self, call: MoneyCall, credentials: Credentials) -> Outcome:
        """Take all of a payment; what was taken already is seen and not taken again."""
        if not call.final:
            return Declined(code="several_captures_unsupported", retry_class="stop")
        if call.payment_id == call.reference and call.reference.startswith("order_"):
            return Declined(code="not_authorized", retry_class="stop")
        paid = await self._line.send(
            credentials,
            lambda c, options: c.payment.capture(
                call.payment_id,
                call.amount.minor,
                # Always a dict of our own: the SDK's default is shared by all calls.
                {"currency": call.amount.currency},
                **options,
            ),
        )
        if not isinstance(paid, Problem):
            return understood(lambda: answers.captured(paid))
        return answers.open_question(paid) or await self._uncaptured(call, credentials, paid)

    async def void(self, call: MoneyCall, credentials: Credentials) -> Outcome:
        """Refuse: Razorpay has no such call."""
        del call, credentials
        return Declined(code="void_unsupported", retry_class="stop")

    async def refund(self, call: MoneyCall, credentials: Credentials) -> Outcome:
        """Send captured money back, under an idempotency header and a receipt."""
        data = requests.refund(call)
        headers = {"X-Refund-Idempotency": re.sub(r"[^A-Za-z0-9_-]", "-", call.idempotency_key)}
        made = await self._line.send(
            credentials,
            lambda c, options: c.payment.refund(
                call.payment_id, data, headers=dict(headers), **options
            ),
        )
        if isinstance(made, Problem):
            return answers.open_question(made) or answers.refusal(made, "refund_refused")
        if made.get("status") == "pending":
            # The answer may be what was so when the key was new.
            refund_id = str(made.get("id"))
            now = await self._line.send(
                credentials, lambda c, options: c.refund.fetch(refund_id, **options)
            )
            made = made if isinstance(now, Problem) else now
        refund = made
        return understood(lambda: answers.refunded(refund))

    async def lookup(
        self, reference: str, operation: Operation, credentials: Credentials
    ) -> Observed | Absent | Unknown:
        """Read the order's payments, and the refunds and disputes of those that have any."""
        del operation
        payments = await self._payments(reference, credentials)
        if isinstance(payments, Problem):
            return Absent() if payments.missing else Unknown(cause=payments.cause)
        order: Json = {"id": reference}
        if payments:
            order["currency"] = payments[0].get("currency")
        else:
            made = await self._line.send(
                credentials, lambda c, options: c.order.fetch(reference, {}, **options)
            )
            if isinstance(made, Problem):
                return Absent() if made.missing else Unknown(cause=made.cause)
            order = made
        refunds = await self._refunds(payments, credentials)
        if isinstance(refunds, Problem):
            return Unknown(cause=refunds.cause)
        disputes = await self._disputes(payments, credentials)
        key_id = credentials.values.get("key_id")
        return understood(lambda: answers.observed(order, payments, refunds, key_id, disputes))

    async def listed(self, window: Window, credentials: Credentials) -> ListedPage | Unknown:
        """List the orders of a time with their payments, 100 a page."""
        params = lists.query(window)
        found = await self._line.send(
            credentials, lambda c, options: c.order.all(params, **options)
        )
        if isinstance(found, Problem):
            return Unknown(cause=found.cause)
        return understood(lambda: lists.page(found, window))

    def parse_webhook(
        self, raw: bytes, headers: Mapping[str, str], secrets: Sequence[str]
    ) -> list[Hint]:
        """Verify the signature over the raw bytes, then say which order to look at."""
        try:
            verify(raw, headers, secrets)
            return hints(raw)
        except Exception as error:  # noqa: BLE001 - whatever is wrong with it, it is refused
            raise ValueError(f"the webhook does not verify: {type(error).__name__}") from None

    def unverified(self, raw: bytes) -> list[Hint]:
        """Say which order a body names, whoever wrote it."""
        try:
            return hints(raw)
        except Exception as error:  # noqa: BLE001 - whatever is wrong with it, it names none
            raise ValueError(f"no event: {type(error).__name__}") from None

    def proves(self, proof: CheckoutProof, reference: str, credentials: Credentials) -> bool:
        """Check the checkout's signature, which is made with the key's secret."""
        secret = credentials.values.get("key_secret", "")
        signed = f"{reference}|{proof.payment_id}".encode()
        wanted = hmac.digest(secret.encode(), signed, hashlib.sha256).hex().encode()
        fits = hmac.compare_digest(wanted, proof.signature.encode())
        return bool(secret) and fits and proof.reference == reference

    async def read(self, credentials: Credentials, call: "Call") -> Json | Problem:
        """Read something that is no payment, for the reports."""
        found: Json | Problem = await self._line.send(credentials, call)
        return found

    async def _payments(self, reference: str, credentials: Credentials) -> list[Json] | Problem:
        if not re.fullmatch(r"\w+", reference, re.ASCII):
            return Problem(cause="the reference is none of Razorpay's", sent=False)
        found = await self._line.send(
            credentials, lambda c, options: c.order.payments(reference, {}, **options)
        )
        if isinstance(found, Problem):
            return found
        items = found.get("items")
        whole = isinstance(items, list) and all(map(answers.is_payment, items))
        return items if whole else Problem(cause="no list of payments")

    async def _refunds(
        self, payments: Sequence[Json], credentials: Credentials
    ) -> dict[str, list[Json]] | Problem:
        """Return the refunds of what was captured, by payment; Razorpay lists 100 at most."""
        found: dict[str, list[Json]] = {}
        for payment in payments:
            if not answers.taken(payment):
                continue
            payment_id = payment["id"]
            listed = await self._line.send(
                credentials,
                lambda c, options, p=payment_id: c.payment.fetch_multiple_refund(
                    p, {"count": 100}, **options
                ),
            )
            if isinstance(listed, Problem):
                return listed
            found[payment_id] = listed.get("items") or []
        return found

    async def _disputes(self, payments: Sequence[Json], credentials: Credentials) -> list[Json]:
        """Return the disputes of what was captured; Razorpay lists them by time only.

        What cannot be listed is seen later: a dispute only adds to what is known.
        """
        ours = {
            payment["id"]: payment["created_at"] for payment in payments if answers.taken(payment)
        }
        found: list[Json] = []
        for skip in range(0, DISPUTES_MAX, 100) if ours else ():
            asked = {"from": min(ours.values()), "count": 100, "skip": skip}
            listed = await self._line.send(
                credentials, lambda c, options, q=asked: c.dispute.all(dict(q), **options)
            )
            items = None if isinstance(listed, Problem) else listed.get("items")
            if not isinstance(items, list):
                break
            found += [d for d in items if isinstance(d, dict) and d.get("payment_id") in ours]
            if len(items) < 100:  # noqa: PLR2004 - Razorpay's longest page
                break
        return found

    async def _uncaptured(
        self, call: MoneyCall, credentials: Credentials, problem: Problem
    ) -> Outcome:
        """Say what a refused capture means: there is one per payment, and it may be done."""
        payment = await self._line.send(
            credentials, lambda c, options: c.payment.fetch(call.payment_id, {}, **options)
        )
        if isinstance(payment, Problem):
            return Unknown(cause=payment.cause)
        paid = understood(lambda: answers.captured(payment))
        same = payment.get("amount") == call.amount.minor
        if not isinstance(paid, Unknown):
            return paid if same else Unknown(cause="captured with another amount")
        gone = payment.get("status") == "refunded"
        refused = answers.refusal(problem, "capture_refused")
        return msgspec.structs.replace(refused, expired=gone)
