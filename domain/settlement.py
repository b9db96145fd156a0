"""Settlements: what a processor's report says, and what of an order's books explains a line. Pure.

A line is explained by one fact of one order: a capture, a refund, money that a dispute took or gave
back. A fact explains one line. What does not fit to the cent is not explained, and says why.
"""

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from typing import TypeAlias

import msgspec
from msgspec.structs import replace

from domain import events as e
from domain.errors import Rejected
from domain.metadata import Mode
from domain.money import Money

Key: TypeAlias = tuple[str, str, str]
"""Order, kind of line and subject: what a fact is, once."""


class Value(msgspec.Struct, frozen=True, kw_only=True):
    """Base of what is said of settlements."""


class Entry(Value, frozen=True, kw_only=True):
    """A line of a report, and the order that the report names, if it names one."""

    line: e.Line
    order_id: str | None = None


class Report(Value, frozen=True, kw_only=True):
    """A payout as its processor reports it; the lines add up to the amount."""

    processor: str
    payout_id: str
    amount: Money
    arrived_at: datetime
    entries: tuple[Entry, ...]


class Fact(Value, frozen=True, kw_only=True):
    """What an order's books say moved at the processor.

    Attributes:
        reference: the processor's id of it.
        amount: above zero where it came to the merchant.
        of: what a fee is recorded for; `fee_subject` its subject.
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

    @property
    def key(self) -> Key:
        """What this fact is, once."""
        return self.order_id, self.kind, self.subject

    @property
    def is_reversal(self) -> bool:
        """Whether it is money that came back, and its fee with it."""
        return self.kind in {"refund_reversal", "dispute_reversal"}


class LineState(Value, frozen=True, kw_only=True):
    """A line and what is known of it: a match, or why there is none."""

    line: e.Line
    match: e.Match | None = None
    reason: e.Mismatch | None = None
    order_id: str | None = None
    subject: str | None = None


class Settlement(Value, frozen=True, kw_only=True):
    """One payout of one processor account, as far as its lines are explained."""

    id: str
    merchant_id: str
    mode: Mode
    version: int
    processor: str
    account: str
    payout_id: str
    amount: Money
    arrived_at: datetime
    count: int
    lines: tuple[LineState, ...] = ()

    @property
    def taken(self) -> set[Key]:
        """What explains lines already."""
        return {
            (x.match.order_id, x.line.kind, x.match.subject or "")
            for x in self.lines
            if x.match is not None and x.match.order_id is not None
        }

    def line(self, line_id: str) -> LineState | None:
        """Return the line with that id."""
        return next((x for x in self.lines if x.line.id == line_id), None)


def fold(rows: Iterable[e.Recorded]) -> Settlement | None:
    """Return the settlement that its stream's rows amount to; None without rows."""
    first: Settlement | None = None
    lines: dict[str, LineState] = {}
    version = 0
    for row in rows:
        version = row.version
        match row.data:
            case e.SettlementReported() as data:
                assert row.metadata.mode is not None, "money is test or live money"
                first = Settlement(
                    id=row.stream_id,
                    merchant_id=row.metadata.merchant_id,
                    mode=row.metadata.mode,
                    version=version,
                    processor=data.processor,
                    account=data.account,
                    payout_id=data.payout_id,
                    amount=data.amount,
                    arrived_at=data.arrived_at,
                    count=data.lines,
                )
            case e.SettlementMatched() as data:
                lines[data.line.id] = LineState(line=data.line, match=data.match)
            case e.SettlementUnmatched() as data:
                lines[data.line.id] = LineState(
                    line=data.line,
                    reason=data.reason,
                    order_id=data.order_id,
                    subject=data.subject,
                )
            case _:
                raise AssertionError("no event of a settlement")
    return first and replace(first, version=version, lines=tuple(lines.values()))


