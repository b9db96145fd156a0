"""What a processor has, as it shows it when it is asked: looked up one by one, or listed."""

from datetime import datetime
from typing import Literal

import msgspec
from msgspec.structs import asdict, replace

from commands.outcomes import Challenged, Declined
from domain.money import Money

PaymentStatus = Literal[
    "open", "challenged", "processing", "declined", "authorized", "captured", "cancelled", "expired"
]


class ObservedCapture(msgspec.Struct, frozen=True, kw_only=True):
    """A capture as the processor has it; `capture_id` is ours, where we asked for it.

    `fee_expected` and `fee` as in `Fact`.
    """

    processor_id: str
    amount_minor: int
    at: datetime
    capture_id: str | None = None
    fee_expected: bool = False
    fee: Money | None = None


class ObservedRefund(msgspec.Struct, frozen=True, kw_only=True):
    """A refund as the processor has it; `refund_id` is ours, where we asked for it."""

    processor_id: str
    amount_minor: int
    status: Literal["pending", "succeeded", "failed"]
    at: datetime
    refund_id: str | None = None
    code: str | None = None


class ObservedDispute(msgspec.Struct, frozen=True, kw_only=True):
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


class ObservedPayment(msgspec.Struct, frozen=True, kw_only=True):
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


class Observed(msgspec.Struct, frozen=True, kw_only=True):
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


class Absent(msgspec.Struct, frozen=True, kw_only=True):
    """The processor knows of no such thing; proves nothing while a call may be under way."""


class ListedPayment(msgspec.Struct, frozen=True, kw_only=True):
    """The money of one payment, as a list shows it, in ISO minor units."""

    payment_id: str
    held: bool
    captured_minor: int
    refunded_minor: int


class Listed(msgspec.Struct, frozen=True, kw_only=True):
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


class ListedPage(msgspec.Struct, frozen=True, kw_only=True):
    """A page of objects, newest first; `after` asks for the next, None is the last page."""

    items: tuple[Listed, ...]
    after: str | None = None
