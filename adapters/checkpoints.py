"""The checkpoints of the audit tree: signed while it grows, kept, published, told to the witness.

One worker at a time signs. Before it does, it checks that the new tree begins with the one that it
signed last: one key never signs two histories.
"""

import asyncio
import hashlib
import time
from datetime import datetime
from typing import Any, Final

import msgspec
import psycopg
import structlog
from nats.errors import Error as NatsError
from prometheus_client import Gauge
from psycopg import AsyncConnection
from psycopg.rows import class_row

from adapters import log as events
from adapters.checkpoint_keys import signer_of
from adapters.nats import Bus, Disconnected
from adapters.vault import MasterKeyError, MasterKeys
from adapters.waiting import set_within
from adapters.witness import WitnessError, witness_at
from domain.checkpoint import Checkpoint, origin_of
from domain.merkle import Nodes, root
from projections import audit_tree

EVERY_S: Final = 1.0
EVERY_EVENTS: Final = 10_000
POLL_S: Final = 0.25
LEASE_S: Final = 2.0
"""How often a worker that does not hold the lease asks for it."""

BACKOFF_MAX_S: Final = 60.0
DRAIN_S: Final = 2.0
"""How long a witness that is slow may hold up the end; it is told again by whoever comes next."""

SUBJECT: Final = "audit.checkpoint"
"""On core NATS, outside of the stream: who listens gets the newest, who needs all asks Postgres."""

TOLD_AT_ONCE: Final = 100

signed_size = Gauge(
    "checkpoint_size",
    "Events under the newest signed checkpoint",
    multiprocess_mode="livemostrecent",
)
refused = Gauge(
    "checkpoint_refused",
    "Whether the tree is not the one that was signed before",
    multiprocess_mode="livemostrecent",
)
log = structlog.get_logger(__name__)

_TROUBLE: Final = (psycopg.Error, OSError, TimeoutError, LookupError)


class Forked(Exception):
    """The tree does not begin with the one that was signed last: nothing more is signed."""


class Signed(msgspec.Struct, frozen=True, kw_only=True):
    """A checkpoint as it is kept; `note` is what was signed and published."""

    origin: str
    size: int
    root: bytes
    note: str
    signed_at: datetime


_COLUMNS: Final = "origin, size, root, note, signed_at"
_LATEST: Final = f"SELECT {_COLUMNS} FROM checkpoints WHERE origin = %s ORDER BY size DESC LIMIT 1"  # noqa: S608 - our own columns
_UNTOLD: Final = """
SELECT size, note FROM checkpoints WHERE origin = %(origin)s AND size > coalesce(
    (SELECT size FROM witness_cursors WHERE witness = %(witness)s AND origin = %(origin)s), 0)
ORDER BY size LIMIT %(limit)s
"""
_TOLD: Final = """
INSERT INTO witness_cursors (witness, origin, size) VALUES (%s, %s, %s)
ON CONFLICT (witness, origin) DO UPDATE SET size = excluded.size
"""


async def latest(db: AsyncConnection[Any]) -> Signed | None:
    """Return the newest checkpoint of this log, None before the first."""
    origin = origin_of(await events.log_id(db))
    async with db.cursor(row_factory=class_row(Signed)) as cursor:
        await cursor.execute(_LATEST, (origin,))
        return await cursor.fetchone()


async def sign(db: AsyncConnection[Any], master: MasterKeys) -> Signed | None:
    """Sign the tree as it is now and keep the checkpoint; None where it has not grown.

    Raises:
        Forked: the tree is another one than that which was signed before.
        LookupError: the tree is just being replaced by another generation of its tables.
    """
    last = await latest(db)
    size, old = await audit_tree.size(db), last.size if last else 0
    if size <= old:
        return None

    def both(nodes: Nodes) -> tuple[bytes, bytes]:
        return root(nodes, old), root(nodes, size)

    before, after = await audit_tree.computed(db, both)
    if last is not None and before != last.root:
        raise Forked(f"the first {old} events are not those that were signed")
    checkpoint = Checkpoint(origin=origin_of(await events.log_id(db)), size=size, root=after)
    note = (await signer_of(db, master, checkpoint.origin)).sign(checkpoint.text())
    async with db.cursor(row_factory=class_row(Signed)) as cursor:
        await cursor.execute(
            f"INSERT INTO checkpoints (origin, size, root, note) VALUES (%s, %s, %s, %s)"  # noqa: S608 - our own columns
            f" RETURNING {_COLUMNS}",
            (checkpoint.origin, size, after, note),
        )
        return await cursor.fetchone()


