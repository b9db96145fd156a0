"""The live names of read models: views, each on the tables of one generation."""

from collections.abc import Sequence

from psycopg import sql

from adapters.log import Connection


async def show(
    db: Connection, tables: Sequence[str], n: int, *, formerly: Sequence[str] = ()
) -> None:
    """Point the live names at generation `n`, and remove those that only stood `formerly`.

    A view whose columns stay is replaced, so that plans of running readers are only made anew.
    """
    for table in tables:
        names = sql.Identifier(table), sql.Identifier(f"{table}_v{n}")
        before, after = await _columns(db, table), await _columns(db, f"{table}_v{n}")
        if before and before != after:
            await db.execute(sql.SQL("DROP VIEW {}").format(names[0]))
        view = sql.SQL("CREATE OR REPLACE VIEW {} AS SELECT * FROM {}")
        await db.execute(view.format(*names))
    for table in formerly:
        if table not in tables:
            await db.execute(sql.SQL("DROP VIEW IF EXISTS {}").format(sql.Identifier(table)))


async def _columns(db: Connection, relation: str) -> list[tuple[str, str]]:
    """Return names and types of the columns of a table or view, none where there is no such."""
    cursor = await db.execute(
        "SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute"
        " WHERE attrelid = to_regclass(%s) AND attnum > 0 AND NOT attisdropped ORDER BY attnum",
        (f"loop.{relation}",),
    )
    return [(name, kind) for name, kind in await cursor.fetchall()]
