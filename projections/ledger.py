"""The ledger: one row per account, and one per entry with the account's totals right after it.

Entries never change, so any position of the past is answered as the present is: the last entry of
an account up to that position, found under the primary key. Sums are integers; one that outgrew
64 bits would stop the projection, not wrap around.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Final

import msgspec
from psycopg import sql

from domain.events import (
    Recorded,
    SettlementMatched,
    SettlementReported,
    SettlementUnmatched,
)
from domain.metadata import Mode
from domain.postings import Direction, Entry, Transfer, balance, postings
from projections.base import Connection, Page, named

_SCHEMA: Final = """
CREATE TABLE {ledger} (
    account_id  bigint           PRIMARY KEY,  -- 512 x position of its first entry + place in it
    merchant_id text COLLATE "C" NOT NULL,
    mode        text COLLATE "C" NOT NULL,
    account     text COLLATE "C" NOT NULL,
    currency    text COLLATE "C" NOT NULL,
    debits      bigint           NOT NULL,     -- totals of minor units
    credits     bigint           NOT NULL,
    opened_at   timestamptz      NOT NULL,     -- occurred_at of the first entry
    position    bigint           NOT NULL      -- of the last entry
) WITH (fillfactor = 80);
CREATE UNIQUE INDEX ON {ledger} (merchant_id, mode, currency, account);
CREATE TABLE {ledger_entries} (
    account_id   bigint           NOT NULL,
    position     bigint           NOT NULL,
    n            smallint         NOT NULL,    -- place in the transfer, from 0
    transfer_id  text COLLATE "C" NOT NULL,    -- id of the event
    order_id     text COLLATE "C",             -- null where it is no single order's
    is_debit     boolean          NOT NULL,
    amount_minor bigint           NOT NULL,
    debits       bigint           NOT NULL,    -- of the account, this entry included
    credits      bigint           NOT NULL,
    occurred_at  timestamptz      NOT NULL,
    PRIMARY KEY (account_id, position)
);
CREATE INDEX ON {ledger_entries} (order_id, position, n) WHERE order_id IS NOT NULL;
"""

_LOAD: Final = """
SELECT l.merchant_id, l.mode, l.currency, l.account, l.account_id, l.debits, l.credits, l.opened_at
FROM unnest(%b::text[], %b::text[], %b::text[], %b::text[])
    AS k (merchant_id, mode, currency, account)
JOIN {ledger} l USING (merchant_id, mode, currency, account)
"""

_SAVE: Final = """
INSERT INTO {ledger} (
    merchant_id, mode, currency, account, account_id, debits, credits, opened_at, position
)
SELECT * FROM unnest(
    %b::text[], %b::text[], %b::text[], %b::text[], %b::bigint[], %b::bigint[], %b::bigint[],
    %b::timestamptz[], %b::bigint[]
)
ON CONFLICT (account_id) DO UPDATE SET
    debits = excluded.debits, credits = excluded.credits, position = excluded.position
"""

_ADD: Final = """
INSERT INTO {ledger_entries} (
    account_id, position, n, transfer_id, order_id, is_debit, amount_minor, debits, credits,
    occurred_at
)
SELECT * FROM unnest(
    %b::bigint[], %b::bigint[], %b::smallint[], %b::text[], %b::text[], %b::boolean[],
    %b::bigint[], %b::bigint[], %b::bigint[], %b::timestamptz[]
)
"""

_NAMES: Final = {"ledger": "ledger", "ledger_entries": "ledger_entries"}
_ENTRIES_MAX: Final = 512
"""Entries of one transfer, all currencies of a payout among them; accounts are numbered by it."""

Key = tuple[str, str, str, str]
"""Merchant, mode, currency and name of an account."""


class Totals(msgspec.Struct, kw_only=True):
    """An account while a batch is folded; it alone changes in place."""

    account_id: int
    debits: int
    credits: int
    opened_at: datetime
    position: int


class LedgerView:
    """The projection `ledger`; see `projections.base.Projection`."""

    name = "ledger"
    version = 2
    tables = ("ledger", "ledger_entries")
    streams = ("ord_", "set_")

    def schema(self, n: int) -> sql.Composed:
        """Return the DDL of generation `n`."""
        return named(_SCHEMA, n, **_NAMES)

    async def apply(self, db: Connection, n: int, batch: Sequence[Recorded]) -> None:
        """Post the rows' transfers."""
        moved = [(row, transfer) for row in batch if (transfer := _transfer(row))]
        if not moved:
            return
        keys = {_key(transfer, entry) for _, transfer in moved for entry in transfer.entries}
        found = await db.execute(
            named(_LOAD, n, **_NAMES), [list(column) for column in zip(*keys, strict=True)]
        )
        accounts: dict[Key, Totals] = {
            (m, mode, currency, account): Totals(
                account_id=i, debits=d, credits=c, opened_at=at, position=0
            )
            for m, mode, currency, account, i, d, c, at in await found.fetchall()
        }
        entries = [line for row, transfer in moved for line in _post(accounts, row, transfer)]
        await _unnested(db, named(_ADD, n, **_NAMES), entries)
        rows = [(*key, *msgspec.structs.astuple(totals)) for key, totals in accounts.items()]
        await _unnested(db, named(_SAVE, n, **_NAMES), rows)


