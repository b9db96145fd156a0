"""Circuit breakers in Postgres: one table that every process reads at most once a second."""

import asyncio
import time
from collections import defaultdict
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final, LiteralString

import structlog
from msgspec.structs import asdict
from prometheus_client import Counter, Gauge
from psycopg import AsyncConnection, Error
from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from commands.circuit import Circuit, Limits, claimed, counted, is_ripe, probed
from commands.ports import CircuitKey

FRESH_S: Final = 1.0
"""How old what routing goes by may be."""
SHUT_MAX: Final = 10_000
"""Accounts with a circuit that is not closed which are kept in mind at once."""
BAD: Final = frozenset({"unknown", "timeout", "not_sent"})
STATES: Final = ("open", "half_open")

_SHUT: Final[LiteralString] = (
    "SELECT merchant_id, processor, account, state, calls, bad, since, until, trips, prober,"
    " clock_timestamp() AS now FROM circuits WHERE state <> 'closed' LIMIT %s"
)
_LOCK: Final[LiteralString] = (
    "SELECT state, calls, bad, since, until, trips, prober, clock_timestamp() AS now FROM circuits"
    " WHERE merchant_id = %(m)s AND processor = %(p)s AND account = %(a)s FOR UPDATE"
)
_MAKE: Final[LiteralString] = (
    "INSERT INTO circuits (merchant_id, processor, account, state, calls, bad, trips)"
    " VALUES (%(m)s, %(p)s, %(a)s, 'closed', 0, 0, 0) ON CONFLICT DO NOTHING"
)
_SAVE: Final[LiteralString] = (
    "UPDATE circuits SET state = %(state)s, calls = %(calls)s, bad = %(bad)s, since = %(since)s,"
    " until = %(until)s, trips = %(trips)s, prober = %(prober)s, updated_at = clock_timestamp()"
    " WHERE merchant_id = %(m)s AND processor = %(p)s AND account = %(a)s"
)

requests = Counter(
    "gateway_requests_total", "Calls of processors by what they came to", ["processor", "outcome"]
)
states = Gauge(
    "circuit_state",
    "Processor accounts whose circuit is not closed",
    ["processor", "state"],
    multiprocess_mode="livemostrecent",
)
log = structlog.get_logger(__name__)


