"""One call of `append_events`: what waits for it, its arguments, and what its answer means."""

import asyncio
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import msgspec

from adapters.codec import encode
from commands.append import Append, KeyRevoked, KeyRow, VersionTaken, Write
from domain.events import Recorded, tag_of

CALL: Final = (
    "SELECT cmd, outcome, first_position, at FROM append_events("
    "%b, %b::int[], %b::text[], %b::bigint[], %b::text[], %b::bytea[], "
    "%b::int[], %b::text[], %b::text[], %b::bytea[], %b::int[], %b::text[], %b::bigint[], "
    "%b::text[], %b::int[], %b::text[], %b::text[], %b::text[], %b::text[], "
    "%b::int[], %b::text[], %b::text[], %b::text[], %b::timestamptz[], %b::int[], "
    "%b::int[], %b::text[], %b::int[], %b::text[], %b::text[], %b::text[], %b::bytea[], "
    "%s::jsonb, %s::jsonb)"
)


class Refused(Exception):
    """An append was refused for a reason whose details have to be read."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(slots=True)
class Pending:
    """An append that waits.

    Attributes:
        states: the encoded events of each write.
        keys: what two appends of one batch must not have in common.
        lost: how often its outcome became unknown.
    """

    append: Append
    states: tuple[tuple[bytes, ...], ...]
    keys: frozenset[tuple[str, ...]]
    done: "asyncio.Future[tuple[Recorded, ...]]"
    lost: int = 0

    @property
    def events(self) -> int:
        """How many events it has."""
        return sum(len(write.events) for write in self.append.writes)

    def rows(self) -> Iterator[tuple[Write, int, int, bytes]]:
        """Give the write, the index in it, the version and the bytes of each event, in order."""
        for write, states in zip(self.append.writes, self.states, strict=True):
            for n, state in enumerate(states):
                yield write, n, write.expected_version + n + 1, state

    def succeed(self, rows: tuple[Recorded, ...]) -> None:
        """Tell the caller that the append is in the log."""
        if not self.done.done():
            self.done.set_result(rows)

    def fail(self, error: Exception) -> None:
        """Tell the caller why not; every caller gets an exception object of its own."""
        if not self.done.done():
            self.done.set_exception(error)


def pending(append: Append) -> Pending:
    """Encode an append and give it a future.

    Raises:
        UnicodeEncodeError: a text has half of a surrogate pair.
    """
    assert len({w.stream_id for w in append.writes}) == len(append.writes), "one write per stream"
    states = tuple(
        tuple(encode(event.metadata, event.data) for event in write.events)
        for write in append.writes
    )
    future = asyncio.get_running_loop().create_future()
    return Pending(append, states, _unique_keys(append), future)


def _unique_keys(append: Append) -> frozenset[tuple[str, ...]]:
    keys: set[tuple[str, ...]] = {("stream", write.stream_id) for write in append.writes}
    keys.update(("claim", c.kind, c.scope, c.value) for c in append.claims)
    if append.idempotency is not None:
        keys.add(("idempotency", append.idempotency.scope, append.idempotency.key))
    return frozenset(keys)


def settle(waiting: Pending, outcome: str, position: int | None, at: datetime) -> None:
    """Tell one caller how its append ended."""
    match outcome:
        case "ok":
            waiting.succeed(_recorded(waiting.append, position or 0, at))
        case "version_taken":
            waiting.fail(VersionTaken("another append was first"))
        case "key_revoked":
            waiting.fail(KeyRevoked("the API key does not work any more"))
        case _:
            waiting.fail(Refused(outcome))


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


def arguments(batch: list[Pending]) -> list[Any]:
    """Return the arguments of `CALL`: one array per column.

    Raises:
        UnicodeEncodeError, psycopg.DataError: by psycopg, for text that Postgres cannot hold.
    """
    events: list[tuple[Any, ...]] = []
    records: list[tuple[Any, ...]] = []
    claims: list[tuple[Any, ...]] = []
    due: list[tuple[Any, ...]] = []
    callers: list[tuple[Any, ...]] = []
    data_keys: list[tuple[Any, ...]] = []
    issued: list[dict[str, Any]] = []
    revoked: list[dict[str, Any]] = []
    for n, waiting in enumerate(batch):
        a = waiting.append
        events += [
            (n, write.stream_id, version, tag_of(write.events[i].data), state)
            for write, i, version, state in waiting.rows()
        ]
        if (r := a.idempotency) is not None:
            head = (n, r.scope, r.key, r.fingerprint)
            records.append((*head, r.status, r.stream_id, r.version, r.subject))
        claims += [(n, c.kind, c.scope, c.value, c.owner) for c in a.claims]
        due += [(n, d.order_id, d.subject, d.operation, d.at, a.worker) for d in a.due]
        if a.caller_key is not None:
            callers.append((n, a.caller_key))
        data_keys += [(n, k.key_id, k.subject, k.merchant_id, k.wrapped) for k in a.data_keys]
        issued += [_issued(n, row) for row in a.key_rows]
        revoked += [{"cmd": n, "key_id": key_id} for key_id in a.revoked_keys]
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


def _columns(rows: list[tuple[Any, ...]], width: int) -> list[list[Any]]:
    """Turn rows into columns."""
    return [list(column) for column in zip(*rows, strict=True)] if rows else [[]] * width


def _issued(n: int, row: KeyRow) -> dict[str, Any]:
    expires_at = row.expires_at.isoformat() if row.expires_at else None
    return msgspec.structs.asdict(row) | {
        "cmd": n,
        "key_hash": row.key_hash.hex(),
        "expires_at": expires_at,
    }
