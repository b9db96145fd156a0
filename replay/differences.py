"""Two generations of a table, row by row: digests first, and what differs by column.

Both are read in one snapshot of a database transaction that the caller holds. Only the columns
that both have are compared; the others are named.
"""

import json
from typing import Any, Final

import msgspec
from psycopg import sql

from adapters.log import Connection

EXAMPLES_MAX: Final = 20
"""Rows per table that are shown whole; all of them are counted."""


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """One row that is not the same on both sides.

    Attributes:
        key: values of the primary key.
        columns: by name what is live and what was built; both sides whole where one is missing.
    """

    key: tuple[Any, ...]
    columns: dict[str, tuple[Any, Any]]


class TableComparison(msgspec.Struct, frozen=True, kw_only=True):
    """One table, live and built.

    Attributes:
        rows: how many there are, live and built.
        digest: of all rows in any order, hexadecimal, live and built.
        changed: rows that both have, and that differ.
        missing: rows that only the live table has.
        added: rows that only the built one has.
        columns: by name how many of the changed rows differ in it.
        only_live: columns that the built table does not have; its name where there is no table.
        only_built: columns that the live table does not have; as above.
        examples: the first of the rows that differ.
    """

    table: str
    rows: tuple[int, int]
    digest: tuple[str, str]
    changed: int = 0
    missing: int = 0
    added: int = 0
    columns: dict[str, int] = msgspec.field(default_factory=dict)
    only_live: tuple[str, ...] = ()
    only_built: tuple[str, ...] = ()
    examples: tuple[Difference, ...] = ()

    @property
    def equal(self) -> bool:
        """Whether both are the same, to the last column."""
        same = self.rows[0] == self.rows[1] and self.digest[0] == self.digest[1]
        return same and not (self.only_live or self.only_built)


Place = tuple[str, str]
"""Schema and name of a table."""


async def compare_tables(db: Connection, table: str, live: Place, built: Place) -> TableComparison:
    """Compare two tables; `table` is their live name."""
    left, right = await _columns(db, live), await _columns(db, built)
    if not left or not right:
        return await _alone(db, table, live if left else built, is_live=bool(left))
    common = [name for name in left if name in right]
    found = [await _digest(db, place, common) for place in (live, built)]
    compared = TableComparison(
        table=table,
        rows=(found[0][0], found[1][0]),
        digest=(found[0][1], found[1][1]),
        only_live=tuple(name for name in left if name not in right),
        only_built=tuple(name for name in right if name not in left),
    )
    keys = await _key(db, built)
    if found[0] == found[1] or keys != await _key(db, live):
        return compared
    return await _by_row(db, compared, live, built, common, keys)


async def _alone(db: Connection, table: str, place: Place, *, is_live: bool) -> TableComparison:
    """Return what there is to say of a table that only one side has."""
    count, digest = await _digest(db, place, await _columns(db, place))
    return TableComparison(
        table=table,
        rows=(count, 0) if is_live else (0, count),
        digest=(digest, "") if is_live else ("", digest),
        only_live=(table,) if is_live else (),
        only_built=() if is_live else (table,),
    )


async def _columns(db: Connection, place: Place) -> list[str]:
    cursor = await db.execute(
        "SELECT attname FROM pg_attribute WHERE attrelid = to_regclass(format('%%I.%%I',"
        " %s::text, %s::text)) AND attnum > 0 AND NOT attisdropped ORDER BY attnum",
        place,
    )
    return [name for (name,) in await cursor.fetchall()]


async def _key(db: Connection, place: Place) -> list[str]:
    cursor = await db.execute(
        "SELECT a.attname FROM pg_index i"
        " JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey)"
        " WHERE i.indrelid = to_regclass(format('%%I.%%I', %s::text, %s::text))"
        " AND i.indisprimary ORDER BY array_position(i.indkey, a.attnum)",
        place,
    )
    return [name for (name,) in await cursor.fetchall()]


_DIGEST: Final = """
SELECT count(*), coalesce(sum(hashtextextended(text, 1)::numeric), 0),
       coalesce(sum(hashtextextended(text, 2)::numeric), 0)
FROM (SELECT ROW({columns})::text AS text FROM {place}) AS rows
"""


async def _digest(db: Connection, place: Place, columns: list[str]) -> tuple[int, str]:
    """Return how many rows there are and 128 bits that depend on all of them, in any order.

    The sums tell an accident from equality; nobody's signature rests on them.
    """
    listed = sql.SQL(", ").join(sql.Identifier(name) for name in columns)
    statement = sql.SQL(_DIGEST).format(columns=listed, place=sql.Identifier(*place))
    row = await (await db.execute(statement)).fetchone()
    assert row is not None, "an aggregate has one row"
    return int(row[0]), "".join(f"{int(part) % 2**64:016x}" for part in row[1:])


_DIFFERING: Final = """
WITH l AS (SELECT {key}, to_jsonb(row) AS row FROM (SELECT {columns} FROM {live}) AS row),
     r AS (SELECT {key}, to_jsonb(row) AS row FROM (SELECT {columns} FROM {built}) AS row),
     d AS (SELECT l.row AS live, r.row AS built FROM l FULL JOIN r USING ({key})
           WHERE l.row IS DISTINCT FROM r.row)
"""

_COUNTS: Final = """
SELECT ' changed', count(*) FROM d WHERE live IS NOT NULL AND built IS NOT NULL
UNION ALL SELECT ' missing', count(*) FROM d WHERE built IS NULL
UNION ALL SELECT ' added', count(*) FROM d WHERE live IS NULL
UNION ALL (
    SELECT each.key, count(*) FROM d CROSS JOIN LATERAL jsonb_each(live) AS each
    WHERE built IS NOT NULL AND each.value IS DISTINCT FROM built -> each.key
    GROUP BY 1 ORDER BY 2 DESC, 1
)
"""


async def _by_row(
    db: Connection,
    compared: TableComparison,
    live: Place,
    built: Place,
    columns: list[str],
    keys: list[str],
) -> TableComparison:
    """Return the comparison with all differing rows counted, and some of them."""
    differing = sql.SQL(_DIFFERING).format(
        key=sql.SQL(", ").join(sql.Identifier(name) for name in keys),
        columns=sql.SQL(", ").join(sql.Identifier(name) for name in columns),
        live=sql.Identifier(*live),
        built=sql.Identifier(*built),
    )
    counted = await db.execute(differing + sql.SQL(_COUNTS))
    counts = dict(await counted.fetchall())
    limited = "SELECT live::text, built::text FROM d LIMIT %s"
    cursor = await db.execute(differing + sql.SQL(limited), (EXAMPLES_MAX,))
    return msgspec.structs.replace(
        compared,
        changed=counts.pop(" changed"),
        missing=counts.pop(" missing"),
        added=counts.pop(" added"),
        columns=counts,
        examples=tuple(_difference(keys, *row) for row in await cursor.fetchall()),
    )


def _difference(keys: list[str], live: str | None, built: str | None) -> Difference:
    ours: dict[str, Any] = json.loads(live or "{}")
    theirs: dict[str, Any] = json.loads(built or "{}")
    return Difference(
        key=tuple((ours or theirs)[key] for key in keys),
        columns={
            name: (ours.get(name), theirs.get(name))
            for name in ours | theirs
            if ours.get(name) != theirs.get(name)
        },
    )
