"""What `loop work` runs: relay, projectors, saga and housekeeping, in one process or spread."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Final

import psycopg
import structlog

from adapters.address_guard import AddressGuard
from adapters.checkpoints import Checkpoints
from adapters.dispatcher import ROOM, Dispatcher
from adapters.feed import Feed
from adapters.housekeeping import expire_deliveries, expire_idempotency
from adapters.inbox import expire_inbox
from adapters.inbox_worker import InboxWorker
from adapters.logins import expire_sessions
from adapters.projector import Projector
from adapters.rate_limits import forget_empty
from adapters.reconciler import Reconciler
from adapters.relay import Relay
from adapters.saga_worker import SagaWorker
from adapters.waiting import set_within
from adapters.webhook_sender import Sender
from adapters.wiring import Application
from commands.sagas.payment import PaymentSaga
from projections import PROJECTIONS

HOUSEKEEPING_S: Final = 3600.0
NOBODY: Final = 0
"""Who only looks ends no lease: the saga of the same process may be acting on the order."""

log = structlog.get_logger(__name__)

Role = Callable[[Application, asyncio.Event], Coroutine[Any, Any, None]]


async def _relay(app: Application, stop: asyncio.Event) -> None:
    await Relay(app.settings.database_url, app.bus).run(stop)


async def _projections(app: Application, stop: asyncio.Event) -> None:
    feed = Feed(app.bus)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(feed.run(stop))
        for projection in PROJECTIONS.values():
            projector = Projector(app.settings.database_url, feed, projection)
            tasks.create_task(projector.run(stop))


async def _saga(app: Application, stop: asyncio.Event) -> None:
    settings = app.settings
    saga = PaymentSaga(app.ports, worker=app.due.worker, call_limit_s=settings.call_limit_s)
    worker = SagaWorker(
        saga, app.ports.due, app.bus, settings.database_url, slots=settings.saga_slots
    )
    await worker.run(stop)


async def _inbox(app: Application, stop: asyncio.Event) -> None:
    settings = app.settings
    saga = PaymentSaga(app.ports, worker=NOBODY, call_limit_s=settings.call_limit_s)
    worker = InboxWorker(app.ports, app.inbox, saga.look_at, settings.database_url)
    await worker.run(stop)


async def _reconciler(app: Application, stop: asyncio.Event) -> None:
    settings = app.settings
    saga = PaymentSaga(app.ports, worker=NOBODY, call_limit_s=settings.call_limit_s)
    role = Reconciler(
        app.ports,
        saga.look_at,
        settings.database_url,
        every_s=settings.reconcile_s,
        call_limit_s=settings.call_limit_s,
    )
    await role.run(stop)


async def _dispatcher(app: Application, stop: asyncio.Event) -> None:
    settings = app.settings
    sender = Sender(AddressGuard(settings.webhook_allow_cidrs), connections=ROOM)
    await Dispatcher(app.ports, settings.database_url, sender).run(stop)


async def _checkpoints(app: Application, stop: asyncio.Event) -> None:
    settings = app.settings
    role = Checkpoints(settings.database_url, app.bus, app.master_keys, settings.witness)
    await role.run(stop)


async def _housekeeping(app: Application, stop: asyncio.Event) -> None:
    while not stop.is_set():
        try:
            deleted = await expire_idempotency(app.pool)
            webhooks = await expire_inbox(app.pool)
            sessions = await expire_sessions(app.pool)
            told = await expire_deliveries(app.pool, app.settings.webhook_log_days)
            await forget_empty(app.pool)
        except psycopg.Error as error:
            log.warning("housekeeping_postponed", error=type(error).__name__)
        else:
            log.info(
                "expired",
                idempotency=deleted,
                webhooks=webhooks,
                sessions=sessions,
                deliveries=told,
            )
        await set_within(stop, HOUSEKEEPING_S)


ROLES: Final[dict[str, Role]] = {
    "relay": _relay,
    "projections": _projections,
    "saga": _saga,
    "dispatcher": _dispatcher,
    "inbox": _inbox,
    "reconciler": _reconciler,
    "checkpoints": _checkpoints,
    "housekeeping": _housekeeping,
}
"""What `--only` can pick; a new role is one function and one line."""


async def work(app: Application, stop: asyncio.Event, only: tuple[str, ...] = ()) -> None:
    """Run the roles until `stop`; if one of them dies the others are cancelled and it is raised."""
    async with asyncio.TaskGroup() as tasks:
        for name, role in ROLES.items():
            if not only or name in only:
                tasks.create_task(role(app, stop), name=name)
