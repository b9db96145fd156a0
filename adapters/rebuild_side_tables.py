"""Due rows and claims as the log has them, compared with the tables; `repair` adds what is missing.

Derived are the due rows of every order and its claims (its external id, its checkout session), and
what every payout claims: that which explains its lines.
Claims of other kinds, and all else that stands beside the log (keys, data keys, secrets), cannot
be derived.
"""

from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any, Final, Literal

import msgspec
from psycopg import AsyncConnection, IsolationLevel

from adapters.codec import CorruptEvent, UnknownTag, decode_row
from adapters.connect import connect
from domain import settlement as s
from domain.events import Recorded
from domain.order.evolve import fold
from domain.order.state import Order
from domain.order.steps import steps

TRIES_UNKNOWN: Final = 2
"""Tries of a repaired row: enough that a lost first try is not taken for the first."""
EXAMPLES_MAX: Final = 100
_PAGE: Final = 1000

_LOG: Final = """
    SELECT originator_id, originator_version, topic, state, notification_id, recorded_at
    FROM events WHERE originator_id >= 'ord_' AND originator_id < 'ord`'
        OR originator_id >= 'set_' AND originator_id < 'set`'
    ORDER BY originator_id, originator_version
"""
_DUE: Final = "SELECT order_id, subject, operation FROM due ORDER BY order_id"
_CLAIMS: Final = """
    SELECT owner, kind, scope, value FROM claims
    WHERE kind IN ('external_id', 'checkout_session', 'settled') ORDER BY owner
"""
_LOCK: Final = "SELECT pg_advisory_xact_lock(hashtextextended('loop.events', 0))"
_STREAM: Final = """
    SELECT originator_id, originator_version, topic, state, notification_id, recorded_at
    FROM events WHERE originator_id = %s ORDER BY originator_version
"""
_ADD_DUE: Final = """
    INSERT INTO due (order_id, subject, operation, due_at, tries, news)
    VALUES (%s, %s, %s, coalesce(%s, clock_timestamp()), %s, true) ON CONFLICT DO NOTHING
"""
_ADD_CLAIM: Final = """
    INSERT INTO claims (kind, scope, value, owner) VALUES (%s, %s, %s, %s)
    ON CONFLICT DO NOTHING
"""


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """One row that is not as the log has it.

    Attributes:
        order_id: of the order, or of the payout whose claims differ.
        key: a due row's subject; a claim's kind, scope and value; empty for an unreadable order.
        expected: the operation or owner by the log, None where there should be no row.
        found: the same in the table, None where there is no row.
    """

    table: Literal["due", "claims", "events"]
    problem: Literal["missing", "extra", "different", "unreadable"]
    order_id: str
    key: str
    expected: str | None = None
    found: str | None = None


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What a check found.

    Attributes:
        orders: how many were folded.
        differences: how many of each kind, by `table.problem`.
        examples: the first of them, at most `EXAMPLES_MAX`.
        repaired: how many rows were added.
    """

    orders: int
    differences: dict[str, int]
    examples: tuple[Difference, ...]
    repaired: int = 0


async def check_side_tables(database_url: str, *, repair: bool = False) -> Report:
    """Compare the side tables with the log as they are at one moment, in flat memory.

    Due times and tries are not compared: retries move them. `repair` adds missing rows only, each
    order's as its stream is then.

    Raises:
        psycopg.OperationalError: the database is gone; what was repaired until then stays.
    """
    counts: Counter[str] = Counter()
    examples: list[Difference] = []
    repaired = orders = 0
    async with _at_one_moment(database_url) as snapshot, _connected(database_url) as writer:
        async for order_id, expected, found in _side_by_side(snapshot):
            orders += expected is not None and order_id.startswith("ord_")
            differences = _differences(order_id, expected, found)
            counts.update(f"{d.table}.{d.problem}" for d in differences)
            examples.extend(differences[: EXAMPLES_MAX - len(examples)])
            if repair and any(d.problem == "missing" for d in differences):
                repaired += await _repair(writer, order_id)
    return Report(
        orders=orders, differences=dict(counts), examples=tuple(examples), repaired=repaired
    )


_Rows = dict[tuple[str, str], str]
"""By table and key, the operation or owner."""


def _expected(order: Order) -> _Rows:
    rows = {("due", step.subject): str(step.operation) for step in steps(order)}
    rows |= {("claims", " ".join(claim)): order.id for claim in _claims(order)}
    return rows


def _claims(order: Order) -> Iterator[tuple[str, str, str]]:
    """Yield kind, scope and value of what an order claims."""
    scope = f"{order.merchant_id}:{order.mode}"
    if order.external_id is not None:
        yield "external_id", scope, order.external_id
    if order.checkout_session_id is not None:
        yield "checkout_session", scope, order.checkout_session_id


def _used(rows: list[Recorded]) -> Iterator[tuple[str, str, str]]:
    """Yield kind, scope and value of what explains a payout's lines."""
    settlement = s.fold(rows)
    assert settlement is not None, "there are rows"
    for key in sorted(settlement.taken):
        yield "settled", f"{settlement.merchant_id}:{settlement.mode}", s.key_text(key)


