"""Does a read model show what the log says? The log is folded anew beside it and both compared."""

import json
from typing import Any, Final

import msgspec
import psycopg
from psycopg import sql

from adapters.log import Connection, connect, pages
from adapters.read_models import decoded, generation
from projections.base import Projection

DIFFERENCES_MAX: Final = 100
"""Rows per table and side that are listed; a broken table may differ in all of them."""


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """One row that is not as the log says.

    Attributes:
        table: live name.
        key: values of the primary key.
        columns: by name what is shown and what the log says; both sides whole where one is missing.
    """

    table: str
    key: tuple[Any, ...]
    columns: dict[str, tuple[Any, Any]]


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """What was compared: all rows at `position`, but for those of parked streams."""

    position: int
    parked: int
    differences: tuple[Difference, ...]


async def compare(
    database_url: str, projection: Projection, *, version: int | None = None
) -> Comparison:
    """Compare a projection's tables with a fold of the log up to their position.

    The fold is made by `Projection.apply` in temporary tables, in one snapshot; nothing is kept.

    Raises:
        adapters.codec.UnknownTag, adapters.codec.CorruptEvent: the log cannot be folded.
        LookupError: the projection has no tables.
    """
    async with await connect(database_url, "loop-compare") as db:
        async with db.transaction() as transaction:
            await db.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            found = await _compared(db, projection, version)
            raise psycopg.Rollback(transaction)
        return found


async def _compared(db: Connection, projection: Projection, version: int | None) -> Comparison:
    n = version or await generation(db, projection)
    if n is None:
        raise LookupError(f"{projection.name} has no tables")
    position, parked = await _place(db, projection, n)
    await _fold(db, projection, position, parked)
    differences = [d for table in projection.tables for d in await _differences(db, table, n)]
    return Comparison(position=position, parked=len(parked), differences=tuple(differences))


async def fold_beside(db: Connection, projection: Projection, n: int, *, upto: int) -> None:
    """Fold the log up to a position into temporary tables `{table}_v0`.

    Streams that generation `n` has parked are left out.
    """
    _, parked = await _place(db, projection, n)
    await _fold(db, projection, upto, parked)


async def _fold(db: Connection, projection: Projection, upto: int, parked: set[str]) -> None:
    await db.execute("SET LOCAL search_path = pg_temp, loop")
    await db.execute(projection.schema(0))
    async for page in pages(db, upto=upto):
        mine = [r for r in page if r.stream_id.startswith(projection.streams)]
        if batch := [decoded(row) for row in mine if row.stream_id not in parked]:
            await projection.apply(db, 0, batch)


async def _place(db: Connection, projection: Projection, n: int) -> tuple[int, set[str]]:
    key = (projection.name, n)
    cursor = await db.execute(
        "SELECT position FROM projection_positions WHERE name = %s AND version = %s", key
    )
    row = await cursor.fetchone()
    if row is None:
        raise LookupError(f"{projection.name} has no version {n}")
    cursor = await db.execute(
        "SELECT stream_id FROM parked WHERE projection = %s AND version = %s", key
    )
    return int(row[0]), {stream_id for (stream_id,) in await cursor.fetchall()}


_SIDES: Final = """
(SELECT 0 AS side, to_jsonb(shown)::text FROM
    (SELECT * FROM {shown} WHERE {current} EXCEPT SELECT * FROM {folded} LIMIT {most}) AS shown)
UNION ALL
(SELECT 1 AS side, to_jsonb(folded)::text FROM
    (SELECT * FROM {folded} EXCEPT SELECT * FROM {shown} WHERE {current} LIMIT {most}) AS folded)
"""

_KEY: Final = """
SELECT a.attname FROM pg_index i
JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey)
WHERE i.indrelid = %s::regclass AND i.indisprimary ORDER BY array_position(i.indkey, a.attnum)
"""

_HAS_STALE: Final = """
SELECT count(*) FROM pg_attribute
WHERE attrelid = %s::regclass AND attname = 'stale_from' AND NOT attisdropped
"""


async def _differences(db: Connection, table: str, n: int) -> list[Difference]:
    """Return the rows of one table that only one side has, paired by their key."""
    shown, folded = f"{table}_v{n}", f"{table}_v0"
    keys = [name for (name,) in await (await db.execute(_KEY, (shown,))).fetchall()]
    stale = await (await db.execute(_HAS_STALE, (shown,))).fetchone() != (0,)
    statement = sql.SQL(_SIDES).format(
        shown=sql.Identifier("loop", shown),
        folded=sql.Identifier("pg_temp", folded),
        current=sql.SQL("stale_from IS NULL" if stale else "true"),
        most=sql.Literal(DIFFERENCES_MAX),
    )
    rows: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for side, text in await (await db.execute(statement)).fetchall():
        row = json.loads(text)
        rows.setdefault(tuple(row[key] for key in keys), [{}, {}])[side] = row
    return [
        Difference(
            table=table,
            key=key,
            columns={
                name: (ours.get(name), theirs.get(name))
                for name in ours | theirs
                if ours.get(name) != theirs.get(name)
            },
        )
        for key, (ours, theirs) in rows.items()
    ]
