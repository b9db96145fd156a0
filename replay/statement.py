"""The statement of a day: what made a merchant's balance of the day before into that of this one.

The movements are added up from the log's events by what they say; opening and closing balance are
the ledger's. They are two ways to the same figure, and where they differ by a cent it is said.
"""

from collections import Counter
from datetime import UTC, date, datetime, time, timedelta
from typing import Final, Literal

import msgspec

from adapters.codec import CorruptEvent, UnknownTag
from adapters.log import Connection, connect, pages, position_at
from adapters.read_models import decoded
from domain import events as e
from domain.errors import Rejected, Unavailable
from domain.metadata import Mode
from domain.money import Money
from domain.postings import balance
from projections import ledger

Kind = Literal["captures", "refunds", "fees", "disputes", "fx", "payouts", "corrections"]
KINDS: Final[tuple[Kind, ...]] = (
    "captures", "refunds", "fees", "disputes", "fx", "payouts", "corrections",
)  # fmt: skip
Moved = Counter[tuple[Kind, str]]
"""Minor units by kind and currency, above zero where the balance grew."""


class Report(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Base of what a statement says; camelCase as JSON."""


class Statement(Report, frozen=True, kw_only=True):
    """One currency's day, in minor units.

    Attributes:
        opening: what was available when the day began: `payable` less `disputed`.
        fx: converted by the processors when they paid out; another currency has the other side.
        payouts: what they paid out and orders explain, below zero.
        corrections: reports that an operator believed more than our books.
        closing: opening and all of these.
        ledger: what the ledger has at the day's end; the same, or `ok` is false.
        at_processors: `receivable`.
        unexplained: paid out, and no order explains it yet: `bank` less `bank_contra`.
        converting: reported in another currency, and not explained yet: `fx`.
        pending: money that is not the merchant's and on its way back: `suspense`.
    """

    currency: str
    opening: int
    captures: int
    refunds: int
    fees: int
    disputes: int
    fx: int
    payouts: int
    corrections: int
    closing: int
    ledger: int
    at_processors: int
    unexplained: int
    converting: int
    pending: int
    ok: bool


class Day(Report, frozen=True, kw_only=True):
    """The statements of a day, by currency; the day is UTC, by the time of the commit.

    Attributes:
        merchant_id: None is all merchants together.
        after: position before the day's first event; `upto` that of its last.
        ended: whether the day is over.
    """

    ok: bool
    date: date
    merchant_id: str | None
    mode: Mode
    after: int
    upto: int
    ended: bool
    statements: tuple[Statement, ...]


async def statement(
    database_url: str, day: date, *, merchant_id: str | None, mode: Mode, now: datetime
) -> Day:
    """Return the statement of a day; of one that has not ended, as far as the ledger is.

    Raises:
        Unavailable: `read_model_behind`, the ledger does not reach the day's end yet.
        Rejected: `unreadable_event`, an event of the day that this version cannot read.
    """
    begin = datetime.combine(day, time(), UTC)
    end = begin + timedelta(days=1)
    async with await connect(database_url, "loop-statement") as db:
        after = await _position_before(db, begin)
        upto = await _position_before(db, end)
        shown = await ledger.as_of_position(db)
        if now < end:
            upto = min(upto, max(shown, after))
        if shown < upto:
            message = "The ledger does not reach the day's end yet: is a worker running?"
            raise Unavailable("read_model_behind", message)
        opened = await _accounts(db, merchant_id, mode, after)
        closed = await _accounts(db, merchant_id, mode, upto)
        moved = await _movements(db, after, upto, merchant_id, mode)
    codes = sorted({code for _, code in (*opened, *closed, *moved)})
    found = tuple(_statement(code, opened, closed, moved) for code in codes)
    return Day(
        ok=all(one.ok for one in found),
        date=day,
        merchant_id=merchant_id,
        mode=mode,
        after=after,
        upto=upto,
        ended=end <= now,
        statements=found,
    )


async def _position_before(db: Connection, at: datetime) -> int:
    last = at - timedelta(microseconds=1)
    try:
        return await position_at(db, last)
    except LookupError as error:
        raise Rejected("unreadable_event", str(error)) from None


_ACCOUNTS: Final = """
SELECT l.account, l.currency, e.debits, e.credits
FROM ledger l CROSS JOIN LATERAL (
    SELECT debits, credits FROM ledger_entries
    WHERE account_id = l.account_id AND position <= %(upto)s ORDER BY position DESC LIMIT 1
) e
WHERE (%(merchant_id)s::text IS NULL OR l.merchant_id = %(merchant_id)s) AND l.mode = %(mode)s
"""


async def _accounts(
    db: Connection, merchant_id: str | None, mode: Mode, upto: int
) -> Counter[tuple[str, str]]:
    """Return balances by kind of account and currency, each positive on its own side."""
    params = {"merchant_id": merchant_id, "mode": mode, "upto": upto}
    found = await db.execute(_ACCOUNTS, params)
    sums: Counter[tuple[str, str]] = Counter()
    for account, currency, debits, credits_ in await found.fetchall():
        sums[account.partition(":")[0], currency] += balance(account, debits, credits_)
    return sums


async def _movements(
    db: Connection, after: int, upto: int, merchant_id: str | None, mode: Mode
) -> Moved:
    sums: Moved = Counter()
    if after >= upto:
        return sums
    async for page in pages(db, after, upto):
        for row in page:
            if not row.stream_id.startswith(("ord_", "set_")):
                continue
            try:
                recorded = decoded(row)
            except (UnknownTag, CorruptEvent) as error:
                message = f"event {row.position} cannot be read: {error}"
                raise Rejected("unreadable_event", message) from None
            meta = recorded.metadata
            if meta.mode == mode and merchant_id in {None, meta.merchant_id}:
                sums.update(movements(recorded.data))
    return sums


def movements(data: e.AnyEvent) -> Moved:
    """Return what an event makes of the merchant's balance, by what it says."""
    match data:
        case e.OrderCaptured():
            return _of("captures", data.amount)
        case e.OrderRefunded() if data.kind == "merchant":
            return _of("refunds", data.amount, -1)
        case e.RefundReversed() if data.kind == "merchant":
            return _of("refunds", data.amount)
        case e.FeeRecorded():
            return _of("fees", data.amount, -1)
        case e.DisputeFundsWithdrawn():
            return _of("disputes", data.amount, -1)
        case e.DisputeFundsReinstated():
            return _of("disputes", data.amount)
        case e.SettlementMatched():
            return _paid(data.line, data.match, 1)
        case e.SettlementUnmatched() if data.undone is not None:
            return _paid(data.line, data.undone, -1)
        case _:
            return Counter()


def _of(kind: Kind, amount: Money, sign: int = 1) -> Moved:
    return Counter({(kind, amount.currency): sign * amount.minor})


def _paid(line: e.Line, match: e.Match, sign: int) -> Moved:
    """Return what an explained line, or one that is taken back, makes of the balance."""
    found: Moved = Counter()
    if match.outside or line.kind == "payout_reversal":
        return found
    if line.kind == "fee":
        found.update(_of("fees", line.net, sign))
        found.update(_of("payouts", line.net, -sign))
        return found
    if match.stray:
        # The money itself was never the merchant's; what it cost is.
        found.update(_of("payouts", line.fee, sign))
    else:
        found.update(_of("payouts", line.net, -sign))
        if line.is_converted:
            found.update(_of("fx", line.gross, -sign))
            found.update(_of("fx", line.settled, sign))
        if match.gross_off is not None:
            found.update(_of("corrections", match.gross_off, sign))
    if match.fee_off is not None:
        found.update(_of("fees", match.fee_off, -sign))
    return found


def _statement(
    currency: str,
    opened: Counter[tuple[str, str]],
    closed: Counter[tuple[str, str]],
    moved: Moved,
) -> Statement:
    def available(accounts: Counter[tuple[str, str]]) -> int:
        return accounts["payable", currency] - accounts["disputed", currency]

    def now(kind: str) -> int:
        return closed[kind, currency]

    opening = available(opened)
    sums = {kind: moved[kind, currency] for kind in KINDS}
    closing = opening + sum(sums.values())
    unexplained = now("bank") - now("bank_contra")
    elsewhere = now("receivable") + unexplained + now("fx")
    return Statement(
        currency=currency,
        opening=opening,
        **sums,
        closing=closing,
        ledger=available(closed),
        at_processors=now("receivable"),
        unexplained=unexplained,
        converting=now("fx"),
        pending=now("suspense"),
        ok=closing == available(closed) and closing + now("suspense") == elsewhere,
    )
