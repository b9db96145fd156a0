"""The one place that names concrete classes: what a process of Loop is made of."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

import structlog
from psycopg_pool import AsyncConnectionPool

from adapters import payment_metrics
from adapters.access_tokens import AccessTokens
from adapters.address_guard import AddressGuard
from adapters.api_keys import PostgresApiKeys
from adapters.circuits import PostgresCircuits
from adapters.due_rows import PostgresDueRows
from adapters.event_store import PostgresEventStore
from adapters.hash_key import with_kept_hash_key
from adapters.inbox import PostgresInbox
from adapters.logins import PostgresLogins
from adapters.migrations import OPTIONS
from adapters.nats import Bus
from adapters.processors import PROCESSORS
from adapters.processors.sandbox import SandboxProcessor
from adapters.rate_limits import RateLimits
from adapters.reconciliation import PostgresReconciliation
from adapters.settings import Settings
from adapters.vault import MasterKeys, PostgresVault
from adapters.watch import BusWatch
from commands.circuit import Limits
from commands.ports import Ports

POOL_MAX = 8
POOL_TIMEOUT_S = 5.0
"""How long one caller waits for a connection."""

log = structlog.get_logger(__name__)


class DurabilityError(Exception):
    """The database does not keep what it acknowledges; the message names the setting."""


@dataclass(frozen=True, kw_only=True)
class Application:
    """The parts that the HTTP edge, the workers and the command line share."""

    settings: Settings
    ports: Ports
    api_keys: PostgresApiKeys
    tokens: AccessTokens
    logins: PostgresLogins
    limits: RateLimits
    master_keys: MasterKeys
    pool: AsyncConnectionPool
    bus: Bus
    due: PostgresDueRows
    inbox: PostgresInbox
    reconciliation: PostgresReconciliation
    sandbox: SandboxProcessor


@asynccontextmanager
async def application(settings: Settings, *, name: str) -> AsyncIterator[Application]:
    """Connect everything; leaving drains: queued appends are written, then connections close.

    `name` shows at the servers. When a part dies, the block is cancelled and the error raised.

    Raises:
        DurabilityError: the database would acknowledge what it can still lose.
        psycopg.OperationalError: the database cannot be reached.
    """
    pool: AsyncConnectionPool = AsyncConnectionPool(
        settings.database_url,
        min_size=1,
        max_size=POOL_MAX,
        timeout=POOL_TIMEOUT_S,
        max_lifetime=600,
        # It tries by itself as long as one caller waits; then the next caller makes it try. Else
        # its pauses double, and we are away once more for as long as the server was.
        reconnect_timeout=POOL_TIMEOUT_S,
        open=False,
        check=AsyncConnectionPool.check_connection,
        kwargs={"autocommit": True, "options": f"{OPTIONS} -c statement_timeout=15000"},
    )
    async with pool, Bus(settings.nats_url, name=name) as bus:
        await _check_durability(pool)
        async with pool.connection() as db:
            master_keys = await with_kept_hash_key(db, MasterKeys(settings.master_keys))
        app = _assembled(settings, pool, bus, master_keys)
        store, vault = _parts(app)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(store.run())
            tasks.create_task(vault.run())
            tasks.create_task(app.api_keys.run())
            tasks.create_task(app.limits.run())
            tasks.create_task(app.reconciliation.run())
            try:
                yield app
            finally:
                parts = (store, vault, app.api_keys, app.limits, app.logins, app.reconciliation)
                for part in parts:
                    part.close()
                await app.due.close()
                for processor in app.ports.processors.values():
                    await processor.aclose()


def _assembled(
    settings: Settings, pool: AsyncConnectionPool, bus: Bus, master_keys: MasterKeys
) -> Application:
    url = settings.database_url
    due = PostgresDueRows(url, pool, lease_s=settings.lease_s)
    processors = {name: make(settings) for name, make in PROCESSORS.items()}
    sandbox = processors["sandbox"]
    assert isinstance(sandbox, SandboxProcessor)
    inbox = PostgresInbox(pool, lease_s=settings.lease_s)
    reconciliation = PostgresReconciliation(url)
    ports = Ports(
        store=PostgresEventStore(url, pool),
        vault=PostgresVault(url, pool, master_keys),
        due=due,
        watch=BusWatch(bus),
        inbox=inbox,
        reconciliation=reconciliation,
        circuits=PostgresCircuits(pool, Limits(bad_min=settings.circuit_failures)),
        outward=AddressGuard(settings.webhook_allow_cidrs),
        processors=processors,
        now=lambda: datetime.now(UTC),
        public_url=settings.public_url,
        committed=payment_metrics.count,
    )
    tokens = AccessTokens(master_keys)
    return Application(
        settings=settings,
        ports=ports,
        api_keys=PostgresApiKeys(url, pool, master_keys),
        tokens=tokens,
        logins=PostgresLogins(pool, master_keys, tokens),
        limits=RateLimits(pool),
        master_keys=master_keys,
        pool=pool,
        bus=bus,
        due=due,
        inbox=inbox,
        reconciliation=reconciliation,
        sandbox=sandbox,
    )


def _parts(app: Application) -> tuple[PostgresEventStore, PostgresVault]:
    store, vault = app.ports.store, app.ports.vault
    assert isinstance(store, PostgresEventStore)
    assert isinstance(vault, PostgresVault)
    return store, vault


async def _check_durability(pool: AsyncConnectionPool) -> None:
    """A 2xx means committed and flushed; with standbys, on a standby too."""
    async with pool.connection() as connection:
        cursor = await connection.execute(
            "SELECT current_setting('synchronous_commit'), current_setting('fsync'),"
            " current_setting('synchronous_standby_names'),"
            " (SELECT count(*) FROM pg_stat_replication)"
        )
        row = await cursor.fetchone()
    assert row is not None, "a select without from has one row"
    commit, fsync, standby_names, standbys = row
    if commit not in {"on", "remote_apply"}:
        raise DurabilityError(f"synchronous_commit is {commit}, it must be on")
    if fsync != "on":
        raise DurabilityError("fsync is off: a power cut would lose acknowledged money")
    if standbys and not standby_names:
        raise DurabilityError("standbys are attached but synchronous_standby_names is empty")
