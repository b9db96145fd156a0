"""The one interface of all card processors, and the words in which they answer.

Whatever an adapter cannot classify is `Unknown`: only a definite answer is ever called a decline.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Literal, Protocol, TypeAlias

import msgspec
from msgspec.structs import asdict, replace

from domain.events import ChallengeKind, Operation
from domain.metadata import Mode
from domain.money import Money
from domain.routing import RetryClass


class Value(msgspec.Struct, frozen=True, kw_only=True):
    """Base of what goes to and comes from a processor."""


class Credentials(msgspec.Struct, frozen=True):
    """What opens a processor account; its `repr` shows nothing."""

    values: dict[str, str]

    def __repr__(self) -> str:
        return "Credentials(***)"


class CredentialField(Value, frozen=True, kw_only=True):
    """One member of a processor's credentials, as an operator is asked for it.

    Attributes:
        secret: typed unseen, shown nowhere.
    """

    name: str
    doc: str
    secret: bool = True
    required: bool = True


class Capabilities(Value, frozen=True, kw_only=True):
    """What a processor can do.

    Attributes:
        partial_capture: less than the hold may be captured.
        several_captures: the rest of a hold may be kept for a later capture.
        void: a hold can be given back on request.
        closes_declined: a decline ends the processor's object; otherwise it is cancelled first.
        collects: without a token the customer is asked for a payment method.
        idempotency_s: for how long the same key gives the same answer.
        window_s: for how long a doubt can be looked up.
    """

    partial_capture: bool = True
    several_captures: bool = False
    void: bool = True
    closes_declined: bool = False
    collects: bool = False
    idempotency_s: int = 86_400
    window_s: int = 30 * 86_400


class Described(Value, frozen=True, kw_only=True):
    """What a payment method is: brand in lower case, ISO 3166-1 country; None is unknown."""

    brand: str | None = None
    country: str | None = None


class AttemptCall(Value, frozen=True, kw_only=True):
    """All that is sent for an attempt: it comes from the `routed` event alone."""

    order_id: str
    attempt_id: str
    merchant_id: str
    mode: Mode
    amount: Money
    idempotency_key: str
    correlation_id: str
    token: str | None = None
    return_url: str | None = None
    challenge_timeout_s: int = 900
    trace: str | None = None


class MoneyCall(Value, frozen=True, kw_only=True):
    """A capture, void or refund of a payment. `subject` is our capture or refund id.

    Attributes:
        reference: the processor's object of the attempt.
        payment_id: the processor's payment.
        final: of a capture: what is left of the hold is released.
    """

    order_id: str
    attempt_id: str
    merchant_id: str
    mode: Mode
    subject: str
    reference: str
    payment_id: str
    amount: Money
    idempotency_key: str
    correlation_id: str
    final: bool = True
    trace: str | None = None


class Referenced(Value, frozen=True, kw_only=True):
    """The processor's object exists; no money has moved."""

    reference: str


class Fact(Value, frozen=True, kw_only=True):
    """What happened, in the processor's own words.

    Attributes:
        payment_id: the processor's payment.
        processor_id: the processor's object of this operation: capture or refund; else the payment.
        amount_minor: ISO minor units that this operation moved or holds.
        currency: as the processor said it, upper-case.
        at: the processor's time, UTC.
        capture_before: when the hold lapses.
        fee_expected: the processor charges a fee for it, which can be looked up.
        fee: the processor's, in the currency that it settles in; None while it is not known.
    """

    payment_id: str
    processor_id: str
    amount_minor: int
    currency: str
    at: datetime
    capture_before: datetime | None = None
    fee_expected: bool = False
    fee: Money | None = None


class Succeeded(Value, frozen=True, kw_only=True):
    """It happened."""

    fact: Fact


class Challenged(Value, frozen=True, kw_only=True):
    """The customer has to act; all of this goes to the vault, never into an event.

    Attributes:
        publishable_key: what the browser needs to open the client secret.
        key_id: what the browser needs to open the processor's own checkout.
    """

    kind: ChallengeKind
    redirect_url: str | None = None
    client_secret: str | None = None
    publishable_key: str | None = None
    key_id: str | None = None

    def __repr__(self) -> str:
        return f"Challenged({self.kind}, ***)"


class Pending(Value, frozen=True, kw_only=True):
    """The processor is still at it."""

    look_again_s: float = 5.0


class Declined(Value, frozen=True, kw_only=True):
    """A definite no. `expired`: the hold that the operation needs is gone."""

    code: str
    retry_class: RetryClass
    processor_code: str | None = None
    message: str | None = None
    expired: bool = False


