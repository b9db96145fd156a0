"""From the application's parts to what the HTTP edge works with."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import date

import psycopg
from psycopg_pool import AsyncConnectionPool

from adapters.api_keys import key_hash
from adapters.changes import BusChanges
from adapters.circuits import count_states
from adapters.desk import measure
from adapters.log import Connection, position_at, recorded_at
from adapters.nats import Bus
from adapters.processors import CUSTOMER_PAGES
from adapters.processors.sandbox import SandboxProcessor
from adapters.rate_limits import Limit
from adapters.read_models import outdated, status
from adapters.wiring import Application
from commands.ports import Ports
from domain.errors import Unavailable
from domain.metadata import Mode
from gateway.audit_parts import PostgresAudit
from gateway.checkout.sessions import PostgresCheckoutSessions
from gateway.deps import Accounts, BankChallenge, Checks, Deps, LedgerQuery
from gateway.limits import Limits
from gateway.webhook_parts import PostgresWebhooks
from projections import ledger, orders, statistics
from projections.base import Page
from projections.ledger import EntryRow, Place
from projections.order_view import whole_ms
from projections.orders import Cursor, Filters, OrderRow
from projections.statistics import Statistics

_OTHER_TABLES = (psycopg.errors.UndefinedTable, psycopg.errors.UndefinedColumn)
"""No worker has made the tables yet, or they are of other code and wait for a swap."""

CHECK_S = 2.0
"""A check that takes longer has failed; a list waits no longer for a connection."""


def deps_of_application(app: Application) -> Deps:
    """Return what `create_app` takes."""
    return Deps(
        ports=app.ports,
        api_keys=app.api_keys,
        tokens=app.tokens,
        logins=app.logins,
        hash_secret=lambda secret: key_hash(app.master_keys, secret),
        readiness=EngineChecks(app.pool, app.bus),
        read_models=PostgresReadModels(app.pool),
        audit=PostgresAudit(app.pool, app.master_keys),
        sessions=PostgresCheckoutSessions(app.pool),
        page_key=app.master_keys.keyed_hash("checkout_page", ""),
        pages={name: make(app.settings) for name, make in CUSTOMER_PAGES.items()},
        changes=BusChanges(app.bus),
        webhooks=PostgresWebhooks(app.pool, app.ports),
        limits=_limits(app),
        bank=SandboxBank(app.sandbox, app.ports),
        cors_origins=app.settings.cors_origins,
    )


def _limits(app: Application) -> Limits:
    settings = app.settings
    per_login = settings.rate_limit_login
    return Limits(
        counted=app.limits,
        per_key=Limit(name="key", rate=settings.rate_limit_key),
        per_address=Limit(name="address", rate=settings.rate_limit_address),
        per_login=Limit(name="login", rate=per_login, window_s=60.0, burst=2 * per_login),
        trusted=settings.trusted_proxies,
    )


@dataclass(frozen=True)
class EngineChecks:
    """Readiness: asks Postgres and NATS."""

    pool: AsyncConnectionPool
    bus: Bus

    async def checks(self) -> Checks:
        """Return what answers within `CHECK_S`."""
        lag: dict[str, int] = {}
        stopped: tuple[str, ...] = ()
        paused: tuple[str, ...] = ()
        old: tuple[str, ...] = ()
        postgres = True
        try:
            async with asyncio.timeout(CHECK_S), self.pool.connection(timeout=CHECK_S) as db:
                live = [found for found in await status(db) if found.live]
            lag = {found.name: found.lag_events for found in live}
            stopped = tuple(found.name for found in live if found.error is not None)
            paused = tuple(found.name for found in live if found.paused_at is not None)
            old = tuple(found.name for found in outdated(live))
        except (psycopg.Error, TimeoutError):
            postgres = False
        return Checks(
            postgres=postgres,
            nats=self.bus.connected,
            projections=lag,
            stopped=stopped,
            paused=paused,
            outdated=old,
        )

    async def measure(self) -> None:
        """See `gateway.deps.Readiness.measure`."""
        with contextlib.suppress(psycopg.Error, TimeoutError):
            async with asyncio.timeout(CHECK_S), self.pool.connection(timeout=CHECK_S) as db:
                await count_states(db)
                await measure(db)


@dataclass(frozen=True)
class PostgresReadModels:
    """Lists from the projections' tables."""

    pool: AsyncConnectionPool

    async def orders_page(
        self,
        *,
        merchant_id: str,
        mode: Mode,
        filters: Filters,
        after: Cursor | None,
        before: Cursor | None,
        limit: int,
    ) -> Page[OrderRow]:
        """Return one page.

        Raises:
            Unavailable: `database_unavailable`.
        """
        async with self._connected() as db:
            return await orders.page(
                db,
                merchant_id=merchant_id,
                mode=mode,
                filters=filters,
                after=after,
                before=before,
                limit=limit,
            )

    async def orders_numbered(
        self, *, merchant_id: str, mode: Mode, filters: Filters, offset: int, limit: int
    ) -> tuple[Page[OrderRow], int]:
        """Return a numbered page and how many rows there are.

        Raises:
            Unavailable: `database_unavailable`.
        """
        async with self._connected() as db:
            page = await orders.page(
                db,
                merchant_id=merchant_id,
                mode=mode,
                filters=filters,
                limit=limit,
                offset=offset,
            )
            total = await orders.count(db, merchant_id=merchant_id, mode=mode, filters=filters)
        return page, total

    async def statistics(
        self, *, merchant_id: str, mode: Mode, first: date | None, last: date | None
    ) -> Statistics:
        """Return statistics.

        Raises:
            Unavailable: `database_unavailable`.
        """
        async with self._connected() as db:
            return await statistics.read(
                db, merchant_id=merchant_id, mode=mode, first=first, last=last
            )

    async def ledger_accounts(self, asked: LedgerQuery) -> Accounts:
        """Return accounts of the books.

        Raises:
            Unavailable: `database_unavailable`.
        """
        async with self._connected() as db:
            narrowed = await _narrowed(db, asked)
            rows = await ledger.accounts(db, narrowed)
            at = await recorded_at(db, narrowed.upto)
        return Accounts(rows=tuple(rows), as_of_position=narrowed.upto, as_of=at)

    async def ledger_entries(
        self, asked: LedgerQuery, *, after: Place | None, before: Place | None, limit: int
    ) -> Page[EntryRow]:
        """Return one page of entries.

        Raises:
            Unavailable: `database_unavailable`.
        """
        async with self._connected() as db:
            narrowed = await _narrowed(db, asked)
            return await ledger.page(db, narrowed, after=after, before=before, limit=limit)

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[Connection]:
        try:
            async with self.pool.connection(timeout=CHECK_S) as db:
                yield db
        except (psycopg.OperationalError, *_OTHER_TABLES):
            raise Unavailable("database_unavailable", "The list cannot be read now.") from None


