"""The generations of a read model's tables: begun, paused, swapped and dropped.

`{table}_v{n}` is one generation. One is live: the views show it. Newer ones are being built, older
ones were live and are kept until somebody drops them.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import Final

import msgspec
import psycopg
from psycopg import sql
from psycopg.rows import class_row

from adapters import log as events
from adapters.applier import Applier, Stopped
from adapters.log import PAGE, Connection
from adapters.read_models import create
from adapters.views import show
from projections.base import Projection

LOCK: Final = "SET LOCAL lock_timeout = '300ms'"
"""For how long a change of tables makes readers wait behind it, at most."""

TRIES_MAX: Final = 100
AGAIN_S: Final = 0.1


class Refused(Exception):
    """A generation cannot be changed so now; the message says why."""


class Generation(msgspec.Struct, frozen=True, kw_only=True):
    """One set of tables.

    Attributes:
        version: of the tables, `{table}_v{version}`.
        code: version of the code that fills them.
        position: of the last event that is in the rows.
        tables: live names.
    """

    name: str
    version: int
    code: int
    position: int
    live: bool
    tables: tuple[str, ...]
    paused_at: datetime | None


_GENERATIONS: Final = """
SELECT name, version, code, position, live, paused_at, coalesce(tables, %s) AS tables
FROM projection_positions WHERE name = %s ORDER BY version
"""


async def generations(db: Connection, projection: Projection) -> list[Generation]:
    """Return all generations of a projection, oldest first."""
    async with db.cursor(row_factory=class_row(Generation)) as cursor:
        await cursor.execute(_GENERATIONS, (list(projection.tables), projection.name))
        return await cursor.fetchall()


async def pair(db: Connection, projection: Projection) -> tuple[Generation, Generation | None]:
    """Return the live generation, and the newest that this code builds to replace it.

    Raises:
        Refused: nothing is live, because no worker has run yet.
    """
    found = await generations(db, projection)
    live = next((one for one in found if one.live), None)
    if live is None:
        raise Refused(f"{projection.name} has no tables yet: run `loop migrate`")
    newer = (one for one in reversed(found) if one.version > live.version)
    return live, next((one for one in newer if one.code == projection.version), None)


async def begin(db: Connection, projection: Projection) -> Generation:
    """Return the generation that is being built, a new and empty one where there is none.

    Raises:
        Refused: nothing is live, because no worker has run yet.
    """
    async with db.transaction():
        await db.execute("SELECT pg_advisory_xact_lock(hashtextextended('loop.projections', 0))")
        await db.execute("SET LOCAL client_min_messages = warning")
        _, building = await pair(db, projection)
        if building is None:
            newest = (await generations(db, projection))[-1]
            await create(db, projection, newest.version + 1, live=False)
            _, building = await pair(db, projection)
    assert building is not None, "it was just made"
    return building


@contextlib.asynccontextmanager
async def alone(database_url: str, name: str) -> AsyncIterator[Connection]:
    """Connect as the only one who builds, swaps or drops tables of a projection.

    Raises:
        Refused: somebody else does.
    """
    async with await events.connect(database_url, f"loop-rebuild-{name}") as db:
        if not await events.try_lock(db, f"loop.rebuild {name}"):
            raise Refused(f"{name} is being rebuilt, compared, swapped or dropped by somebody else")
        yield db


async def advance(
    db: Connection, projection: Projection, n: int, *, position: int, upto: int
) -> int:
    """Apply the next page of the log, not beyond `upto`; return the new position.

    Raises:
        adapters.applier.Overtaken, adapters.applier.Stopped: see `Applier.commit`.
    """
    rows = await events.read_page(db, position, min(PAGE, upto - position))
    return await Applier(db, projection, n).commit(rows, source="log")


async def swap(db: Connection, projection: Projection, live: Generation, n: int) -> int:
    """Make generation `n` the live one, level with the other; return the position of both.

    Readers wait no longer than `LOCK` says; while others read for longer it tries again.

    Raises:
        Refused: `live` is not live any more, or readers never made room.
        adapters.applier.Stopped: an event of the last page cannot be applied.
    """
    for _ in range(TRIES_MAX):
        try:
            async with db.transaction():
                await db.execute(LOCK)
                await db.execute("SET LOCAL synchronous_commit = on")
                return await _swap(db, projection, live, n)
        except (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected):
            await asyncio.sleep(AGAIN_S)
    raise Refused(f"readers of {projection.name} leave no moment for the swap: try again")


async def _swap(db: Connection, projection: Projection, live: Generation, n: int) -> int:
    cursor = await db.execute(
        "SELECT position FROM projection_positions WHERE name = %s AND version = %s AND live"
        " FOR UPDATE",
        (live.name, live.version),
    )
    row = await cursor.fetchone()
    if row is None:
        raise Refused(f"other tables of {live.name} were made live meanwhile")
    upto = int(row[0])
    position = await locked_position(db, live.name, n)
    while position < upto:
        position = await advance(db, projection, n, position=position, upto=upto)
    await db.execute(
        "UPDATE projection_positions SET live = false, paused_at = NULL"
        " WHERE name = %s AND version = %s",
        (live.name, live.version),
    )
    await db.execute(
        "UPDATE projection_positions SET live = true, paused_at = %s"
        " WHERE name = %s AND version = %s",
        (live.paused_at, live.name, n),
    )
    await show(db, projection.tables, n, formerly=live.tables)
    return position


async def locked_position(db: Connection, name: str, n: int) -> int:
    """Return how far a generation is; nobody moves it until the database transaction ends.

    Raises:
        Refused: it was dropped.
    """
    cursor = await db.execute(
        "SELECT position FROM projection_positions WHERE name = %s AND version = %s FOR UPDATE",
        (name, n),
    )
    row = await cursor.fetchone()
    if row is None:
        raise Refused(f"{name} has no version {n} any more")
    return int(row[0])


async def drop(
    database_url: str, projection: Projection, *, version: int | None = None
) -> list[str]:
    """Drop the tables of all generations but the live one, or of one; return their names.

    Raises:
        Refused: the version is live or does not exist, or somebody is rebuilding.
    """
    async with alone(database_url, projection.name) as db:
        found = await generations(db, projection)
        if version is not None:
            found = [one for one in found if one.version == version]
            if not found:
                raise Refused(f"{projection.name} has no version {version}")
            if found[0].live:
                raise Refused(f"{projection.name}_v{version} is live")
        dropped: list[str] = []
        for one in found:
            if not one.live:
                dropped += await _drop(db, one)
        return dropped


async def _drop(db: Connection, one: Generation) -> list[str]:
    tables = [f"{table}_v{one.version}" for table in one.tables]
    key = (one.name, one.version)
    async with db.transaction():
        await db.execute("SET LOCAL client_min_messages = warning")
        await locked_position(db, one.name, one.version)
        for table in tables:
            await db.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(sql.Identifier(table)))
        await db.execute("DELETE FROM parked WHERE projection = %s AND version = %s", key)
        await db.execute("DELETE FROM projection_positions WHERE name = %s AND version = %s", key)
    return tables


async def pause(database_url: str, names: Sequence[str]) -> list[str]:
    """Have live projections stand still from the next batch on; return those that did not yet.

    Raises:
        psycopg.OperationalError: the database cannot be reached.
    """
    return await _set_pause(
        database_url,
        "UPDATE projection_positions SET paused_at = clock_timestamp()"
        " WHERE name = ANY(%s) AND live AND paused_at IS NULL RETURNING name",
        names,
    )


async def resume(database_url: str, names: Sequence[str]) -> list[str]:
    """Have live projections move again; return those that did not.

    Raises:
        psycopg.OperationalError: the database cannot be reached.
    """
    return await _set_pause(
        database_url,
        "UPDATE projection_positions SET paused_at = NULL"
        " WHERE name = ANY(%s) AND live AND paused_at IS NOT NULL RETURNING name",
        names,
    )


async def _set_pause(database_url: str, statement: str, names: Sequence[str]) -> list[str]:
    async with await events.connect(database_url, "loop-pause") as db:
        cursor = await db.execute(statement.encode(), (list(names),))
        return sorted(name for (name,) in await cursor.fetchall())


async def push(database_url: str, projection: Projection) -> tuple[int, str | None] | None:
    """Have a projection that stands still try again; None where it does not stand still.

    Returns:
        its position, and why it still stands there if it does.
    """
    async with await events.connect(database_url, "loop-retry") as db:
        cursor = await db.execute(
            "SELECT version, position FROM projection_positions"
            " WHERE name = %s AND code = %s AND live AND error IS NOT NULL",
            (projection.name, projection.version),
        )
        row = await cursor.fetchone()
        if row is None:
            return None
        n, position = int(row[0]), int(row[1])
        try:
            upto = await events.head(db)
            return await advance(db, projection, n, position=position, upto=upto), None
        except Stopped as error:
            return position, str(error)