class NotSent(Value, frozen=True, kw_only=True):
    """This one try never reached the processor, or was turned away before it did anything."""

    cause: str


class Unknown(Value, frozen=True, kw_only=True):
    """It may or may not have happened."""

    cause: str


Outcome: TypeAlias = Succeeded | Challenged | Pending | Declined | NotSent | Unknown

PaymentStatus = Literal[
    "open", "challenged", "processing", "declined", "authorized", "captured", "cancelled", "expired"
]


class ObservedCapture(Value, frozen=True, kw_only=True):
    """A capture as the processor has it; `capture_id` is ours, where we asked for it.

    `fee_expected` and `fee` as in `Fact`.
    """

    processor_id: str
    amount_minor: int
    at: datetime
    capture_id: str | None = None
    fee_expected: bool = False
    fee: Money | None = None


class ObservedRefund(Value, frozen=True, kw_only=True):
    """A refund as the processor has it; `refund_id` is ours, where we asked for it."""

    processor_id: str
    amount_minor: int
    status: Literal["pending", "succeeded", "failed"]
    at: datetime
    refund_id: str | None = None
    code: str | None = None


class ObservedDispute(Value, frozen=True, kw_only=True):
    """A dispute as the processor has it. `withdrawn_minor`: taken and not given back.

    Attributes:
        reinstated_minor: taken and given back.
        fee: for having been opened, in the currency that the processor settles in.
        fee_reversed: what was given back of it, below zero.
    """

    processor_id: str
    amount_minor: int
    withdrawn_minor: int
    reason: str
    outcome: Literal["open", "won", "lost", "withdrawn"] = "open"
    reinstated_minor: int = 0
    fee: Money | None = None
    fee_reversed: Money | None = None


class ObservedPayment(Value, frozen=True, kw_only=True):
    """One more payment that a customer made on a reference; each holds or held money."""

    payment_id: str
    status: Literal["authorized", "captured", "cancelled", "expired"]
    at: datetime
    currency: str
    authorized_minor: int
    held_minor: int = 0
    capture_before: datetime | None = None
    captures: tuple[ObservedCapture, ...] = ()
    refunds: tuple[ObservedRefund, ...] = ()


class Observed(Value, frozen=True, kw_only=True):
    """What the processor has for a reference now, whole.

    Attributes:
        status: `open` was never authorized; `declined` was refused and could be tried again by
            the customer; `cancelled` and `expired` hold nothing and never will.
        authorized_minor: what was held in all.
        held_minor: what is held now.
        at: the processor's time of the last change, UTC.
        others: payments with money beside this one, where a reference can have several.
    """

    reference: str
    status: PaymentStatus
    at: datetime
    currency: str
    payment_id: str | None = None
    authorized_minor: int = 0
    held_minor: int = 0
    capture_before: datetime | None = None
    captures: tuple[ObservedCapture, ...] = ()
    refunds: tuple[ObservedRefund, ...] = ()
    decline: Declined | None = None
    challenge: Challenged | None = None
    disputes: tuple[ObservedDispute, ...] = ()
    others: tuple[ObservedPayment, ...] = ()

    def about(self, payment_id: str | None) -> "Observed":
        """Return the same with that payment in the middle, if it is among the others."""
        chosen = next((x for x in self.others if x.payment_id == payment_id), None)
        if chosen is None:
            return self
        rest = tuple(x for x in self.others if x is not chosen)
        return replace(
            self,
            **asdict(chosen),
            decline=None,
            challenge=None,
            others=(*self._itself(), *rest),
        )

    def _itself(self) -> tuple[ObservedPayment, ...]:
        if self.payment_id is None:
            return ()
        shared = {name: getattr(self, name) for name in ObservedPayment.__struct_fields__}
        return (ObservedPayment(**shared),)


class Absent(Value, frozen=True, kw_only=True):
    """The processor knows of no such thing; proves nothing while a call may be under way."""


class Hint(Value, frozen=True, kw_only=True):
    """What a verified webhook points at; it proves nothing and is looked up.

    Attributes:
        event_id: what makes it the same event when it comes again.
        kind: the event's type, in the processor's words.
        order_id: ours, as the object carries it; so are `attempt_id` and `merchant_id`.
        payment_id: the processor's payment, where a reference can have several.
        tells: what the order knows already where it knows this: the object is there, its money is
            held or taken; `other` is anything else.
    """

    reference: str
    attempt_id: str | None
    event_id: str
    kind: str
    order_id: str | None = None
    payment_id: str | None = None
    tells: Literal["opened", "authorized", "captured", "other"] = "other"


