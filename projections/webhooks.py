"""What merchants are told: one row per public event, and which endpoints wanted what, and when.

The tables that are live also make the deliveries, in the same database transaction, so that none
is missed. A delivery and what came of it stand beside the read model: whatever is folded again
finds them there, and nothing is sent again.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Final

import msgspec
from psycopg import sql

from domain import events as e
from domain.events import Recorded
from domain.metadata import Mode
from domain.public_events import EventType, public_type
from projections.base import Connection, columns, named
from projections.webhook_deliveries import deliver

_SCHEMA: Final = """
CREATE TABLE {webhook_events} (
    position    bigint           PRIMARY KEY,
    event_id    text COLLATE "C" NOT NULL,
    merchant_id text COLLATE "C" NOT NULL,
    mode        text COLLATE "C" NOT NULL,
    stream_id   text COLLATE "C" NOT NULL,
    version     bigint           NOT NULL,  -- of the stream, with this event
    type        text COLLATE "C" NOT NULL,
    sequence    bigint,                     -- the order's public events, counted
    refund_id   text COLLATE "C",           -- that is asked for
    target      text COLLATE "C",           -- the only endpoint that it is for
    created_at  timestamptz      NOT NULL,
    stale_from  bigint
);
CREATE UNIQUE INDEX ON {webhook_events} (event_id);
CREATE INDEX ON {webhook_events} (merchant_id, mode, position);
CREATE INDEX ON {webhook_events} (stream_id, position);
CREATE TABLE {webhook_endpoints} (
    endpoint_id   text COLLATE "C" NOT NULL,
    from_position bigint           NOT NULL,
    to_position   bigint,                     -- of what came after it
    merchant_id   text COLLATE "C" NOT NULL,
    mode          text COLLATE "C" NOT NULL,
    events        text[]           NOT NULL,
    status        text COLLATE "C" NOT NULL,
    stale_from    bigint,
    PRIMARY KEY (endpoint_id, from_position)
);
CREATE INDEX ON {webhook_endpoints} (merchant_id, mode);
"""

_NAMES: Final = {"webhook_events": "webhook_events", "webhook_endpoints": "webhook_endpoints"}


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """One public event. `sequence` counts those of its order, from 1; others have none."""

    position: int
    event_id: str
    merchant_id: str
    mode: Mode
    stream_id: str
    version: int
    type: EventType
    sequence: int | None
    refund_id: str | None
    target: str | None
    created_at: datetime


class Wants(msgspec.Struct, frozen=True, kw_only=True):
    """What an endpoint wanted from a position on."""

    endpoint_id: str
    from_position: int
    merchant_id: str
    mode: Mode
    events: tuple[str, ...]
    status: str


class Counted(msgspec.Struct, kw_only=True):
    """What was told of an order so far."""

    sequence: int = 0
    refunds: set[str] = msgspec.field(default_factory=set)


def told(
    batch: Iterable[Recorded], counts: Mapping[str, Counted], modes: Mapping[str, Mode]
) -> Iterator[Told]:
    """Yield the public events of rows in position order; `counts` are carried on.

    Args:
        batch: rows of orders and merchants.
        counts: by order, for every order of the batch.
        modes: by endpoint, for every endpoint that the batch names.
    """
    for row in batch:
        kind = public_type(row.data)
        if kind is None:
            continue
        if isinstance(row.data, e.EndpointChanged | e.EndpointTested):
            mode = modes.get(row.data.endpoint_id)
            if mode is not None:
                target = row.data.endpoint_id if isinstance(row.data, e.EndpointTested) else None
                yield _told(row, kind, mode, target=target)
            continue
        count = counts[row.stream_id]
        if isinstance(row.data, e.RefundFailed) and row.data.refund_id not in count.refunds:
            continue
        count.sequence += 1
        assert row.metadata.mode is not None, "an order is of one mode"
        asked = row.data.refund_id if isinstance(row.data, e.RefundRequested) else None
        if asked is not None:
            count.refunds.add(asked)
        yield _told(row, kind, row.metadata.mode, sequence=count.sequence, refund_id=asked)


def _told(
    row: Recorded,
    kind: EventType,
    mode: Mode,
    *,
    sequence: int | None = None,
    refund_id: str | None = None,
    target: str | None = None,
) -> Told:
    return Told(
        position=row.position,
        event_id=row.metadata.event_id,
        merchant_id=row.metadata.merchant_id,
        mode=mode,
        stream_id=row.stream_id,
        version=row.version,
        type=kind,
        sequence=sequence,
        refund_id=refund_id,
        target=target,
        created_at=row.metadata.occurred_at,
    )


def changed_wants(
    batch: Iterable[Recorded], before: Iterable[Wants]
) -> tuple[dict[str, Mode], list[Wants], list[tuple[str, int]]]:
    """Return the modes of all endpoints, what they want anew, and what ended at which position."""
    current = {wants.endpoint_id: wants for wants in before}
    modes = {endpoint_id: wants.mode for endpoint_id, wants in current.items()}
    begun: list[Wants] = []
    ended: list[tuple[str, int]] = []
    for row in batch:
        after = _wants_after(current, row)
        if after is None:
            continue
        endpoint_id = after.endpoint_id
        if endpoint_id in current:
            ended.append((endpoint_id, row.position))
        if after.status == "removed":
            current.pop(endpoint_id, None)
            continue
        current[endpoint_id] = after
        modes[endpoint_id] = after.mode
        begun.append(after)
    return modes, begun, ended


def _wants_after(current: Mapping[str, Wants], row: Recorded) -> Wants | None:
    """Return what an endpoint wants after a row, None where that is as before."""
    event = row.data
    if isinstance(event, e.EndpointAdded):
        return Wants(
            endpoint_id=event.endpoint_id,
            from_position=row.position,
            merchant_id=row.stream_id,
            mode=event.mode,
            events=event.events,
            status="enabled",
        )
    if not isinstance(event, e.EndpointChanged | e.EndpointRemoved):
        return None
    known = current.get(event.endpoint_id)
    if known is None:
        return None
    if isinstance(event, e.EndpointRemoved):
        return msgspec.structs.replace(known, status="removed")
    if event.events is None and event.status is None:
        return None
    return msgspec.structs.replace(
        known,
        from_position=row.position,
        events=known.events if event.events is None else event.events,
        status=event.status or known.status,
    )


_COUNTS: Final = """
SELECT stream_id, max(sequence), array_remove(array_agg(refund_id), NULL) FROM {webhook_events}
WHERE stream_id = ANY(%s) GROUP BY stream_id
"""

_WANTS: Final = """
SELECT endpoint_id, from_position, merchant_id, mode, events, status FROM {webhook_endpoints}
WHERE merchant_id = ANY(%s) AND to_position IS NULL
"""

_SAVE: Final = """
INSERT INTO {webhook_events} (
    position, event_id, merchant_id, mode, stream_id, version, type, sequence, refund_id, target,
    created_at
)
SELECT * FROM unnest(
    %b::bigint[], %b::text[], %b::text[], %b::text[], %b::text[], %b::bigint[], %b::text[],
    %b::bigint[], %b::text[], %b::text[], %b::timestamptz[]
)
"""

_BEGIN: Final = """
INSERT INTO {webhook_endpoints} (
    endpoint_id, from_position, merchant_id, mode, events, status
) VALUES (%s, %s, %s, %s, %s, %s)
"""

_END: Final = """
UPDATE {webhook_endpoints} SET to_position = %(at)s
WHERE endpoint_id = %(id)s AND to_position IS NULL AND from_position < %(at)s
"""


class WebhooksView:
    """The projection `webhooks`; see `projections.base.Projection`."""

    name = "webhooks"
    version = 1
    tables = ("webhook_events", "webhook_endpoints")
    streams = ("ord_", "mer_")

    def schema(self, n: int) -> sql.Composed:
        """Return the DDL of generation `n`."""
        return named(_SCHEMA, n, **_NAMES)

    async def apply(self, db: Connection, n: int, batch: Sequence[Recorded]) -> None:
        """Note what is told, and to whom; make the deliveries if the tables are live."""
        modes = await self._note_wants(db, n, batch)
        counts = await self._counts(db, n, batch)
        found = list(told(batch, counts, modes))
        if found:
            rows = columns(msgspec.structs.astuple(one) for one in found)
            await db.execute(named(_SAVE, n, **_NAMES), rows)
        await deliver(db, n, batch)

    async def _note_wants(
        self, db: Connection, n: int, batch: Sequence[Recorded]
    ) -> dict[str, Mode]:
        rows = [row for row in batch if isinstance(row.data, _OF_ENDPOINTS)]
        if not rows:
            return {}
        merchants = list({row.stream_id for row in rows})
        cursor = await db.execute(named(_WANTS, n, **_NAMES), (merchants,))
        before = [
            Wants(
                endpoint_id=endpoint_id,
                from_position=position,
                merchant_id=merchant_id,
                mode=mode,
                events=tuple(events),
                status=status,
            )
            for endpoint_id, position, merchant_id, mode, events, status in await cursor.fetchall()
        ]
        modes, begun, ended = changed_wants(rows, before)
        for wants in begun:
            values = (*msgspec.structs.astuple(wants)[:4], list(wants.events), wants.status)
            await db.execute(named(_BEGIN, n, **_NAMES), values)
        for endpoint_id, position in ended:
            await db.execute(named(_END, n, **_NAMES), {"id": endpoint_id, "at": position})
        return modes

    async def _counts(
        self, db: Connection, n: int, batch: Sequence[Recorded]
    ) -> dict[str, Counted]:
        """Return what was told of every order of the batch, before it."""
        counts: dict[str, Counted] = {}
        known: list[str] = []
        for row in batch:
            if row.stream_id not in counts:
                counts[row.stream_id] = Counted()
                if row.version > 1:
                    known.append(row.stream_id)
        if known:
            cursor = await db.execute(named(_COUNTS, n, **_NAMES), (known,))
            for stream_id, sequence, refunds in await cursor.fetchall():
                counts[stream_id] = Counted(sequence=sequence or 0, refunds=set(refunds))
        return counts

    async def mark_stale(self, db: Connection, n: int, stream_id: str, position: int) -> None:
        """Note in the stream's rows that events are missing behind them."""
        for statement in (
            "UPDATE {webhook_events} SET stale_from = %s WHERE stream_id = %s",
            "UPDATE {webhook_endpoints} SET stale_from = %s WHERE merchant_id = %s",
        ):
            await db.execute(named(statement, n, **_NAMES), (position, stream_id))

    async def forget(self, db: Connection, n: int, stream_id: str) -> None:
        """Remove the stream's rows."""
        for statement in (
            "DELETE FROM {webhook_events} WHERE stream_id = %s",
            "DELETE FROM {webhook_endpoints} WHERE merchant_id = %s",
        ):
            await db.execute(named(statement, n, **_NAMES), (stream_id,))


_OF_ENDPOINTS: Final = (e.EndpointAdded, e.EndpointChanged, e.EndpointRemoved, e.EndpointTested)
