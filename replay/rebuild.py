"""A read model made anew from the log beside the live one, compared with it, and put in its place.

Everything that a rebuild knows stands in the database: the tables of the new generation and how far
they are. So it may be killed at any moment, and the next call goes on.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from typing import Final, Literal

import msgspec

from adapters import generations
from adapters import log as events
from adapters.applier import Applier, Overtaken
from adapters.generations import Generation, Refused
from adapters.log import PAGE, Connection
from adapters.waiting import end
from projections.base import Projection
from replay.compare import compare, fold_beside
from replay.differences import TableComparison, compare_tables

TRIES_MAX: Final = 25
AGAIN_S: Final = 0.2
"""How often, and after which pause, one moment is looked for at which both are level."""

Phase = Literal["building", "comparing", "swapping"]
Progress = Callable[[Phase, int, int], None]
"""Told the phase, the position, and the position that is to be reached."""

Outcome = Literal["equal", "differs", "swapped"]


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """Live and built rows at one position.

    Attributes:
        folded: the built tables were beyond the live ones, which nobody fills any more: what this
            code makes of the log up to `position` stood for them.
    """

    position: int
    folded: bool
    tables: tuple[TableComparison, ...]

    @property
    def equal(self) -> bool:
        """Whether all tables are the same."""
        return all(table.equal for table in self.tables)


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What a rebuild did.

    Attributes:
        live: version of the tables that were live when it began.
        built: version of the new tables.
        code: versions of the code that filled them, live and built.
        events: how many were applied by this call; a call that goes on has the rest of them.
        seconds: how long that took.
        rate: of these events, per second.
        position: of the last event in the new tables.
    """

    name: str
    live: int
    built: int
    code: tuple[int, int]
    outcome: Outcome
    events: int
    seconds: float
    rate: float
    position: int
    comparison: Comparison