def _transfer(row: Recorded) -> Transfer | None:
    return postings(row.data, row.metadata)


def _order_of(row: Recorded) -> str | None:
    """Return the order that an entry is about; a payout as a whole is no order's."""
    match row.data:
        case SettlementReported():
            return None
        case SettlementMatched():
            return row.data.match.order_id
        case SettlementUnmatched():
            return row.data.undone.order_id if row.data.undone else None
        case _:
            return row.stream_id


def _key(transfer: Transfer, entry: Entry) -> Key:
    return transfer.merchant_id, transfer.mode, entry.amount.currency, entry.account


def _post(
    accounts: dict[Key, Totals], row: Recorded, transfer: Transfer
) -> Iterable[tuple[Any, ...]]:
    """Add a transfer to the accounts; yield its entries' rows, in the order of the columns."""
    assert len(transfer.entries) <= _ENTRIES_MAX, "accounts are numbered by place in a transfer"
    at = row.metadata.occurred_at
    for n, entry in enumerate(transfer.entries):
        key, minor = _key(transfer, entry), entry.amount.minor
        totals = accounts.get(key)
        if totals is None:
            number = row.position * _ENTRIES_MAX + n
            totals = Totals(account_id=number, debits=0, credits=0, opened_at=at, position=0)
            accounts[key] = totals
        is_debit = entry.direction == "debit"
        totals.debits += minor if is_debit else 0
        totals.credits += 0 if is_debit else minor
        totals.position = row.position
        place = (totals.account_id, row.position, n, transfer.id, _order_of(row))
        yield (*place, is_debit, minor, totals.debits, totals.credits, at)


async def _unnested(
    db: Connection, statement: sql.Composed, rows: Sequence[tuple[Any, ...]]
) -> None:
    await db.execute(statement, [list(column) for column in zip(*rows, strict=True)])


class Filters(msgspec.Struct, frozen=True, kw_only=True):
    """Whose accounts, up to where, and what they are narrowed to.

    Attributes:
        upto: position of the log; not above `as_of_position`.
        order_id: only what this order moved.
    """

    merchant_id: str
    mode: Mode
    upto: int
    currency: str | None = None
    order_id: str | None = None


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """An account and its totals of minor units at a position."""

    id: int
    account: str
    currency: str
    debits: int
    credits: int
    opened_at: datetime

    @property
    def balance(self) -> int:
        """Minor units, positive on the account's normal side."""
        return balance(self.account, self.debits, self.credits)


class EntryRow(msgspec.Struct, frozen=True, kw_only=True):
    """An entry and its account right after it; a payout as a whole is of no single order."""

    position: int
    n: int
    transfer_id: str
    order_id: str | None
    account: str
    currency: str
    direction: Direction
    amount_minor: int
    balance_after: int
    occurred_at: datetime


Place = tuple[int, int]
"""Position and place in the transfer: where an entry stands in a list."""

_ACCOUNTS: Final = """
SELECT l.account_id, l.account, l.currency, e.debits, e.credits, l.opened_at
FROM ledger l CROSS JOIN LATERAL (
    SELECT debits, credits FROM ledger_entries
    WHERE account_id = l.account_id AND position <= %(upto)s ORDER BY position DESC LIMIT 1
) e
WHERE l.merchant_id = %(merchant_id)s AND l.mode = %(mode)s
  AND (%(currency)s::text IS NULL OR l.currency = %(currency)s)
ORDER BY l.currency, l.account
"""

