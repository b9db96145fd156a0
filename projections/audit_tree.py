"""The Merkle tree over the whole log: one row per event with every complete subtree it ends.

The row of position p holds the hash of leaf p - 1, then those of the inner nodes that become
complete with it, by level: 2 hashes on average, and any node is found under one primary key.
Leaves are hashed from the rows of the log as they are stored, whatever this code can decode.
"""

from collections.abc import Callable, Sequence
from typing import Final, TypeVar

from psycopg import sql

from domain.events import Recorded
from domain.leaf import leaf_hash
from domain.merkle import HASH_BYTES, Edge, Node, Nodes, needed, subtrees
from projections.base import Connection, named

T = TypeVar("T")

_SCHEMA: Final = """
CREATE TABLE {tree} (
    position bigint PRIMARY KEY,
    hashes   bytea  NOT NULL  -- 32 bytes each: the leaf, then the inner nodes that end here
);
"""

_STORED: Final = """
SELECT notification_id, recorded_at, originator_id, originator_version, topic, state FROM events
WHERE notification_id BETWEEN %s AND %s ORDER BY notification_id
"""

_NODES: Final = "SELECT position, hashes FROM {tree} WHERE position = ANY(%s)"

_SAVE: Final = """
INSERT INTO {tree} (position, hashes) SELECT * FROM unnest(%b::bigint[], %b::bytea[])
"""


class AuditTree:
    """The projection `audit_tree`; see `projections.base.Projection`."""

    name = "audit_tree"
    version = 1
    tables = ("audit_tree",)
    streams = ("",)

    def schema(self, n: int) -> sql.Composed:
        """Return the DDL of generation `n`."""
        return named(_SCHEMA, n, tree="audit_tree")

    async def apply(self, db: Connection, n: int, batch: Sequence[Recorded]) -> None:
        """Add the leaves of the rows, which follow on each other and on the tree.

        Raises:
            AssertionError: a position is left out, here or in the log.
        """
        first, last = batch[0].position, batch[-1].position
        assert last - first + 1 == len(batch), "every event has its leaf"
        edge = await _edge(db, named(_NODES, n, tree="audit_tree"), first - 1)
        cursor = await db.execute(_STORED, (first, last), binary=True)
        positions: list[int] = []
        hashes: list[bytes] = []
        for position, at, stream_id, version, tag, state in await cursor.fetchall():
            assert position == edge.size + 1, "positions have no gaps"
            leaf = leaf_hash(
                position=position,
                recorded_at=at,
                stream_id=stream_id,
                version=version,
                tag=tag,
                state=state,
            )
            positions.append(position)
            hashes.append(b"".join(edge.append(leaf)))
        assert edge.size == last, "the log holds what it gave"
        await db.execute(named(_SAVE, n, tree="audit_tree"), (positions, hashes))


async def _edge(db: Connection, statement: sql.Composed, size: int) -> Edge:
    return Edge(size, await _read(db, statement, subtrees(size)))


async def _read(db: Connection, statement: sql.Composed, wanted: Sequence[Node]) -> Nodes:
    places = {node: (node[1] + 1) << node[0] for node in wanted}
    cursor = await db.execute(statement, (list(set(places.values())),), binary=True)
    rows: dict[int, bytes] = dict(await cursor.fetchall())

    def node(level: int, index: int) -> bytes:
        held = rows.get(places[level, index], b"")[level * HASH_BYTES :][:HASH_BYTES]
        if len(held) != HASH_BYTES:
            raise LookupError(f"the audit tree has no node {index} of level {level}")
        return held

    return node


async def size(db: Connection) -> int:
    """Return how many leaves the live tree has."""
    cursor = await db.execute("SELECT coalesce(max(position), 0) FROM audit_tree")
    row = await cursor.fetchone()
    assert row is not None, "an aggregate has one row"
    return int(row[0])


async def computed(db: Connection, compute: Callable[[Nodes], T]) -> T:
    """Return what a function of `domain.merkle` makes of the live tree, in one query.

    Raises:
        LookupError: the tree does not hold a node that is asked for.
    """
    wanted = needed(compute)
    return compute(await _read(db, sql.SQL(_NODES).format(tree=sql.SQL("audit_tree")), wanted))