class Rebuild:
    """One rebuild of one projection; `progress` is called after every page."""

    def __init__(self, database_url: str, projection: Projection, progress: Progress) -> None:
        self._url = database_url
        self._projection = projection
        self._progress = progress
        self._events = 0
        self._seconds = 0.0

    async def run(
        self, *, begin: bool, swap: bool, accept: bool = False, repair: bool = False
    ) -> Report:
        """Build, follow, compare, and swap if all is well; cancelling it at any moment is safe.

        Args:
            begin: make new tables where none are being built.
            swap: put them in place of the live ones if they are equal.
            accept: do so although they differ, if they come from another version of the code.
            repair: do so although they differ, if the new ones are what the log says.

        Raises:
            Refused: somebody else does this, nothing is being built, or no moment was found.
            adapters.applier.Stopped: an event cannot be applied, and nothing can be parked.
            psycopg.Error: the database has a problem; what was built until then is kept.
        """
        async with generations.alone(self._url, self._projection.name) as db:
            await db.execute("SET synchronous_commit = off")
            if begin:
                await generations.begin(db, self._projection)
            live, built = await generations.pair(db, self._projection)
            if built is None:
                name = self._projection.name
                raise Refused(f"no tables of {name} are being built: `loop projections rebuild`")
            await self._build(db, built)
            comparison = await self._compare(db)
            allowed = (
                comparison.equal
                or (accept and live.code != built.code)
                or (repair and await self._is_the_log(built.version))
            )
            position = comparison.position
            if swap and allowed:
                self._progress("swapping", position, position)
                position = await generations.swap(db, self._projection, live, built.version)
            return self._report(live, built, comparison, position, swapped=swap and allowed)

    async def _is_the_log(self, n: int) -> bool:
        """Whether the new tables are a fold of the log to the last row: the others are wrong."""
        return not (await compare(self._url, self._projection, version=n)).differences

    def _report(
        self,
        live: Generation,
        built: Generation,
        comparison: Comparison,
        position: int,
        *,
        swapped: bool,
    ) -> Report:
        done: Outcome = "swapped" if swapped else "equal" if comparison.equal else "differs"
        return Report(
            name=self._projection.name,
            live=live.version,
            built=built.version,
            code=(live.code, built.code),
            outcome=done,
            events=self._events,
            seconds=round(self._seconds, 3),
            rate=round(self._events / max(self._seconds, 0.001), 1),
            position=position,
            comparison=comparison,
        )

    async def _build(self, db: Connection, built: Generation) -> None:
        """Fill the new tables until they are where the live ones are, or just behind.

        Where a worker of the new code does so already, this waits for it.
        """
        began, position = time.monotonic(), built.position
        lease = f"loop.projector {built.name} {built.version}"
        async with await events.connect(self._url, "loop-rebuild-read") as reader:
            while position < (upto := (await self._pair(db))[0].position):
                self._progress("building", position, upto)
                if await events.try_lock(db, lease):
                    with contextlib.suppress(Overtaken):
                        await self._fill(db, reader, built, upto)
                else:
                    await asyncio.sleep(AGAIN_S)
                position = (await self._pair(db))[1].position
                self._events = position - built.position
        self._seconds = time.monotonic() - began

    async def _fill(self, db: Connection, reader: Connection, built: Generation, upto: int) -> None:
        """Apply the log up to a position; the next page is read while one is applied."""
        applier = Applier(db, self._projection, built.version)
        position = (await self._pair(db))[1].position
        ahead = asyncio.create_task(events.read_page(reader, position, min(PAGE, upto - position)))
        try:
            while rows := await ahead:
                last = rows[-1].position
                ahead = asyncio.create_task(events.read_page(reader, last, min(PAGE, upto - last)))
                position = await applier.commit(rows, source="log")
                self._progress("building", position, upto)
                if position < last:
                    return
            if position < upto:
                raise Refused(f"events behind position {position} are missing from the log")
        finally:
            await end(ahead)

    async def _pair(self, db: Connection) -> tuple[Generation, Generation]:
        live, built = await generations.pair(db, self._projection)
        if built is None:
            raise Refused(f"the new tables of {self._projection.name} are gone")
        return live, built

    async def _compare(self, db: Connection) -> Comparison:
        """Compare both at one position, in a snapshot: nobody waits for it."""
        async with self._moment(db) as (snapshot, live, built):
            self._progress("comparing", live.position, live.position)
            folded = built.position != live.position
            if folded:
                await fold_beside(snapshot, self._projection, built.version, upto=live.position)
            schema, n = ("pg_temp", 0) if folded else ("loop", built.version)
            tables = [
                await compare_tables(
                    snapshot,
                    table,
                    ("loop", f"{table}_v{live.version}"),
                    (schema, f"{table}_v{n}"),
                )
                for table in dict.fromkeys((*live.tables, *self._projection.tables))
            ]
            return Comparison(position=live.position, folded=folded, tables=tuple(tables))

    @contextlib.asynccontextmanager
    async def _moment(
        self, db: Connection
    ) -> AsyncIterator[tuple[Connection, Generation, Generation]]:
        """Give a snapshot in which both are level.

        Where the live tables stand still because nobody fills them any more, and the new ones are
        ahead, it is one in which they are not.
        """
        async with (
            await events.connect(self._url, "loop-rebuild-hold") as holder,
            await events.connect(self._url, "loop-compare") as snapshot,
        ):
            for left in reversed(range(TRIES_MAX)):
                async with snapshot.transaction():
                    await snapshot.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
                    await snapshot.execute("SET LOCAL client_min_messages = warning")
                    async with holder.transaction():
                        await self._level(db, holder)
                        live, built = await self._pair(snapshot)
                    if built.position == live.position or not left:
                        yield snapshot, live, built
                        return
                await asyncio.sleep(AGAIN_S)

    async def _level(self, db: Connection, holder: Connection) -> None:
        """Hold the live tables where they are, for a page or two, and bring the new ones there."""
        live, built = await self._pair(holder)
        upto = await generations.locked_position(holder, live.name, live.version)
        position = built.position
        with contextlib.suppress(Overtaken):
            while position < upto:
                position = await generations.advance(
                    db, self._projection, built.version, position=position, upto=upto
                )
