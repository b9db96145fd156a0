"""Settlements: what a processor's report says, and what of an order's books explains a line. Pure.

A line is explained by one fact of one order: a capture, a refund, money that a dispute took or gave
back. A fact explains one line. What does not fit to the cent is not explained, and says why.
"""

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime

import msgspec
from msgspec.structs import replace

from domain import events as e
from domain.errors import Rejected
from domain.metadata import Mode
from domain.money import Money
from domain.settlement_facts import Fact, Key


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
        keys = (key_of(x.line, x.match) for x in self.lines if x.match is not None)
        return {key for key in keys if key is not None}

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


def key_of(line: e.Line, match: e.Match) -> Key | None:
    """Return what a match uses up; None where it takes nothing that is in our books."""
    if match.subject is None:
        return None
    return match.order_id or match.subject, line.kind, match.subject


def key_text(key: Key) -> str:
    """Return a key as the one text that it is claimed under."""
    return " ".join(key)


def return_key(payout_id: str) -> Key:
    """Return what a line about a payout that came back uses up."""
    return payout_id, "payout_reversal", payout_id


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
    named = [f for f in facts if line.reference in {f.reference, f.payment} - {None}]
    about = [f for f in named if f.kind == line.kind]
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


def explain_return(
    line: e.Line, payout: Settlement | None, taken: Collection[Key]
) -> e.Match | e.Mismatch:
    """Return the match of a line about a payout that came back, or why it has none.

    Args:
        line: of a later report, of kind `payout_reversal`.
        payout: that it is about, as it was reported; None where it never was.
        taken: what explains another line already.
    """
    if payout is None:
        return "unknown_payment"
    if return_key(payout.payout_id) in taken:
        return "duplicate"
    if line.is_converted or line.gross.currency != payout.amount.currency:
        return "currency_differs"
    if line.gross != payout.amount:
        return "amount_differs"
    return "fee_differs" if line.fee.minor else e.Match(subject=payout.payout_id)


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
