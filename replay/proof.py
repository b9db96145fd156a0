"""The proof that an order's events are in the log that was signed."""

from collections.abc import Sequence
from typing import Final

import msgspec

from adapters.checkpoints import Signed, latest
from adapters.log import Connection, Row
from domain.checkpoint import Checkpoint
from domain.merkle import Nodes, consistency_proof, inclusion_proof
from projections import audit_tree
from replay.tampering import leaf_of

_STREAM: Final = (
    "SELECT originator_id, originator_version, topic, state, notification_id, recorded_at"
    " FROM events WHERE originator_id = %s ORDER BY originator_version"
)


class Proven(msgspec.Struct, frozen=True, kw_only=True):
    """One event with its leaf and audit path; no path while it is newer than the checkpoint."""

    row: Row
    leaf: bytes
    path: tuple[bytes, ...] | None


class Growth(msgspec.Struct, frozen=True, kw_only=True):
    """The proof that the checkpoint and another one are heads of the same log."""

    size: int
    path: tuple[bytes, ...]


class OrderProof(msgspec.Struct, frozen=True, kw_only=True):
    """All of it; what is proven is proven against `checkpoint`."""

    order_id: str
    checkpoint: Signed
    events: tuple[Proven, ...]
    growth: tuple[Growth, ...]


async def stored_rows(db: Connection, stream_id: str) -> list[Row]:
    """Return the rows of a stream as they are stored, in order."""
    cursor = await db.execute(_STREAM, (stream_id,), binary=True)
    return [
        Row(stream_id=s, version=v, tag=t, state=b, position=p, recorded_at=at)
        for s, v, t, b, p, at in await cursor.fetchall()
    ]


async def prove(
    db: Connection, order_id: str, *, others: Sequence[Checkpoint] = ()
) -> OrderProof | None:
    """Return the proof of an order's events; None before the first checkpoint.

    Args:
        db: where log, tree and checkpoints are.
        order_id: whose events.
        others: checkpoints; growth is proven to the largest of this log that the tree holds.

    Raises:
        LookupError: the tree is just being replaced by another generation of its tables.
    """
    checkpoint = await latest(db)
    if checkpoint is None:
        return None
    size = checkpoint.size
    tree_size = await audit_tree.size(db)
    rows = await stored_rows(db, order_id)
    known = [c.size for c in others if c.origin == checkpoint.origin and 0 < c.size <= tree_size]
    sizes = [n for n in known if n == max(known) and n != size][:1]

    def paths(nodes: Nodes) -> tuple[list[list[bytes] | None], list[list[bytes]]]:
        inside = [
            inclusion_proof(nodes, row.position - 1, size) if row.position <= size else None
            for row in rows
        ]
        return inside, [consistency_proof(nodes, *sorted((size, n))) for n in sizes]

    inside, grown = await audit_tree.computed(db, paths)
    return OrderProof(
        order_id=order_id,
        checkpoint=checkpoint,
        events=tuple(
            Proven(row=row, leaf=leaf_of(row), path=None if path is None else tuple(path))
            for row, path in zip(rows, inside, strict=True)
        ),
        growth=tuple(
            Growth(size=n, path=tuple(path)) for n, path in zip(sizes, grown, strict=True)
        ),
    )