class CheckoutProof(Value, frozen=True, kw_only=True):
    """What a processor's own checkout handed the customer's browser after a payment; unverified.

    Attributes:
        reference: the processor's object that it claims to be about.
        payment_id: the processor's payment.
    """

    reference: str
    payment_id: str
    signature: str

    def __repr__(self) -> str:
        return "CheckoutProof(***)"


class Window(Value, frozen=True, kw_only=True):
    """Which objects are listed: made from `since` to `until`, both included, UTC.

    Attributes:
        merchant_id: whose; a processor whose credentials open one account need not ask.
        after: where the page before ended.
    """

    merchant_id: str
    mode: Mode
    since: datetime
    until: datetime
    after: str | None = None


class ListedPayment(Value, frozen=True, kw_only=True):
    """The money of one payment, as a list shows it, in ISO minor units."""

    payment_id: str
    held: bool
    captured_minor: int
    refunded_minor: int


class Listed(Value, frozen=True, kw_only=True):
    """One of the processor's objects, with the ids that we gave it.

    Attributes:
        at: when it was made; the sandbox's: when it last changed.
        payments: those that hold, took or gave back money.
    """

    reference: str
    at: datetime
    merchant_id: str | None = None
    order_id: str | None = None
    attempt_id: str | None = None
    payments: tuple[ListedPayment, ...] = ()


class ListedPage(Value, frozen=True, kw_only=True):
    """A page of objects, newest first; `after` asks for the next, None is the last page."""

    items: tuple[Listed, ...]
    after: str | None = None


class Processor(Protocol):
    """One card processor. Nothing but these answers leaves an adapter, no vendor exception."""

    name: str
    capabilities: Capabilities
    fields: tuple[CredentialField, ...]

    def takes(self, amount: Money) -> str | None:
        """Say why this amount cannot be charged exactly; None when it can."""
        ...

    def account_of(self, credentials: Credentials, mode: Mode) -> str:
        """Return what identifies the account that the credentials open; tells no secret.

        Raises:
            ValueError: they cannot be used in this mode or at this installation, and why.
        """
        ...

    async def describe(self, token: str, credentials: Credentials) -> Described:
        """Read what a token stands for; what cannot be read is unknown. Nothing moves."""
        ...

    async def prepare(self, call: AttemptCall, credentials: Credentials) -> Referenced | Outcome:
        """Make the processor's object; moves no money. Same key, same object."""
        ...

    async def authorize(
        self, call: AttemptCall, reference: str, credentials: Credentials
    ) -> Outcome:
        """Hold the money; only after the reference is committed."""
        ...

    async def capture(self, call: MoneyCall, credentials: Credentials) -> Outcome:
        """Take held money."""
        ...

    async def void(self, call: MoneyCall, credentials: Credentials) -> Outcome:
        """Give a hold back, or close an attempt that holds nothing, for ever."""
        ...

    async def refund(self, call: MoneyCall, credentials: Credentials) -> Outcome:
        """Send captured money back."""
        ...

    async def lookup(
        self, reference: str, operation: Operation, credentials: Credentials
    ) -> Observed | Absent | Unknown:
        """Read what is there; resolves doubt and never moves money."""
        ...

    async def listed(self, window: Window, credentials: Credentials) -> ListedPage | Unknown:
        """Return one page of what was made in that time; at most 100 objects, nothing moves."""
        ...

    def parse_webhook(
        self, raw: bytes, headers: Mapping[str, str], secrets: Sequence[str]
    ) -> list[Hint]:
        """Verify first, then read; raises `ValueError` on anything that does not verify."""
        ...

    def unverified(self, raw: bytes) -> list[Hint]:
        """Read without verifying, only to choose whose secrets to try; raises `ValueError`."""
        ...

    def proves(self, proof: CheckoutProof, reference: str, credentials: Credentials) -> bool:
        """Tell whether the account signed this proof for our `reference`, not for the named one."""
        ...

    async def aclose(self) -> None:
        """Close the connections of this event loop."""
        ...


def unfit(processors: Mapping[str, Processor], amount: Money) -> tuple[tuple[str, str], ...]:
    """Return the processors that cannot take an amount, each with its reason."""
    reasons = ((name, processor.takes(amount)) for name, processor in processors.items())
    return tuple((name, reason) for name, reason in reasons if reason is not None)