class PostgresCircuits:
    """The circuits as one process sees them.

    Good calls are counted here and told only beside bad ones: a healthy processor costs no writes.
    """

    def __init__(self, pool: AsyncConnectionPool, limits: Limits) -> None:
        self._pool = pool
        self._limits = limits
        self._shut: dict[CircuitKey, Circuit] = {}
        self._ripe: frozenset[CircuitKey] = frozenset()
        self._read_at = float("-inf")
        self._reading = asyncio.Lock()
        self._good: dict[CircuitKey, tuple[float, int]] = {}
        self._bad: dict[CircuitKey, int] = defaultdict(int)
        self._writing: dict[CircuitKey, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def shut(self, merchant_id: str) -> Mapping[CircuitKey, bool]:
        """See `commands.ports.Circuits.shut`."""
        await self._refresh()
        return {key: key in self._ripe for key in self._shut if key.merchant_id == merchant_id}

    async def probe(self, key: CircuitKey, attempt_id: str) -> bool:
        """See `commands.ports.Circuits.probe`."""

        def claim(circuit: Circuit, now: datetime) -> Circuit | None:
            return claimed(circuit, attempt_id=attempt_id, now=now, limits=self._limits)

        try:
            return await self._change(key, claim)
        except (Error, PoolTimeout) as error:
            log.warning("circuit_not_claimed", error=type(error).__name__)
            return False

    async def record(
        self, key: CircuitKey, attempt_id: str, outcome: str, *, decides: bool
    ) -> None:
        """See `commands.ports.Circuits.record`."""
        requests.labels(key.processor, outcome).inc()
        try:
            await self._refresh()
            if outcome in BAD:
                self._bad[key] += 1
                await self._tell(key, attempt_id)
            elif key in self._shut:
                if decides:
                    await self._change(key, self._worked(attempt_id))
            else:
                self._count_good(key)
        except (Error, PoolTimeout) as error:
            # What a call came to must not be lost for the sake of a statistic.
            log.warning("circuit_not_told", error=type(error).__name__)

    def _count_good(self, key: CircuitKey) -> None:
        began, good = self._good.get(key, (time.monotonic(), 0))
        if time.monotonic() - began > self._limits.window.total_seconds():
            began, good = time.monotonic(), 0
        self._good[key] = (began, good + 1)

    async def _tell(self, key: CircuitKey, attempt_id: str) -> None:
        """Write what was counted; who waits for the lock finds that it was told with the first."""
        window_s = self._limits.window.total_seconds()

        def after(circuit: Circuit, now: datetime) -> Circuit:
            began, good = self._good.pop(key, (0.0, 0))
            if time.monotonic() - began > window_s:
                good = 0
            circuit = probed(
                circuit, attempt_id=attempt_id, verdict="bad", now=now, limits=self._limits
            )
            return counted(
                circuit, good=good, bad=self._bad.pop(key, 0), now=now, limits=self._limits
            )

        async with self._writing[key]:
            if self._bad[key] or key in self._shut:
                await self._change(key, after)

    def _worked(self, attempt_id: str) -> Any:
        def after(circuit: Circuit, now: datetime) -> Circuit:
            return probed(
                circuit, attempt_id=attempt_id, verdict="good", now=now, limits=self._limits
            )

        return after

    async def _change(self, key: CircuitKey, after: Any) -> bool:
        """Replace one circuit under its row's lock; False where there is nothing to replace."""
        named = {"m": key.merchant_id, "p": key.processor, "a": key.account}
        async with self._pool.connection() as db, db.transaction():
            found = await _locked(db, named)
            if found is None:
                await db.execute(_MAKE, named)
                found = await _locked(db, named)
            assert found is not None, "it was made"
            before, now = found
            circuit: Circuit | None = after(before, now)
            if circuit is None:
                return False
            if circuit != before:
                await db.execute(_SAVE, named | asdict(circuit))
        if circuit.state != before.state:
            log.warning("circuit", processor=key.processor, state=circuit.state)
            self._read_at = float("-inf")
        return True

    async def _refresh(self) -> None:
        """Read what is not closed, at most once a second; what cannot be read is as it was."""
        if time.monotonic() - self._read_at < FRESH_S:
            return
        async with self._reading:
            if time.monotonic() - self._read_at < FRESH_S:
                return
            try:
                async with self._pool.connection() as db, db.cursor(row_factory=dict_row) as cursor:
                    await cursor.execute(_SHUT, [SHUT_MAX])
                    rows = await cursor.fetchall()
            except (Error, PoolTimeout) as error:
                log.warning("circuits_not_read", error=type(error).__name__)
                self._read_at = time.monotonic()
                return
            self._take(rows)

    def _take(self, rows: list[dict[str, Any]]) -> None:
        shut: dict[CircuitKey, Circuit] = {}
        ripe: set[CircuitKey] = set()
        for row in rows:
            now = row.pop("now")
            names = {name: row.pop(name) for name in ("merchant_id", "processor", "account")}
            key, circuit = CircuitKey(**names), Circuit(**row)
            shut[key] = circuit
            if is_ripe(circuit, now):
                ripe.add(key)
        self._shut, self._ripe = shut, frozenset(ripe)
        self._read_at = time.monotonic()


async def _locked(
    db: AsyncConnection[Any], named: dict[str, str]
) -> tuple[Circuit, datetime] | None:
    async with db.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(_LOCK, named)
        row = await cursor.fetchone()
    if row is None:
        return None
    now = row.pop("now")
    return Circuit(**row), now


async def count_states(db: AsyncConnection[Any]) -> None:
    """Set the metric of all circuits to what the table says."""
    cursor = await db.execute(
        "SELECT processor, state, count(*) FROM circuits WHERE state <> 'closed' GROUP BY 1, 2"
    )
    rows = await cursor.fetchall()
    states.clear()
    for processor, state, count in rows:
        states.labels(processor, state).set(count)
