"""The one interface of all card processors, and what they are called with."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Literal, Protocol

import msgspec

from commands.observed import Absent, ListedPage, Observed
from commands.outcomes import Outcome, Referenced, Unknown
from domain.events import Operation
from domain.metadata import Mode
from domain.money import Money


class Credentials(msgspec.Struct, frozen=True):
    """What opens a processor account; its `repr` shows nothing."""

    values: dict[str, str]

    def __repr__(self) -> str:
        return "Credentials(***)"


class CredentialField(msgspec.Struct, frozen=True, kw_only=True):
    """One member of a processor's credentials, as an operator is asked for it.

    Attributes:
        secret: typed unseen, shown nowhere.
    """

    name: str
    doc: str
    secret: bool = True
    required: bool = True


class Capabilities(msgspec.Struct, frozen=True, kw_only=True):
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


class Described(msgspec.Struct, frozen=True, kw_only=True):
    """What a payment method is: brand in lower case, ISO 3166-1 country; None is unknown."""

    brand: str | None = None
    country: str | None = None


class AttemptCall(msgspec.Struct, frozen=True, kw_only=True):
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


class MoneyCall(msgspec.Struct, frozen=True, kw_only=True):
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


class Hint(msgspec.Struct, frozen=True, kw_only=True):
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


class CheckoutProof(msgspec.Struct, frozen=True, kw_only=True):
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


class Window(msgspec.Struct, frozen=True, kw_only=True):
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