_ACCOUNTS_OF_ORDER: Final = """
SELECT l.account_id, l.account, l.currency,
       coalesce(sum(e.amount_minor) FILTER (WHERE e.is_debit), 0)::bigint,
       coalesce(sum(e.amount_minor) FILTER (WHERE NOT e.is_debit), 0)::bigint, l.opened_at
FROM ledger_entries e JOIN ledger l USING (account_id)
WHERE e.order_id = %(order_id)s AND e.position <= %(upto)s
  AND l.merchant_id = %(merchant_id)s AND l.mode = %(mode)s
  AND (%(currency)s::text IS NULL OR l.currency = %(currency)s)
GROUP BY l.account_id, l.account, l.currency, l.opened_at ORDER BY l.currency, l.account
"""


async def accounts(db: Connection, filters: Filters) -> list[Account]:
    """Return the accounts that had entries by then, by currency and name.

    With an order they hold what that order alone moved.
    """
    statement = _ACCOUNTS_OF_ORDER if filters.order_id else _ACCOUNTS
    found = await db.execute(statement, msgspec.structs.asdict(filters))
    return [
        Account(id=i, account=account, currency=code, debits=d, credits=c, opened_at=at)
        for i, account, code, d, c, at in await found.fetchall()
    ]


_PAGE: Final = """
SELECT e.position, e.n, e.transfer_id, e.order_id, l.account, l.currency, e.is_debit,
       e.amount_minor, e.debits, e.credits, e.occurred_at
FROM ledger l CROSS JOIN LATERAL (
    SELECT * FROM ledger_entries
    WHERE account_id = l.account_id AND {where}
    ORDER BY position {direction} LIMIT %(limit)s
) e
WHERE l.merchant_id = %(merchant_id)s AND l.mode = %(mode)s
  AND (%(currency)s::text IS NULL OR l.currency = %(currency)s)
ORDER BY e.position {direction}, e.n {direction} LIMIT %(limit)s
"""

_PAGE_OF_ORDER: Final = """
SELECT e.position, e.n, e.transfer_id, e.order_id, l.account, l.currency, e.is_debit,
       e.amount_minor, e.debits, e.credits, e.occurred_at
FROM (SELECT * FROM ledger_entries WHERE order_id = %(order_id)s AND {where}) e
JOIN ledger l USING (account_id)
WHERE l.merchant_id = %(merchant_id)s AND l.mode = %(mode)s
  AND (%(currency)s::text IS NULL OR l.currency = %(currency)s)
ORDER BY e.position {direction}, e.n {direction} LIMIT %(limit)s
"""


_WHERE: Final = sql.SQL(
    "position <= least(%(upto)s, %(below)s) AND (position, n) < (%(below)s, %(below_n)s)"
    " AND position >= %(above)s AND (position, n) > (%(above)s, %(above_n)s)"
)


def page_statement(*, of_order: bool, backwards: bool) -> sql.Composed:
    """Return the query of one page."""
    direction = sql.SQL("ASC" if backwards else "DESC")
    statement = sql.SQL(_PAGE_OF_ORDER if of_order else _PAGE)
    return statement.format(where=_WHERE, direction=direction)


async def page(
    db: Connection,
    filters: Filters,
    *,
    after: Place | None = None,
    before: Place | None = None,
    limit: int = 25,
) -> Page[EntryRow]:
    """Return entries, newest first.

    `after` gives those older than a place, `before` the next newer ones, both what is between,
    from the newer end.
    """
    # No entry is beyond these: one statement, and one plan, serves every page.
    below = after or (filters.upto + 1, 0)
    above = before or (0, 0)
    backwards = before is not None and after is None
    statement = page_statement(of_order=filters.order_id is not None, backwards=backwards)
    params = msgspec.structs.asdict(filters) | {"limit": limit + 1}
    params |= {"below": below[0], "below_n": below[1], "above": above[0], "above_n": above[1]}
    found = await db.execute(statement, params)
    rows = [_entry(row) for row in await found.fetchall()]
    kept = rows[:limit]
    return Page(
        rows=tuple(reversed(kept) if backwards else kept),
        has_more=len(rows) > limit,
        as_of_position=filters.upto,
    )


def _entry(row: tuple[Any, ...]) -> EntryRow:
    position, n, transfer_id, order_id, account, currency, is_debit, minor, *totals, at = row
    return EntryRow(
        position=position,
        n=n,
        transfer_id=transfer_id,
        order_id=order_id,
        account=account,
        currency=currency,
        direction="debit" if is_debit else "credit",
        amount_minor=minor,
        balance_after=balance(account, *totals),
        occurred_at=at,
    )


async def as_of_position(db: Connection) -> int:
    """Return the position of the log that the live rows show; 0 before there are any."""
    found = await db.execute(
        "SELECT position FROM projection_positions WHERE name = 'ledger' AND live"
    )
    row = await found.fetchone()
    return row[0] if row else 0
