"""The worker of the payment saga: claims due rows, acts on many at a time, is poked by the bus."""

import asyncio
import contextlib
from typing import Any, Final

import psycopg
import structlog
from nats.errors import Error as NatsError
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy
from prometheus_client import Gauge
from psycopg import AsyncConnection

from adapters.migrations import OPTIONS
from adapters.nats import STREAM, Bus, Disconnected, subject_of
from commands.ports import DueRow, DueRows
from commands.sagas.payment import PaymentSaga
from domain.errors import Unavailable
from domain.events import tag_of
from domain.order.steps import OPENS

IDLE_S: Final = 1.0
"""A worker that nobody pokes looks for due rows this often."""
FAILED_S: Final = 0.25
"""A worker that could not claim is not poked sooner: a server that comes up is left alone."""
CONSUMER: Final = "payment-saga"
POKES: Final = [subject_of(tag_of(kind)) for kind in OPENS]
"""Subjects of the events after which there may be something to do at once."""

waiting = Gauge("saga_acting", "Steps that this worker is acting on", multiprocess_mode="livesum")

log = structlog.get_logger(__name__)


def pause_s(tries: int) -> float:
    """Return the seconds until a step that failed by our own fault is tried again."""
    return min(60.0, 2.0 ** min(tries, 10))


class SagaWorker:
    """Runs the saga in one process; any number of processes share the work."""

    def __init__(
        self, saga: PaymentSaga, due: DueRows, bus: Bus, database_url: str, *, slots: int
    ) -> None:
        self._saga = saga
        self._due = due
        self._bus = bus
        self._url = database_url
        self._slots = slots
        self._poke = asyncio.Event()
        self._acting: dict[asyncio.Task[None], DueRow] = {}

    async def run(self, stop: asyncio.Event) -> None:
        """Act until `stop`, then finish what was begun."""
        async with asyncio.TaskGroup() as tasks:
            pokes = [
                tasks.create_task(self._follow_bus(stop)),
                tasks.create_task(self._follow_hints(stop)),
            ]
            stopper = tasks.create_task(self._poke_at(stop))
            while not stop.is_set():
                await self._round()
            for task in [*pokes, stopper]:
                task.cancel()
        if self._acting:
            await asyncio.wait(self._acting)

    async def _poke_at(self, stop: asyncio.Event) -> None:
        await stop.wait()
        self._poke.set()

    async def _round(self) -> None:
        """Claim as much as there are free slots, or wait for a poke, a slot or a due time."""
        free = self._slots - len(self._acting)
        self._poke.clear()
        rows = await self._claim(free) if free else []
        for row in rows:
            task = asyncio.create_task(self._act(row))
            self._acting[task] = row
            task.add_done_callback(self._done)
        waiting.set(len(self._acting))
        if len(rows) < free or not free:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(await self._pause_s()):
                    await self._poke.wait()

    def _done(self, task: "asyncio.Task[None]") -> None:
        del self._acting[task]
        self._poke.set()

    async def _claim(self, limit: int) -> list[DueRow]:
        try:
            return await self._due.claim(limit=limit, acting=self._acting.values())
        except psycopg.Error as error:
            log.warning("saga_claim_failed", error=type(error).__name__)
            await asyncio.sleep(FAILED_S)
            return []

    async def _pause_s(self) -> float:
        try:
            next_s = await self._due.next_due_s()
        except psycopg.Error:
            return IDLE_S
        return IDLE_S if next_s is None else min(IDLE_S, max(next_s, 0.005))

    async def _act(self, row: DueRow) -> None:
        structlog.contextvars.bind_contextvars(order_id=row.order_id, operation=row.operation)
        try:
            await self._saga.act(row)
        except (Unavailable, psycopg.Error) as error:
            log.warning("saga_step_postponed", error=type(error).__name__)
            await self._give_back(row)
        except Exception:
            log.exception("saga_step_failed")
            await self._give_back(row)

    async def _give_back(self, row: DueRow) -> None:
        try:
            await self._due.again(row, in_s=pause_s(row.tries))
        except psycopg.Error as error:
            # The next claim finds that we hold it and do not act on it.
            log.warning("saga_step_not_given_back", error=type(error).__name__)

    async def _follow_hints(self, stop: asyncio.Event) -> None:
        """Poke the worker when somebody made a row due by hand."""
        while not stop.is_set():
            try:
                async with await AsyncConnection.connect(
                    self._url, autocommit=True, connect_timeout=5, options=OPTIONS
                ) as connection:
                    await self._listen(connection)
            except psycopg.Error:
                await asyncio.sleep(IDLE_S)

    async def _listen(self, connection: AsyncConnection[Any]) -> None:
        await connection.execute("LISTEN loop_due")
        async for _ in connection.notifies():
            self._poke.set()

    async def _follow_bus(self, stop: asyncio.Event) -> None:
        """Poke the worker for what opens steps; without the bus it polls."""
        while not stop.is_set():
            try:
                client = await self._bus.client()
                stream = client.jetstream()
                config = ConsumerConfig(
                    durable_name=CONSUMER,
                    ack_policy=AckPolicy.ALL,
                    deliver_policy=DeliverPolicy.NEW,
                    filter_subjects=POKES,
                )
                await stream.add_consumer(STREAM, config)
                pull = await stream.pull_subscribe_bind(CONSUMER, STREAM)
                with contextlib.suppress(TimeoutError):
                    while messages := await pull.fetch(100, timeout=IDLE_S):
                        self._poke.set()
                        await messages[-1].ack()
                # Silence may mean that the stream was made anew: the consumer is asked for again.
                await pull.unsubscribe()
            except (Disconnected, NatsError, OSError):
                await asyncio.sleep(IDLE_S)