def reported(report: Report, account: str) -> e.SettlementReported:
    """Return the event of a payout, with what was converted per currency.

    Raises:
        Rejected: `invalid_report`: a line is there twice, is in another currency than the payout,
            or the lines do not add up to its amount.
    """
    lines = [entry.line for entry in report.entries]
    if len({line.id for line in lines}) != len(lines):
        raise Rejected("invalid_report", f"{report.payout_id} has a line twice.")
    currency = report.amount.currency
    if any(line.settled.currency != currency or line.fee.currency != currency for line in lines):
        raise Rejected("invalid_report", f"{report.payout_id} has lines that are not {currency}.")
    total = Money(sum(line.net.minor for line in lines), currency)
    if total != report.amount:
        message = f"{report.payout_id} is {report.amount}, and its lines come to {total}."
        raise Rejected("invalid_report", message)
    return e.SettlementReported(
        processor=report.processor,
        account=account,
        payout_id=report.payout_id,
        amount=report.amount,
        arrived_at=report.arrived_at,
        lines=len(lines),
        converted=_converted(lines),
    )


def _converted(lines: Sequence[e.Line]) -> tuple[e.Conversion, ...]:
    sums: dict[str, e.Conversion] = {}
    for line in lines:
        if line.is_converted:
            code = line.gross.currency
            so_far = sums.get(code)
            sums[code] = e.Conversion(
                line.gross + so_far.gross if so_far else line.gross,
                line.settled + so_far.settled if so_far else line.settled,
            )
    return tuple(sums[code] for code in sorted(sums))


def explain(
    line: e.Line, facts: Sequence[Fact], taken: Collection[Key]
) -> tuple[e.Match | e.Mismatch, Fact | None]:
    """Return the match of a line or why it has none, and the fact that it is about, if any.

    Args:
        line: of a report.
        facts: of the orders that it may be about.
        taken: facts that explain another line already.
    """
    if line.kind == "fee":
        return e.Match(), None
    about = [f for f in facts if (f.kind, f.reference) == (line.kind, line.reference)]
    if not about:
        return ("not_ours" if line.reference is None else "unknown_payment"), None
    free = [fact for fact in about if fact.key not in taken]
    if not free:
        return "duplicate", about[0]
    fact = next((f for f in free if f.amount == line.gross), free[0])
    if fact.amount.currency != line.gross.currency:
        return "currency_differs", fact
    if fact.amount != line.gross:
        return "amount_differs", fact
    if fact.fee is not None and fact.fee != line.fee:
        return "fee_differs", fact
    return match_of(fact), fact


def match_of(fact: Fact) -> e.Match:
    """Return the match with a fact whose figures are the report's."""
    return e.Match(order_id=fact.order_id, subject=fact.subject, stray=fact.stray)


def accepted(line: e.Line, fact: Fact | None) -> e.Match:
    """Return the match that an operator wants in spite of the figures; what is off is posted.

    Raises:
        Rejected: `currency_differs`: no correction makes one currency of another.
    """
    if fact is None:
        return e.Match(outside=True)
    if fact.amount.currency != line.gross.currency:
        raise Rejected("currency_differs", "The line is in another currency than the order.")
    gross_off = line.gross - fact.amount
    fee_off = None
    if fact.fee is not None and fact.fee != line.fee:
        if fact.fee.currency != line.fee.currency:
            raise Rejected("currency_differs", "The fee was recorded in another currency.")
        fee_off = line.fee - fact.fee
    return replace(
        match_of(fact), gross_off=gross_off if gross_off.minor else None, fee_off=fee_off
    )


def facts(rows: Sequence[e.Recorded]) -> list[Fact]:
    """Return what an order's rows say moved at its processors, in order."""
    found: list[Fact] = []
    fees: dict[tuple[str, str], Money] = {}
    theirs: dict[str, tuple[str, str]] = {}
    for row in rows:
        match row.data:
            case e.FeeRecorded() as fee:
                fees[fee.of, fee.subject] = fee.amount
            case e.DisputeOpened() as opened:
                theirs[opened.dispute_id] = (opened.attempt_id, opened.processor_id)
            case e.OrderRefunded() as back:
                theirs[back.refund_id] = (back.attempt_id, back.processor_id)
        fact = _fact(row, theirs)
        if fact is not None:
            found.append(fact)
    return [replace(fact, fee=fees.get((fact.of, _fee_subject(fact)))) for fact in found]


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
