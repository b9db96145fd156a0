"""The books computed from the log alone, at any position, and compared with what is shown."""

from collections.abc import AsyncIterator, Callable, Sequence
from datetime import datetime
from typing import Final

import msgspec

from adapters.codec import CorruptEvent, UnknownTag
from adapters.log import PAGE, Connection, Row, connect, head, pages, position_at, recorded_at
from adapters.read_models import decoded
from domain.errors import NotFound, Rejected
from domain.events import Recorded
from domain.metadata import Mode
from domain.postings import balance, postings

Progress = Callable[[int, int], None]
Key = tuple[Mode, str, str, str]
"""Mode, currency, merchant and name of an account."""

FINDINGS_MAX: Final = 100
"""Differences and overdrawn holds that are listed; all of them are counted."""


class Report(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Base of what an audit says; camelCase as JSON."""


class Line(Report, frozen=True, kw_only=True):
    """All merchants' accounts of one name together; `balance` is positive on their own side."""

    account: str
    debits: int
    credits: int
    balance: int


class TrialBalance(Report, frozen=True, kw_only=True):
    """Every account of one mode and currency; `difference` is debits less credits, zero."""

    mode: Mode
    currency: str
    debits: int
    credits: int
    difference: int
    lines: tuple[Line, ...]


class Overdrawn(Report, frozen=True, kw_only=True):
    """A hold that is below zero after an event, which never may be."""

    position: int
    mode: Mode
    account: str
    currency: str
    balance: int


class Difference(Report, frozen=True, kw_only=True):
    """An account that does not show what the log says; None where there is no such account."""

    mode: Mode
    merchant_id: str
    account: str
    currency: str
    log: int | None
    shown: int | None


class Books(Report, frozen=True, kw_only=True):
    """What the books came to.

    Attributes:
        position: the last event that is in them.
        recorded_at: when it was committed.
        compared_at: position at which the read model was compared; None where there is none.
        difference_count: accounts that differ, listed or not.
    """

    ok: bool
    position: int
    recorded_at: datetime | None
    events: int
    transfers: int
    accounts: int
    trial_balances: tuple[TrialBalance, ...]
    overdrawn_count: int
    overdrawn: tuple[Overdrawn, ...]
    compared_at: int | None
    difference_count: int
    differences: tuple[Difference, ...]


class Fold:
    """Totals of every account, added up from transfers one after the other."""

    def __init__(self) -> None:
        self.totals: dict[Key, list[int]] = {}
        self.events = 0
        self.transfers = 0
        self.overdrawn_count = 0
        self.overdrawn: list[Overdrawn] = []

    def see(self, row: Recorded) -> None:
        """Add one event's transfer, if it has one."""
        self.events += 1
        transfer = postings(row.data, row.metadata)
        if transfer is None:
            return
        self.transfers += 1
        for entry in transfer.entries:
            key = (transfer.mode, entry.amount.currency, transfer.merchant_id, entry.account)
            totals = self.totals.setdefault(key, [0, 0])
            totals[entry.direction == "credit"] += entry.amount.minor
            if entry.account.startswith("holds") and balance(entry.account, *totals) < 0:
                self._overdraw(row.position, key, balance(entry.account, *totals))

    def _overdraw(self, position: int, key: Key, below: int) -> None:
        self.overdrawn_count += 1
        mode, currency, _, account = key
        if len(self.overdrawn) < FINDINGS_MAX:
            found = Overdrawn(
                position=position, mode=mode, account=account, currency=currency, balance=below
            )
            self.overdrawn.append(found)

    def trial_balances(self) -> tuple[TrialBalance, ...]:
        """Return what all merchants together have, per mode and currency."""
        together: dict[tuple[Mode, str], dict[str, list[int]]] = {}
        for (mode, currency, merchant_id, account), (debits, credits_) in self.totals.items():
            lines = together.setdefault((mode, currency), {})
            sums = lines.setdefault(account.removesuffix(f":{merchant_id}"), [0, 0])
            sums[0] += debits
            sums[1] += credits_
        return tuple(_trial(mode, code, together[mode, code]) for mode, code in sorted(together))


def _trial(mode: Mode, currency: str, accounts: dict[str, list[int]]) -> TrialBalance:
    lines = tuple(
        Line(account=name, debits=d, credits=c, balance=balance(f"{name}:", d, c))
        for name, (d, c) in sorted(accounts.items())
    )
    debits, credits_ = sum(line.debits for line in lines), sum(line.credits for line in lines)
    return TrialBalance(
        mode=mode,
        currency=currency,
        debits=debits,
        credits=credits_,
        difference=debits - credits_,
        lines=lines,
    )


async def audit_books(
    database_url: str,
    *,
    as_of: datetime | int | None = None,
    progress: Progress = lambda _done, _total: None,
) -> Books:
    """Fold the log up to a position and compare the read model on the way, where it reaches.

    Args:
        database_url: where the log and the read model are.
        as_of: a position, or a time of commits; None is the end of the log.
        progress: told how many of how many events are done, once per page.

    Raises:
        NotFound: the log ends before that position.
        Rejected: `unreadable_event`, an event that is missing or that this version cannot read.
    """
    async with await connect(database_url, "loop-books") as db:
        upto = await _position(db, as_of)
        shown = await _shown_position(db)
        compared_at = None if shown is None else min(shown, upto)
        fold, differences = Fold(), list[Difference]()
        if compared_at is not None:
            await _add(db, fold, 0, compared_at, lambda done: progress(done, upto))
            differences = [d async for d in _differences(db, fold, compared_at)]
        await _add(db, fold, compared_at or 0, upto, lambda done: progress(done, upto))
        return _report(fold, upto, await recorded_at(db, upto), compared_at, differences)


async def _position(db: Connection, as_of: datetime | int | None) -> int:
    if isinstance(as_of, datetime):
        try:
            return await position_at(db, as_of)
        except LookupError as error:
            raise Rejected("unreadable_event", str(error)) from None
    last = await head(db)
    if as_of is not None and as_of > last:
        raise NotFound("not_found", f"the log ends with event {last}")
    return last if as_of is None else as_of


async def _shown_position(db: Connection) -> int | None:
    """Return how far the live ledger is, None before there is one."""
    cursor = await db.execute("SELECT to_regclass('loop.projection_positions') IS NOT NULL")
    if await cursor.fetchone() != (True,):
        return None
    cursor = await db.execute(
        "SELECT position FROM projection_positions WHERE name = 'ledger' AND live"
    )
    row = await cursor.fetchone()
    return row[0] if row else None


async def _add(
    db: Connection, fold: Fold, after: int, upto: int, progress: Callable[[int], None]
) -> None:
    if after >= upto:
        return
    async for page in pages(db, after, upto):
        for row in page:
            if row.position != fold.events + 1:
                raise Rejected("unreadable_event", f"event {fold.events + 1} is missing")
            fold.see(_decoded(row))
        progress(page[-1].position)
    if fold.events != upto:
        raise Rejected("unreadable_event", f"event {fold.events + 1} is missing")


def _decoded(row: Row) -> Recorded:
    try:
        return decoded(row)
    except (UnknownTag, CorruptEvent) as error:
        message = f"event {row.position} cannot be read: {error}"
        raise Rejected("unreadable_event", message) from None


_SHOWN: Final = """
SELECT l.mode, l.currency, l.merchant_id, l.account, e.debits, e.credits
FROM ledger l CROSS JOIN LATERAL (
    SELECT debits, credits FROM ledger_entries
    WHERE account_id = l.account_id AND position <= %s ORDER BY position DESC LIMIT 1
) e
"""


async def _differences(db: Connection, fold: Fold, position: int) -> AsyncIterator[Difference]:
    """Yield every account of which the read model shows something else at a position."""
    missing = dict(fold.totals)
    async with db.transaction(), db.cursor(name="books") as cursor:
        cursor.itersize = PAGE
        await cursor.execute(_SHOWN, (position,))
        async for mode, currency, merchant_id, account, debits, credits_ in cursor:
            key: Key = (mode, currency, merchant_id, account)
            log = missing.pop(key, None)
            if log != [debits, credits_]:
                yield _difference(key, log, [debits, credits_])
    for key, log in missing.items():
        yield _difference(key, log, None)


def _difference(key: Key, log: list[int] | None, shown: list[int] | None) -> Difference:
    mode, currency, merchant_id, account = key
    return Difference(
        mode=mode,
        merchant_id=merchant_id,
        account=account,
        currency=currency,
        log=None if log is None else balance(account, *log),
        shown=None if shown is None else balance(account, *shown),
    )


def _report(
    fold: Fold,
    position: int,
    at: datetime | None,
    compared_at: int | None,
    differences: Sequence[Difference],
) -> Books:
    trials = fold.trial_balances()
    return Books(
        ok=not (fold.overdrawn_count or differences or any(t.difference for t in trials)),
        position=position,
        recorded_at=at,
        events=fold.events,
        transfers=fold.transfers,
        accounts=len(fold.totals),
        trial_balances=trials,
        overdrawn_count=fold.overdrawn_count,
        overdrawn=tuple(fold.overdrawn),
        compared_at=compared_at,
        difference_count=len(differences),
        differences=tuple(differences[:FINDINGS_MAX]),
    )
