"""What was done to a log whose rows are not those that the audit tree has. Pure."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final, Literal

import msgspec

from adapters.log import Row
from domain.leaf import leaf_hash
from domain.merkle import HASH_BYTES

Kind = Literal[
    "altered",
    "missing",
    "inserted",
    "reordered",
    "truncated",
    "rewritten",
    "tree",
    "checkpoint",
]

SHIFT_MAX: Final = 8
"""Of how many events in a row it is recognised that they were taken out or put in."""

WITNESSES: Final = 16
PERMUTED_MAX: Final = 64
FINDINGS_MAX: Final = 100


class Finding(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One thing that is wrong.

    Attributes:
        kind: what was done; `tree` and `checkpoint` are damage of the evidence, not of the log.
        position: the first event that is concerned.
        upto: the last one; where the place cannot be told exactly it is within these.
        detail: one sentence for people.
    """

    kind: Kind
    position: int
    upto: int
    detail: str


Leaves = Mapping[int, bytes]
"""The tree's leaves by position, as far as they are known."""


def leaf_of(row: Row) -> bytes:
    """Return the leaf of a row as it stands."""
    return _leaf(row, row.position, row.recorded_at, row.stream_id, row.version)


def _leaf(row: Row, position: int, at: datetime, stream_id: str, version: int) -> bytes:
    if position < 0 or version < 0:
        return b""
    return leaf_hash(
        position=position,
        recorded_at=at,
        stream_id=stream_id,
        version=version,
        tag=row.tag,
        state=row.state,
    )


def diagnose(rows: Sequence[Row], leaves: Leaves, *, more: bool) -> list[Finding]:
    """Say what was done to rows whose leaves are not the tree's, in position order.

    Args:
        rows: those that differ, or the first of them.
        leaves: of the positions around them.
        more: whether there are more than `rows`.
    """
    if not rows:
        return []
    if not more and (moved := _reordered(rows, leaves)):
        return moved
    return _shifted(rows, leaves) or [
        Finding(
            kind="altered",
            position=row.position,
            upto=row.position,
            detail=f"event {row.position} ({row.tag} of {row.stream_id}) is not what it was",
        )
        for row in rows[:FINDINGS_MAX]
    ]


def _reordered(rows: Sequence[Row], leaves: Leaves) -> list[Finding]:
    """Find rows that only changed places among each other."""
    if len(rows) > PERMUTED_MAX:
        return []
    found: list[Finding] = []
    for row in rows:
        was = next((other.position for other in rows if _was_at(row, other, leaves)), None)
        if was is None:
            return []
        detail = f"event {row.position} ({row.tag} of {row.stream_id}) was event {was}"
        found.append(
            Finding(kind="reordered", position=row.position, upto=row.position, detail=detail)
        )
    return found


def _was_at(row: Row, place: Row, leaves: Leaves) -> bool:
    """Tell whether a row, or what it says, stood where another row stands now."""
    wanted, position = leaves.get(place.position), place.position
    return wanted is not None and wanted in {
        _leaf(row, position, row.recorded_at, row.stream_id, row.version),
        _leaf(row, position, place.recorded_at, row.stream_id, row.version),
        _leaf(row, position, place.recorded_at, place.stream_id, place.version),
    }


def _shifted(rows: Sequence[Row], leaves: Leaves) -> list[Finding]:
    """Find that events were taken out or put in, and the rest was numbered anew."""
    first = rows[0].position
    for by in range(1, SHIFT_MAX + 1):
        last = first + by - 1
        if any(_stood(row, by, leaves) for row in rows[:WITNESSES]):
            detail = f"{_events(first, last)} taken out, the later ones numbered anew"
            return [Finding(kind="missing", position=first, upto=last, detail=detail)]
        if any(_stood(row, -by, leaves) for row in rows[by : by + WITNESSES]):
            detail = f"{_events(first, last)} put in, the later ones numbered anew"
            return [Finding(kind="inserted", position=first, upto=last, detail=detail)]
    return []


def _stood(row: Row, by: int, leaves: Leaves) -> bool:
    """Tell whether a row stood so many positions later, its version perhaps counted anew."""
    wanted = leaves.get(row.position + by)
    step = 1 if by > 0 else -1
    return wanted is not None and any(
        wanted == _leaf(row, row.position + by, row.recorded_at, row.stream_id, version)
        for version in range(row.version, row.version + by + step, step)
    )


def _events(first: int, last: int) -> str:
    return f"event {first} was" if first == last else f"events {first} to {last} were"


def around(rows: Sequence[Row]) -> list[int]:
    """Return the positions whose leaves `diagnose` may ask for."""
    near = range(-SHIFT_MAX, SHIFT_MAX + 1)
    return sorted({row.position + by for row in rows for by in near if row.position + by > 0})


def inner_node(position: int, known: bytes, ended: bytes) -> Finding:
    """Say that the first inner node that differs covers a leaf that is not what was hashed."""
    level = next(
        (n // HASH_BYTES for n in range(0, len(ended), HASH_BYTES)
         if known[n : n + HASH_BYTES] != ended[n : n + HASH_BYTES]), 0,
    )  # fmt: skip
    first = position - (1 << level) + 1
    detail = f"one of the events {first} to {position} is not what it was"
    return Finding(kind="altered", position=first, upto=position, detail=detail)


def tree_damaged(position: int, upto: int) -> Finding:
    """Say that the tree is not that of rows that were signed."""
    detail = f"the audit tree is damaged at {position}; the log itself is what was signed"
    return Finding(kind="tree", position=position, upto=upto, detail=detail)


def checkpoint_damaged(size: int, why: str) -> Finding:
    """Say that a kept checkpoint is worth nothing, though the log is what was signed."""
    detail = f"the kept checkpoint of {size} events is damaged: {why}"
    return Finding(kind="checkpoint", position=size, upto=size, detail=detail)