async def _narrowed(db: Connection, asked: LedgerQuery) -> ledger.Filters:
    """Return what is asked for with its position, which is never beyond the read model's.

    Entries never change, so everything that is read up to one position fits together.
    """
    upto = await ledger.as_of_position(db)
    if isinstance(asked.as_of, int):
        upto = min(upto, asked.as_of)
    elif asked.as_of is not None:
        upto = min(upto, await position_at(db, whole_ms(asked.as_of)))
    return ledger.Filters(
        merchant_id=asked.merchant_id,
        mode=asked.mode,
        upto=upto,
        currency=asked.currency,
        order_id=asked.order_id,
    )


@dataclass(frozen=True)
class SandboxBank:
    """The in-process sandbox as the customer sees it."""

    sandbox: SandboxProcessor
    ports: Ports

    async def describe(self, reference: str) -> BankChallenge | None:
        """Return the challenge of a payment that asked for one."""
        view = await asyncio.to_thread(self.sandbox.bank.lookup, reference)
        if view is None or (
            view.payment.status != "challenged" and view.payment.challenge_approved is None
        ):
            return None
        payment = view.payment
        decided = "approved" if payment.challenge_approved else "failed"
        return BankChallenge(
            reference=payment.reference,
            amount_minor=payment.amount,
            currency=payment.currency,
            state="open" if payment.challenge_approved is None else decided,
        )

    async def decide(self, reference: str, *, approve: bool) -> str | None:
        """Decide once, and have the payment looked up at once."""
        await asyncio.to_thread(self.sandbox.bank.challenge, reference, approve=approve)
        view = await asyncio.to_thread(self.sandbox.bank.lookup, reference)
        if view is None or view.payment.order_id is None:
            return None
        await self.ports.due.hint(view.payment.order_id, view.payment.attempt_id)
        return f"{self.ports.public_url}/checkout/{view.payment.order_id}/return"
