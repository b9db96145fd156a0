"""Loading streams: what was read before is remembered, and only what is newer is asked for.

Every load asks the log, so nobody reads anything stale. The last row that is remembered is read
along with the newer ones: where it is not the same any more (a restored database), the stream is
forgotten and read whole.
"""

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any, Final, TypeAlias

from psycopg import AsyncConnection

from adapters.codec import CorruptEvent, UnknownTag, decode_row
from domain.events import Recorded

ROWS_MAX: Final = 10_000
"""Remembered rows of all streams together, about 2 KB each; the least lately read go first."""

_NEWER: Final = (
    "SELECT e.* FROM unnest(%b::text[], %b::bigint[]) AS k (stream_id, known) CROSS JOIN LATERAL ("
    "SELECT originator_id, originator_version, topic, state, notification_id, recorded_at "
    "FROM events WHERE originator_id = k.stream_id AND originator_version >= k.known "
    "ORDER BY originator_version) AS e"
)

Rows: TypeAlias = tuple[Recorded, ...]


class Streams:
    """What one process remembers of streams."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, Rows] = OrderedDict()
        self._rows = 0

    async def load(
        self, connection: AsyncConnection[Any], stream_ids: Sequence[str]
    ) -> dict[str, Rows | Exception]:
        """Return the rows of each stream as they are now, in order.

        An unknown stream has none; one that cannot be decoded has what was wrong, `UnknownTag` or
        `CorruptEvent`.
        """
        found = await self._asked(connection, stream_ids)
        changed = [stream_id for stream_id, rows in found.items() if rows is None]
        if changed:
            found |= await self._asked(connection, changed)
        return {stream_id: rows or () for stream_id, rows in found.items()}

    async def _asked(
        self, connection: AsyncConnection[Any], stream_ids: Sequence[str]
    ) -> dict[str, Rows | Exception | None]:
        """Return rows; None of a stream that is not as remembered, which is then forgotten."""
        known = [self._known.get(stream_id, ()) for stream_id in stream_ids]
        versions = [rows[-1].version if rows else 1 for rows in known]
        cursor = await connection.execute(_NEWER, (list(stream_ids), versions), binary=True)
        newer: dict[str, list[tuple[Any, ...]]] = {stream_id: [] for stream_id in stream_ids}
        for row in await cursor.fetchall():
            newer[row[0]].append(row)
        return {
            stream_id: self._joined(stream_id, before, newer[stream_id])
            for stream_id, before in zip(stream_ids, known, strict=True)
        }

    def _joined(
        self, stream_id: str, before: Rows, newer: list[tuple[Any, ...]]
    ) -> Rows | Exception | None:
        if before:
            last = before[-1]
            if not newer or newer[0][4:] != (last.position, last.recorded_at):
                self._forget(stream_id)
                return None
            newer = newer[1:]
        try:
            rows = (*before, *map(recorded, newer))
        except (UnknownTag, CorruptEvent) as error:
            return error
        self._remember(stream_id, rows)
        return rows

    def _remember(self, stream_id: str, rows: Rows) -> None:
        self._forget(stream_id)
        if not rows or len(rows) > ROWS_MAX:
            return
        self._known[stream_id] = rows
        self._rows += len(rows)
        while self._rows > ROWS_MAX:
            _, gone = self._known.popitem(last=False)
            self._rows -= len(gone)

    def _forget(self, stream_id: str) -> None:
        self._rows -= len(self._known.pop(stream_id, ()))


def recorded(row: tuple[Any, ...]) -> Recorded:
    """Return a row of the log decoded; raises as `adapters.codec.decode_row`."""
    stream_id, version, topic, state, position, recorded_at = row
    return decode_row(
        stream_id=stream_id,
        version=version,
        topic=topic,
        state=bytes(state),
        position=position,
        recorded_at=recorded_at,
    )
