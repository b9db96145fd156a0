"""Razorpay through its own SDK: the public verbs, then sending, then webhooks.

The order is the anchor: the customer pays it on Razorpay's checkout, in one payment or after
several that failed. Only manual capture; there is no void: an attempt is closed by never capturing
it, and Razorpay sends the money back by itself. What is not known is `Unknown`.
"""

import asyncio
import hashlib
import hmac
import random
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar

import msgspec

from adapters.processors import razorpay_answers as answers
from adapters.processors import razorpay_lists as lists
from adapters.processors.razorpay_answers import Json, Problem
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
    from adapters.processors.razorpay_sdk import Call, Clients

API_URL: Final = "https://api.razorpay.com"
READ_S: Final = 20.0
THREADS: Final = 16
THROTTLE_WAITS_S: Final = (0.25, 0.5, 1.0)
"""Waits before a call that a limiter turned away is sent again: nothing had been done."""

_TELLS: Final[dict[str, Literal["authorized", "captured"]]] = {
    "payment.authorized": "authorized",
    "payment.captured": "captured",
    "order.paid": "captured",
}

DISPUTES_MAX: Final = 1_000
"""Disputes since a payment that are looked through for its own."""

_Answer = TypeVar("_Answer")


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
        self._read_s = read_s
        self._threads: ThreadPoolExecutor | None = None
        self._clients: Clients | None = None
        self._loading = threading.Lock()

    async def aclose(self) -> None:
        """Let go of the threads; who is in a call finishes it."""
        if self._threads is not None:
            self._threads.shutdown(wait=False)
            self._threads = None

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
        data = _order(call)
        made = await self._send(credentials, lambda c, options: c.order.create(data, **options))
        if isinstance(made, Problem):
            if made.error.get("field") == "receipt":
                return Unknown(cause="this receipt has another order")
            return answers.open_question(made) or answers.refusal(
                made, "processor_refused", retry_class="failover"
            )
        if (made.get("amount"), made.get("currency")) != (data["amount"], data["currency"]):
            return Unknown(cause="this receipt has an order of another amount")
        return _read(lambda: Referenced(reference=made["id"]))

    async def authorize(
        self, call: AttemptCall, reference: str, credentials: Credentials
    ) -> Outcome:
        """Send the customer to the checkout, unless the order is paid already."""
        del call
        payments = await self._payments(reference, credentials)
        if isinstance(payments, Problem):
            return answers.open_question(payments) or Unknown(cause=payments.cause)
        return _read(lambda: answers.authorized(payments, credentials.values.get("key_id")))

    async def capture(self, call: MoneyCall, credentials: Credentials) -> Outcome:
        """Take all of a payment; what was taken already is seen and not taken again."""
        if not call.final:
            return Declined(code="several_captures_unsupported", retry_class="stop")
        if call.payment_id == call.reference and call.reference.startswith("order_"):
            return Declined(code="not_authorized", retry_class="stop")
        paid = await self._send(
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
            return _read(lambda: answers.captured(paid))
        return answers.open_question(paid) or await self._uncaptured(call, credentials, paid)

    async def void(self, call: MoneyCall, credentials: Credentials) -> Outcome:
        """Refuse: Razorpay has no such call."""
        del call, credentials
        return Declined(code="void_unsupported", retry_class="stop")

    async def refund(self, call: MoneyCall, credentials: Credentials) -> Outcome:
        """Send captured money back, under an idempotency header and a receipt."""
        data = _refund(call)
        headers = {"X-Refund-Idempotency": re.sub(r"[^A-Za-z0-9_-]", "-", call.idempotency_key)}
        made = await self._send(
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
            now = await self._send(
                credentials, lambda c, options: c.refund.fetch(refund_id, **options)
            )
            made = made if isinstance(now, Problem) else now
        refund = made
        return _read(lambda: answers.refunded(refund))

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
            made = await self._send(
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
        return _read(lambda: answers.observed(order, payments, refunds, key_id, disputes))

    async def listed(self, window: Window, credentials: Credentials) -> ListedPage | Unknown:
        """List the orders of a time with their payments, 100 a page."""
        params = lists.query(window)
        found = await self._send(credentials, lambda c, options: c.order.all(params, **options))
        if isinstance(found, Problem):
            return Unknown(cause=found.cause)
        return _read(lambda: lists.page(found, window))

    def parse_webhook(
        self, raw: bytes, headers: Mapping[str, str], secrets: Sequence[str]
    ) -> list[Hint]:
        """Verify the signature over the raw bytes, then say which order to look at."""
        try:
            _verify(raw, headers, secrets)
            return _hints(raw)
        except Exception as error:  # noqa: BLE001 - whatever is wrong with it, it is refused
            raise ValueError(f"the webhook does not verify: {type(error).__name__}") from None

    def unverified(self, raw: bytes) -> list[Hint]:
        """Say which order a body names, whoever wrote it."""
        try:
            return _hints(raw)
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
        found: Json | Problem = await self._send(credentials, call)
        return found

    async def _payments(self, reference: str, credentials: Credentials) -> list[Json] | Problem:
        if not re.fullmatch(r"\w+", reference, re.ASCII):
            return Problem(cause="the reference is none of Razorpay's", sent=False)
        found = await self._send(
            credentials, lambda c, options: c.order.payments(reference, {}, **options)
        )
        if isinstance(found, Problem):
            return found
        items = found.get("items")
        return items if isinstance(items, list) else Problem(cause="no list of payments")

    async def _refunds(
        self, payments: Sequence[Json], credentials: Credentials
    ) -> dict[str, list[Json]] | Problem:
        """Return the refunds of what was captured, by payment; Razorpay lists 100 at most."""
        found: dict[str, list[Json]] = {}
        for payment in payments:
            if not answers.taken(payment):
                continue
            payment_id = payment["id"]
            listed = await self._send(
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
            listed = await self._send(
                credentials, lambda c, options, q=asked: c.dispute.all(dict(q), **options)
            )
            items = None if isinstance(listed, Problem) else listed.get("items")
            if not isinstance(items, list):
                break
            found += [dispute for dispute in items if dispute.get("payment_id") in ours]
            if len(items) < 100:  # noqa: PLR2004 - Razorpay's longest page
                break
        return found

    async def _uncaptured(
        self, call: MoneyCall, credentials: Credentials, problem: Problem
    ) -> Outcome:
        """Say what a refused capture means: there is one per payment, and it may be done."""
        payment = await self._send(
            credentials, lambda c, options: c.payment.fetch(call.payment_id, {}, **options)
        )
        if isinstance(payment, Problem):
            return Unknown(cause=payment.cause)
        paid = _read(lambda: answers.captured(payment))
        same = payment.get("amount") == call.amount.minor
        if not isinstance(paid, Unknown):
            return paid if same else Unknown(cause="captured with another amount")
        gone = payment.get("status") == "refunded"
        refused = answers.refusal(problem, "capture_refused")
        return msgspec.structs.replace(refused, expired=gone)

    async def _send(self, credentials: Credentials, call: "Call") -> Any:
        """Send once in a thread; again only what a limiter turned away before it did anything."""
        for wait_s in THROTTLE_WAITS_S:
            answer = await self._once(credentials, call)
            if not (isinstance(answer, Problem) and answer.throttled):
                return answer
            await asyncio.sleep(random.uniform(wait_s / 2, wait_s))  # noqa: S311 - jitter
        return await self._once(credentials, call)

    async def _once(self, credentials: Credentials, call: "Call") -> Json | Problem:
        key = (credentials.values.get("key_id", ""), credentials.values.get("key_secret", ""))
        if not all(key):
            return Problem(cause="no credentials", sent=False)
        if key[0].startswith("rzp_live_") and self._base_url != API_URL:
            return Problem(cause="a live key and a sandbox", sent=False)
        if self._threads is None:
            self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="razorpay")
        return await asyncio.get_running_loop().run_in_executor(
            self._threads, self._in_thread, key, call
        )

    def _in_thread(self, key: tuple[str, str], call: "Call") -> Json | Problem:
        with self._loading:
            if self._clients is None:
                from adapters.processors.razorpay_sdk import Clients  # noqa: PLC0415 - heavy

                self._clients = Clients(self._base_url)
        return self._clients.send(key, call, read_s=self._read_s)


def _order(call: AttemptCall) -> Json:
    return {
        "amount": call.amount.minor,
        "currency": call.amount.currency,
        "receipt": call.attempt_id,
        "unique_receipt": True,
        "notes": {
            "order_id": call.order_id,
            "attempt_id": call.attempt_id,
            "merchant_id": call.merchant_id,
            "correlation_id": call.correlation_id,
        },
        "payment": {
            "capture": "manual",
            "capture_options": {
                "manual_expiry_period": int(answers.HOLD.total_seconds() // 60),
                "refund_speed": "normal",
            },
        },
    }


def _refund(call: MoneyCall) -> Json:
    return {
        "amount": call.amount.minor,
        "speed": "normal",
        "receipt": call.subject,
        "notes": {
            "refund_id": call.subject,
            "order_id": call.order_id,
            "attempt_id": call.attempt_id,
            "merchant_id": call.merchant_id,
            "correlation_id": call.correlation_id,
        },
    }


def _read(read: Callable[[], _Answer]) -> _Answer | Unknown:
    """Read an answer; one that is not as Razorpay documents it is a doubt."""
    try:
        return read()
    except (ValueError, LookupError, TypeError, AttributeError, OverflowError) as error:
        return Unknown(cause=f"an answer that is not understood: {type(error).__name__}")


def _verify(raw: bytes, headers: Mapping[str, str], secrets: Sequence[str]) -> None:
    given = next(v for k, v in headers.items() if k.lower() == "x-razorpay-signature").encode()
    good = False
    for secret in secrets:
        wanted = hmac.digest(secret.encode(), raw, hashlib.sha256).hex().encode()
        good |= hmac.compare_digest(wanted, given)
    if not good:
        raise ValueError("no signature fits")


def _hints(raw: bytes) -> list[Hint]:
    """Return the order that an event is about; its id in the header is not signed and not used."""
    event = msgspec.json.decode(raw)
    things = {name: part["entity"] for name, part in event["payload"].items()}
    payment, order = things.get("payment", {}), things.get("order", {})
    reference = payment.get("order_id") or order.get("id")
    if not reference:
        return []
    noted = [thing.get("notes") for thing in (payment, order)]
    ours: Json = {}
    for notes in noted:
        ours = ours or (notes if isinstance(notes, dict) and "attempt_id" in notes else {})
    hint = Hint(
        reference=str(reference),
        attempt_id=ours.get("attempt_id") or order.get("receipt"),
        event_id=hashlib.sha256(raw).hexdigest(),
        kind=str(event["event"]),
        order_id=ours.get("order_id"),
        payment_id=payment.get("id"),
        tells=_TELLS.get(str(event["event"]), "other"),
    )
    return [hint]
