"""How a processor answers a call.

Whatever an adapter cannot classify is `Unknown`: only a definite answer is ever called a decline.
"""

from datetime import datetime
from typing import TypeAlias

import msgspec

from domain.events import ChallengeKind
from domain.money import Money
from domain.routing import RetryClass


class Referenced(msgspec.Struct, frozen=True, kw_only=True):
    """The processor's object exists; no money has moved."""

    reference: str


class Fact(msgspec.Struct, frozen=True, kw_only=True):
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


class Succeeded(msgspec.Struct, frozen=True, kw_only=True):
    """It happened."""

    fact: Fact


class Challenged(msgspec.Struct, frozen=True, kw_only=True):
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


class Pending(msgspec.Struct, frozen=True, kw_only=True):
    """The processor is still at it."""

    look_again_s: float = 5.0


class Declined(msgspec.Struct, frozen=True, kw_only=True):
    """A definite no. `expired`: the hold that the operation needs is gone."""

    code: str
    retry_class: RetryClass
    processor_code: str | None = None
    message: str | None = None
    expired: bool = False


class NotSent(msgspec.Struct, frozen=True, kw_only=True):
    """This one try never reached the processor, or was turned away before it did anything."""

    cause: str


class Unknown(msgspec.Struct, frozen=True, kw_only=True):
    """It may or may not have happened."""

    cause: str


Outcome: TypeAlias = Succeeded | Challenged | Pending | Declined | NotSent | Unknown
