"""Events of a settlement: what a processor says it paid out, and which orders explain it."""

from datetime import datetime
from typing import Literal

import msgspec

from domain.events.base import Event
from domain.money import Money

LineKind = Literal[
    "capture",
    "refund",
    "refund_reversal",
    "dispute",
    "dispute_reversal",
    "fee",
    "payout_reversal",
    "other",
]
Mismatch = Literal[
    "unknown_payment",
    "amount_differs",
    "fee_differs",
    "currency_differs",
    "duplicate",
    "not_ours",
    "undone",
]


class Part(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Base of what settlement events are made of."""


class Line(Part, frozen=True, kw_only=True):
    """One line of a processor's report. Amounts are above zero where they come to the merchant.

    Attributes:
        id: the processor's, unique within its account.
        reference: the processor's capture, refund, dispute or earlier payout that it is about.
        gross: in the currency that the customer paid in.
        settled: the same in the currency of the payout, before the fee.
        fee: in the currency of the payout; below zero where a fee is given back.
        rate: of the conversion, as the processor said it.
    """

    id: str
    kind: LineKind
    gross: Money
    settled: Money
    fee: Money
    at: datetime
    reference: str | None = None
    rate: str | None = None

    @property
    def net(self) -> Money:
        """What the line adds to the payout."""
        return self.settled - self.fee

    @property
    def is_converted(self) -> bool:
        """Whether it was paid in another currency than it is paid out in."""
        return self.gross.currency != self.settled.currency


class Conversion(Part, frozen=True):
    """What all lines of one currency come to in the currency of the payout."""

    gross: Money
    settled: Money


class Match(Part, frozen=True, kw_only=True):
    """What explains a line.

    Attributes:
        order_id: None for a processor's fee without an order, for a payout that came back, and for
            money from outside of Loop.
        subject: the capture, refund, dispute, stray payment, or payout that came back.
        stray: it is money that was taken against our will.
        gross_off: the report less our books, as an operator accepted it.
        fee_off: the same of the fee.
        outside: an operator says that it never went through Loop.
    """

    order_id: str | None = None
    subject: str | None = None
    stray: bool = False
    gross_off: Money | None = None
    fee_off: Money | None = None
    outside: bool = False


class SettlementReported(Event, frozen=True, kw_only=True, tag="settlement.reported.v1"):
    """A processor reported a payout. `amount` is below zero where it took money from the bank.

    `lines` is how many the report has; each is matched or unmatched by an event of its own.
    """

    processor: str
    account: str
    payout_id: str
    amount: Money
    arrived_at: datetime
    lines: int
    converted: tuple[Conversion, ...] = ()


class SettlementMatched(Event, frozen=True, kw_only=True, tag="settlement.matched.v1"):
    """A line of the report is explained by our books."""

    processor: str
    line: Line
    match: Match


class SettlementUnmatched(Event, frozen=True, kw_only=True, tag="settlement.unmatched.v1"):
    """A line is not explained, and why. `undone` is the match that it had until now."""

    processor: str
    line: Line
    reason: Mismatch
    order_id: str | None = None
    subject: str | None = None
    undone: Match | None = None
