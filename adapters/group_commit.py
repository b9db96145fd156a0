"""Group commit: all concurrent appends of a process go to Postgres in one call, one transaction."""

import asyncio
import json
import logging
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import msgspec
import psycopg
from prometheus_client import Counter, Histogram
from psycopg import AsyncConnection

from adapters.codec import encode
from adapters.migrations import OPTIONS
from commands.ports import (
    Append,
    IdempotencyRecord,
    KeyRevoked,
    VersionTaken,
)
from domain.errors import Unavailable
from domain.events import Recorded, tag_of

log = logging.getLogger(__name__)

EVENTS_MAX: Final = 512
"""Events in one batch; more wait for the next."""
QUEUE_MAX: Final = 8192
"""Appends that may wait; the next one is refused with 503."""
RECOVERY_TRIES_MAX: Final = 12
STATEMENT_TIMEOUT_MS: Final = 15_000

APPENDED: Final = Counter("events_appended_total", "Events committed to the log")
BATCH: Final = Histogram(
    "append_batch_size", "Appends in one commit", buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
)
WAIT: Final = Histogram(
    "append_wait_seconds",
    "From the call of append to its durable commit",
    buckets=(0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1, 5),
)

_CALL: Final = (
    "SELECT cmd, outcome, first_position, at FROM append_events("
    "%b, %b::int[], %b::text[], %b::bigint[], %b::text[], %b::bytea[], "
    "%b::int[], %b::text[], %b::text[], %b::bytea[], %b::int[], %b::text[], %b::bigint[], "
    "%b::text[], %b::int[], %b::text[], %b::text[], %b::text[], %b::text[], "
    "%b::int[], %b::text[], %b::text[], %b::text[], %b::timestamptz[], %b::int[], "
    "%b::int[], %b::text[], %b::int[], %b::text[], %b::text[], %b::text[], %b::bytea[], "
    "%s::jsonb, %s::jsonb)"
)
_LOCK: Final = "SELECT pg_advisory_xact_lock(hashtextextended('loop.events', 0))"
_FIND_EVENTS: Final = (
    "SELECT e.originator_id, e.originator_version, e.state, e.notification_id, e.recorded_at "
    "FROM events e JOIN unnest(%s::text[], %s::bigint[]) AS k (id, version) "
    "ON e.originator_id = k.id AND e.originator_version = k.version"
)
_FIND_ANSWERS: Final = (
    "SELECT t.scope, t.key, t.fingerprint, t.stream_id, t.version FROM idempotency t "
    "JOIN unnest(%s::text[], %s::text[]) AS k (scope, key) "
    "ON t.scope = k.scope AND t.key = k.key"
)