def _differences(order_id: str, expected: _Rows | None, found: _Rows) -> list[Difference]:
    if expected is None:
        return [Difference(table="events", problem="unreadable", order_id=order_id, key="")]
    return [
        Difference(
            table="due" if table == "due" else "claims",
            problem="missing" if has is None else "extra" if wants is None else "different",
            order_id=order_id,
            key=key,
            expected=wants,
            found=has,
        )
        for table, key in sorted(expected.keys() | found.keys())
        if (wants := expected.get((table, key))) != (has := found.get((table, key)))
    ]


async def _side_by_side(
    snapshot: AsyncConnection[Any],
) -> AsyncIterator[tuple[str, _Rows | None, _Rows]]:
    """Give, in the order of their ids, each order's rows by the log and as they are."""
    log = _grouped(snapshot, "log", _LOG)
    due = _grouped(snapshot, "due", _DUE)
    claims = _grouped(snapshot, "claims", _CLAIMS)
    sources = [log, due, claims]
    heads = [await anext(source, None) for source in sources]
    while left := [head[0] for head in heads if head is not None]:
        order_id = min(left)
        rows: list[list[tuple[Any, ...]]] = []
        for n, head in enumerate(heads):
            mine = head is not None and head[0] == order_id
            rows.append(head[1] if head is not None and mine else [])
            if mine:
                heads[n] = await anext(sources[n], None)
        found = {("due", subject): str(operation) for _, subject, operation in rows[1]}
        found |= {("claims", " ".join(claim)): owner for owner, *claim in rows[2]}
        yield order_id, _folded(rows[0]), found


def _folded(rows: list[tuple[Any, ...]]) -> _Rows | None:
    """Return what the log asks for; None when this version cannot read the stream."""
    try:
        recorded = [_recorded(row) for row in rows]
    except (UnknownTag, CorruptEvent):
        return None
    if recorded and recorded[0].stream_id.startswith("set_"):
        return {("claims", " ".join(claim)): recorded[0].stream_id for claim in _used(recorded)}
    order = fold(recorded)
    return _expected(order) if order else {}


def _recorded(row: tuple[Any, ...]) -> Recorded:
    stream_id, version, topic, state, position, recorded_at = row
    return decode_row(
        stream_id=stream_id,
        version=version,
        topic=topic,
        state=bytes(state),
        position=position,
        recorded_at=recorded_at,
    )


async def _grouped(
    connection: AsyncConnection[Any], name: str, statement: str
) -> AsyncIterator[tuple[str, list[tuple[Any, ...]]]]:
    """Give the rows of a sorted query in groups with one first column, a page at a time."""
    group: list[tuple[Any, ...]] = []
    async with connection.cursor(name) as cursor:
        await cursor.execute(statement.encode())
        while page := await cursor.fetchmany(_PAGE):
            for row in page:
                if group and group[0][0] != row[0]:
                    yield group[0][0], group
                    group = []
                group.append(row)
    if group:
        yield group[0][0], group


async def _repair(writer: AsyncConnection[Any], order_id: str) -> int:
    """Add what an order lacks now; under the log's lock, so that nothing is appended meanwhile."""
    async with writer.transaction():
        await writer.execute(_LOCK)
        rows = await (await writer.execute(_STREAM, (order_id,))).fetchall()
        recorded = [_recorded(row) for row in rows]
        added = 0
        if order_id.startswith("set_"):
            for claim in _used(recorded):
                added += (await writer.execute(_ADD_CLAIM, (*claim, order_id))).rowcount
            return added
        order = fold(recorded)
        assert order is not None, "the log never shrinks"
        for step in steps(order):
            place = (order.id, step.subject, step.operation, step.at, TRIES_UNKNOWN)
            added += (await writer.execute(_ADD_DUE, place)).rowcount
        for claim in _claims(order):
            added += (await writer.execute(_ADD_CLAIM, (*claim, order.id))).rowcount
    return added


@asynccontextmanager
async def _connected(database_url: str) -> AsyncIterator[AsyncConnection[Any]]:
    async with await connect(database_url, name="loop-check") as connection:
        yield connection


@asynccontextmanager
async def _at_one_moment(database_url: str) -> AsyncIterator[AsyncConnection[Any]]:
    """Give a connection in a read-only transaction whose queries all see the same moment."""
    async with _connected(database_url) as connection:
        await connection.execute("SET statement_timeout = 0")
        await connection.execute("SET idle_in_transaction_session_timeout = 0")
        await connection.set_isolation_level(IsolationLevel.REPEATABLE_READ)
        await connection.set_read_only(True)
        async with connection.transaction():
            yield connection
