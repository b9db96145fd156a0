"""What of an order's books can explain a line of a processor's report. Pure."""

from collections.abc import Sequence
from typing import TypeAlias

import msgspec
from msgspec.structs import replace

from domain import events as e
from domain.money import Money

Key: TypeAlias = tuple[str, str, str]
"""Order, kind of line and subject: what a fact is, once; of a payout that came back its id."""


class Fact(msgspec.Struct, frozen=True, kw_only=True):
    """What an order's books say moved at the processor.

    Attributes:
        reference: the processor's id of it.
        payment: of money that came back the payment; Razorpay's reports name that.
        amount: above zero where it came to the merchant.
        of: what a fee of it is recorded for.
        fee: as it was recorded, None if none was.
    """

    order_id: str
    attempt_id: str
    kind: e.LineKind
    subject: str
    reference: str
    amount: Money
    of: e.FeeOf
    stray: bool = False
    fee: Money | None = None
    payment: str | None = None

    @property
    def key(self) -> Key:
        """What this fact is, once."""
        return self.order_id, self.kind, self.subject

    @property
    def is_reversal(self) -> bool:
        """Whether it is money that came back, and its fee with it."""
        return self.kind in {"refund_reversal", "dispute_reversal"}


def facts(rows: Sequence[e.Recorded]) -> list[Fact]:
    """Return what an order's rows say moved at its processors, in order."""
    found: list[Fact] = []
    fees: dict[tuple[str, str], Money] = {}
    theirs: dict[str, tuple[str, str]] = {}
    payments: dict[str, str] = {}
    for row in rows:
        match row.data:
            case e.OrderCaptured() as taken:
                payments[taken.attempt_id] = taken.processor_id
            case e.FeeRecorded() as fee:
                fees[fee.of, fee.subject] = fee.amount
            case e.DisputeOpened() as opened:
                theirs[opened.dispute_id] = (opened.attempt_id, opened.processor_id)
            case e.OrderRefunded() as back:
                theirs[back.refund_id] = (back.attempt_id, back.processor_id)
        fact = _fact(row, theirs)
        if fact is not None:
            found.append(fact)
    return [
        replace(
            fact,
            fee=fees.get((fact.of, _fee_subject(fact))),
            payment=payments.get(fact.attempt_id) if fact.is_reversal else None,
        )
        for fact in found
    ]


def _fee_subject(fact: Fact) -> str:
    return f"{fact.subject}:reversed" if fact.is_reversal else fact.subject


def _fact(row: e.Recorded, theirs: dict[str, tuple[str, str]]) -> Fact | None:
    data, order_id = row.data, row.stream_id
    match data:
        case e.OrderCaptured():
            return Fact(
                order_id=order_id,
                attempt_id=data.attempt_id,
                kind="capture",
                subject=data.capture_id,
                reference=data.processor_id,
                amount=data.amount,
                of="capture",
            )
        case e.StrayPaymentFound() if data.state == "captured":
            return Fact(
                order_id=order_id,
                attempt_id=data.attempt_id,
                kind="capture",
                subject=data.payment_id,
                reference=data.payment_id,
                amount=data.amount,
                of="capture",
                stray=True,
            )
        case e.OrderRefunded() | e.RefundReversed():
            attempt_id, reference = theirs[data.refund_id]
            came_back = isinstance(data, e.RefundReversed)
            return Fact(
                order_id=order_id,
                attempt_id=attempt_id,
                kind="refund_reversal" if came_back else "refund",
                subject=data.refund_id,
                reference=reference,
                amount=data.amount if came_back else _negative(data.amount),
                of="refund",
                stray=data.kind == "stray",
            )
        case e.DisputeFundsWithdrawn() | e.DisputeFundsReinstated():
            attempt_id, reference = theirs[data.dispute_id]
            came_back = isinstance(data, e.DisputeFundsReinstated)
            return Fact(
                order_id=order_id,
                attempt_id=attempt_id,
                kind="dispute_reversal" if came_back else "dispute",
                subject=data.dispute_id,
                reference=reference,
                amount=data.amount if came_back else _negative(data.amount),
                of="dispute",
            )
        case _:
            return None


def _negative(amount: Money) -> Money:
    return Money(-amount.minor, amount.currency)