class Refused(Exception):
    """An append was refused for a reason whose details have to be read."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(slots=True)
class _Pending:
    """An append that waits, with its encoded events and what else may exist only once."""

    append: Append
    states: tuple[tuple[bytes, ...], ...]
    keys: frozenset[tuple[str, ...]]
    done: "asyncio.Future[tuple[Recorded, ...]]"
    lost: int = 0

    @property
    def size(self) -> int:
        return max(1, sum(len(write.events) for write in self.append.writes))


def _unique_keys(append: Append) -> frozenset[tuple[str, ...]]:
    """Return what two appends of one batch must not have in common."""
    keys: set[tuple[str, ...]] = {("stream", write.stream_id) for write in append.writes}
    keys.update(("claim", c.kind, c.scope, c.value) for c in append.claims)
    if append.idempotency is not None:
        keys.add(("idempotency", append.idempotency.scope, append.idempotency.key))
    return frozenset(keys)


class GroupCommit:
    """The writer of one process: a bounded queue, one connection, one task."""

    def __init__(self, database_url: str) -> None:
        self._url = database_url
        self._queue: deque[_Pending] = deque()
        self._wake = asyncio.Event()
        self._closing = False
        self._connection: AsyncConnection[Any] | None = None

    async def append(self, append: Append) -> tuple[Recorded, ...]:
        """Commit one append together with all others that are waiting.

        Raises:
            Refused, VersionTaken, KeyRevoked: nothing of this append was written.
            Unavailable: `overloaded`, nothing was written; `database_unavailable`, not known.
        """
        if self._closing or len(self._queue) >= QUEUE_MAX:
            raise Unavailable("overloaded", "Too much is being written; try again.")
        loop = asyncio.get_running_loop()
        states = tuple(
            tuple(encode(event.metadata, event.data) for event in write.events)
            for write in append.writes
        )
        pending = _Pending(append, states, _unique_keys(append), loop.create_future())
        self._queue.append(pending)
        self._wake.set()
        with WAIT.time():
            # A caller that goes away does not take its append back: it is decided either way.
            return await asyncio.shield(pending.done)

    async def run(self) -> None:
        """Write until `close`; everything that was queued by then is still written."""
        while not (self._closing and not self._queue):
            if not self._queue:
                self._wake.clear()
                await self._wake.wait()
                continue
            batch = self._next_batch()
            try:
                await self._commit(batch)
            except Exception as error:
                log.exception("append batch failed", exc_info=error)
                unavailable = Unavailable("database_unavailable", "The log cannot be written.")
                _fail(batch, unavailable)
        if self._connection is not None:
            await self._connection.close()

    def close(self) -> None:
        """Take no more appends and let `run` end when the queue is empty."""
        self._closing = True
        self._wake.set()

    def _next_batch(self) -> list[_Pending]:
        """Take appends that do not touch each other, in order; the others wait for the next."""
        batch: list[_Pending] = []
        later: list[_Pending] = []
        keys: set[tuple[str, ...]] = set()
        size = 0
        while self._queue and size < EVENTS_MAX:
            pending = self._queue.popleft()
            if keys.isdisjoint(pending.keys):
                batch.append(pending)
                size += pending.size
            else:
                later.append(pending)
            keys |= pending.keys
        self._queue.extendleft(reversed(later))
        return batch

    async def _connect(self) -> AsyncConnection[Any]:
        if self._connection is None or self._connection.closed:
            self._connection = await AsyncConnection.connect(
                self._url,
                autocommit=True,
                prepare_threshold=0,
                connect_timeout=5,
                options=f"{OPTIONS} -c statement_timeout={STATEMENT_TIMEOUT_MS}",
            )
        return self._connection

    async def _commit(self, batch: list[_Pending]) -> None:
        try:
            connection = await self._connect()
        except psycopg.OperationalError as error:
            await self._recover(batch, error)
            return
        try:
            cursor = await connection.execute(_CALL, _arguments(batch))
            rows = await cursor.fetchall()
        except psycopg.errors.DataError as error:
            await self._bisect(batch, error)
        except (psycopg.OperationalError, psycopg.InterfaceError) as error:
            await self._recover(batch, error)
        else:
            BATCH.observe(len(batch))
            for command, outcome, position, at in rows:
                _settle(batch[command], outcome, position, at)

    async def _bisect(self, batch: list[_Pending], error: psycopg.Error) -> None:
        """One append holds data that Postgres cannot take: find it, write the others."""
        if len(batch) == 1:
            _fail(batch, error)
            return
        half = len(batch) // 2
        await self._commit(batch[:half])
        await self._commit(batch[half:])

    async def _recover(self, batch: list[_Pending], error: Exception) -> None:
        """The outcome is unknown: look, and queue again only what is proven not to be there.

        The lock is taken first: while the old backend still lives, it may yet commit.
        """
        log.warning("append outcome unknown, looking it up: %s", type(error).__name__)
        for attempt in range(RECOVERY_TRIES_MAX):
            try:
                found = await self._look_up(batch)
                break
            except (psycopg.OperationalError, psycopg.InterfaceError):
                await asyncio.sleep(min(2.0, 0.05 * 2**attempt))
        else:
            _fail(batch, Unavailable("database_unavailable", "The log cannot be reached."))
            return
        for pending in reversed(batch):
            rows = found.get(id(pending))
            pending.lost += 1
            if rows is not None:
                if not pending.done.done():
                    pending.done.set_result(rows)
            elif pending.lost >= RECOVERY_TRIES_MAX:
                _fail([pending], Unavailable("database_unavailable", "The log cannot be written."))
            else:
                self._queue.appendleft(pending)

    async def _look_up(self, batch: list[_Pending]) -> dict[int, tuple[Recorded, ...]]:
        if self._connection is not None:
            await self._connection.close()
            self._connection = None
        connection = await self._connect()
        writes = [write for pending in batch for write in pending.append.writes]
        wanted = [
            (write.stream_id, write.expected_version + n + 1)
            for write in writes
            for n in range(len(write.events))
        ]
        answers = [p.append.idempotency for p in batch if p.append.idempotency]
        async with connection.transaction():
            await connection.execute(_LOCK)
            ids, versions = [w[0] for w in wanted], [w[1] for w in wanted]
            cursor = await connection.execute(_FIND_EVENTS, (ids, versions))
            rows = {(r[0], r[1]): (bytes(r[2]), r[3], r[4]) for r in await cursor.fetchall()}
            scopes, keys = [a.scope for a in answers], [a.key for a in answers]
            cursor = await connection.execute(_FIND_ANSWERS, (scopes, keys))
            known = {
                (r[0], r[1], bytes(r[2]), r[3], r[4]) for r in await cursor.fetchall()
            }  # fmt: skip
        found = {id(p): _found(p, rows, known) for p in batch}
        return {key: value for key, value in found.items() if value is not None}


def _found(
    pending: _Pending, rows: dict[Any, tuple[bytes, int, datetime]], known: set[tuple[Any, ...]]
) -> tuple[Recorded, ...] | None:
    """Return the rows of an append that was committed, None when it was not.

    Every event has an id of its own in its bytes, so equal bytes are this append's.
    """
    recorded: list[Recorded] = []
    for write, states in zip(pending.append.writes, pending.states, strict=True):
        for n, (event, state) in enumerate(zip(write.events, states, strict=True)):
            version = write.expected_version + n + 1
            row = rows.get((write.stream_id, version))
            if row is None or row[0] != state:
                return None
            recorded.append(
                Recorded(
                    stream_id=write.stream_id,
                    version=version,
                    position=row[1],
                    recorded_at=row[2],
                    metadata=event.metadata,
                    data=event.data,
                )
            )
    record = pending.append.idempotency
    if not recorded and record is not None and _record_key(record) not in known:
        return None
    return tuple(recorded)


def _record_key(record: IdempotencyRecord) -> tuple[Any, ...]:
    return (record.scope, record.key, record.fingerprint, record.stream_id, record.version)


def _settle(pending: _Pending, outcome: str, position: int | None, at: datetime) -> None:
    """Tell one caller how its append ended."""
    if pending.done.done():
        return
    match outcome:
        case "ok":
            rows = _recorded(pending.append, position or 0, at)
            APPENDED.inc(len(rows))
            pending.done.set_result(rows)
        case "version_taken":
            pending.done.set_exception(VersionTaken("another append was first"))
        case "key_revoked":
            pending.done.set_exception(KeyRevoked("the API key does not work any more"))
        case _:
            pending.done.set_exception(Refused(outcome))


def _recorded(append: Append, position: int, at: datetime) -> tuple[Recorded, ...]:
    rows: list[Recorded] = []
    for write in append.writes:
        for n, event in enumerate(write.events):
            rows.append(
                Recorded(
                    stream_id=write.stream_id,
                    version=write.expected_version + n + 1,
                    position=position + len(rows),
                    recorded_at=at,
                    metadata=event.metadata,
                    data=event.data,
                )
            )
    return tuple(rows)


def _fail(batch: Iterable[_Pending], error: Exception) -> None:
    for pending in batch:
        if not pending.done.done():
            pending.done.set_exception(error)


def _columns(rows: list[tuple[Any, ...]], width: int) -> list[list[Any]]:
    """Turn rows into columns."""
    return [list(column) for column in zip(*rows, strict=True)] if rows else [[]] * width


def _arguments(batch: list[_Pending]) -> list[Any]:
    """Return the arguments of `append_events`: one array per column."""
    events: list[tuple[Any, ...]] = []
    records: list[tuple[Any, ...]] = []
    claims: list[tuple[Any, ...]] = []
    due: list[tuple[Any, ...]] = []
    callers: list[tuple[Any, ...]] = []
    data_keys: list[tuple[Any, ...]] = []
    issued: list[dict[str, Any]] = []
    revoked: list[dict[str, Any]] = []
    for n, pending in enumerate(batch):
        a = pending.append
        for write, states in zip(a.writes, pending.states, strict=True):
            version = write.expected_version
            for event, state in zip(write.events, states, strict=True):
                version += 1
                events.append((n, write.stream_id, version, tag_of(event.data), state))
        if (r := a.idempotency) is not None:
            head = (n, r.scope, r.key, r.fingerprint)
            records.append((*head, r.status, r.stream_id, r.version, r.subject))
        claims.extend((n, c.kind, c.scope, c.value, c.owner) for c in a.claims)
        due.extend((n, d.order_id, d.subject, d.operation, d.at, a.worker) for d in a.due)
        if a.caller_key is not None:
            callers.append((n, a.caller_key))
        data_keys.extend((n, k.key_id, k.subject, k.merchant_id, k.wrapped) for k in a.data_keys)
        issued.extend(_issued(n, a))
        revoked.extend({"cmd": n, "key_id": key_id} for key_id in a.revoked_keys)
    return [
        len(batch),
        *_columns(events, 5),
        *_columns(records, 8),
        *_columns(claims, 5),
        *_columns(due, 6),
        *_columns(callers, 2),
        *_columns(data_keys, 5),
        json.dumps(issued) if issued else None,
        json.dumps(revoked) if revoked else None,
    ]


def _issued(n: int, append: Append) -> list[dict[str, Any]]:
    rows = [msgspec.structs.asdict(row) for row in append.key_rows]
    return [
        row
        | {
            "cmd": n,
            "key_hash": row["key_hash"].hex(),
            "expires_at": row["expires_at"].isoformat() if row["expires_at"] else None,
        }
        for row in rows
    ]