async def tell(db: AsyncConnection[Any], where: str) -> int:
    """Hand the witness what it was not told yet, oldest first; return how many.

    Raises:
        WitnessError: it could not be told; the next call begins with the same.
    """
    origin = origin_of(await events.log_id(db))
    name = hashlib.sha256(where.encode()).hexdigest()
    values = {"origin": origin, "witness": name, "limit": TOLD_AT_ONCE}
    rows = await (await db.execute(_UNTOLD, values)).fetchall()
    if rows:
        await witness_at(where).tell([note for _, note in rows])
        await db.execute(_TOLD, (name, origin, rows[-1][0]))
    return len(rows)


class Checkpoints:
    """The role `checkpoints` of `loop work`; see the module.

    Args:
        database_url: where log, tree and checkpoints are.
        bus: where new ones are published, None nowhere.
        master_keys: what the signing keys are sealed under.
        witness: `LOOP_WITNESS`, empty where there is none.
    """

    def __init__(
        self, database_url: str, bus: Bus | None, master_keys: MasterKeys, witness: str = ""
    ) -> None:
        self._url = database_url
        self._bus = bus
        self._master = master_keys
        self._witness = witness
        self._failures = 0

    async def run(self, stop: asyncio.Event) -> None:
        """Sign until `stop` is set; outages are waited out."""
        while not stop.is_set():
            pause_s = LEASE_S
            try:
                await self._session(stop)
            except* (*_TROUBLE, Forked, MasterKeyError) as group:
                pause_s = min(BACKOFF_MAX_S, 0.1 * 2**self._failures)
                self._failures = min(self._failures + 1, 10)
                cause = _first(group)
                refused.set(isinstance(cause, Forked))
                level = "critical" if isinstance(cause, Forked) else "warning"
                log.log(_LEVELS[level], "checkpoints_pause", cause=type(cause).__name__)
            await set_within(stop, pause_s)

    async def _session(self, stop: asyncio.Event) -> None:
        """Work with the lease; return when it is somebody else's."""
        async with await events.connect(self._url, "loop-checkpoints") as db:
            if not await events.try_lock(db, "loop.checkpoints"):
                return
            while not await _has_tree(db) and not stop.is_set():
                await set_within(stop, POLL_S)
            ended = asyncio.Event()
            async with asyncio.TaskGroup() as tasks:
                telling = tasks.create_task(self._telling(ended))
                try:
                    await self._signing(db, stop)
                finally:
                    ended.set()
                    await asyncio.wait([telling], timeout=DRAIN_S)
                    telling.cancel()

    async def _signing(self, db: events.Connection, stop: asyncio.Event) -> None:
        signed_at, size = -EVERY_S, 0
        while not stop.is_set():
            grown = await audit_tree.size(db) - size
            if grown >= EVERY_EVENTS or (grown and time.monotonic() - signed_at >= EVERY_S):
                made = await sign(db, self._master)
                size += grown
                if made is not None:
                    signed_at, size = time.monotonic(), made.size
                    self._failures = 0
                    refused.set(0)
                    signed_size.set(size)
                    await self._publish(made.note)
            await set_within(stop, POLL_S)

    async def _publish(self, note: str) -> None:
        if self._bus is None or not self._bus.connected:
            return
        try:
            await (await self._bus.client()).publish(SUBJECT, note.encode())
        except (Disconnected, NatsError, OSError) as error:
            log.info("checkpoint_not_published", cause=type(error).__name__)

    async def _telling(self, ended: asyncio.Event) -> None:
        """Keep the witness level; while it is away the others go on."""
        failures = 0
        if not self._witness:
            return
        async with await events.connect(self._url, "loop-witness") as db:
            while not ended.is_set():
                try:
                    while await tell(db, self._witness) == TOLD_AT_ONCE and not ended.is_set():
                        pass
                    failures = 0
                except WitnessError as error:
                    failures = min(failures + 1, 10)
                    log.warning("witness_not_told", cause=str(error))
                await set_within(ended, min(BACKOFF_MAX_S, POLL_S * 2**failures))


async def _has_tree(db: AsyncConnection[Any]) -> bool:
    """Tell whether a projector has made the tables of the tree."""
    cursor = await db.execute("SELECT to_regclass('audit_tree') IS NOT NULL")
    return await cursor.fetchone() == (True,)


_LEVELS: Final = {"warning": 30, "critical": 50}


def _first(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
