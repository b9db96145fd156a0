"""The webhook dispatcher: claims deliveries, sends them, writes what they came to, in batches.

Any number of processes share the work. A delivery whose dispatcher dies is sent again by another
one: at least once, never none.
"""

import asyncio
import base64
import random
import secrets
import time
from typing import Any, Final

import msgspec
import psycopg
import structlog
from prometheus_client import Counter, Gauge, Histogram
from psycopg import AsyncConnection

from adapters import checkpoints, delivery_rows
from adapters.connect import connect
from adapters.delivery_rows import Attempt, Claimed, Outcome
from adapters.endpoint_notes import EndpointNotes
from adapters.event_bodies import Body, Wanted, event_body
from adapters.waiting import end, set_within
from adapters.webhook_sender import Answer, Headers, Sender, signatures
from adapters.webhook_targets import Target, Targets
from commands.ports import Ports
from domain.errors import LoopError, Unavailable
from domain.public_events import next_attempt_s
from projections.order_view import iso

SLOTS: Final = 512
ROOM: Final = 32
"""Deliveries under way to one endpoint, from one process."""

SLOW_ROOM: Final = 4
SLOW_MS: Final = 1000
"""An endpoint that answers slowly, or not as it should, gets less of the slots until it does."""

IDLE_S: Final = 1.0
LINGER_S: Final = 0.004
"""What has just ended waits for more: a round costs two round trips, however small it is."""

FREE_S: Final = 30.0
DEPTH_S: Final = 5.0
DRAIN_S: Final = 5.0
POSTPONED_S: Final = 10.0
BACKOFF_MAX_S: Final = 5.0
CHECKPOINT_S: Final = 1.0

GONE: Final = 410

deliveries_total = Counter(
    "webhook_deliveries_total", "Attempts of webhook deliveries", ["event_type", "status"]
)
latency_seconds = Histogram(
    "webhook_latency_seconds",
    "From the event's delivery being made to the attempt's answer",
    ["event_type"],
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15, 60, 600, 3600),
)
queue_depth = Gauge(
    "webhook_queue_depth",
    "Deliveries that are not over, at most 100 000",
    multiprocess_mode="livemostrecent",
)

log = structlog.get_logger(__name__)

_TROUBLE: Final = (psycopg.Error, OSError, Unavailable)


class _Busy(msgspec.Struct):
    """What this process has under way with an endpoint."""

    merchant_id: str
    running: int = 0
    slow: bool = False


class Dispatcher:
    """The role `dispatcher` of `loop work`; see the module."""

    def __init__(self, ports: Ports, database_url: str, sender: Sender) -> None:
        self._ports = ports
        self._url = database_url
        self._sender = sender
        self._targets = Targets(ports)
        self._worker = secrets.randbelow(2**31)
        self._busy: dict[str, _Busy] = {}
        self._running: set[asyncio.Task[None]] = set()
        self._notes = EndpointNotes(ports)
        self._done: list[Outcome] = []
        self._wake = asyncio.Event()
        self._after = ""
        self._checkpoint: bytes | None = None
        self._look_at = {"checkpoint": 0.0, "depth": 0.0, "free": 0.0}
        self._failures = 0

    async def run(self, stop: asyncio.Event) -> None:
        """Deliver until `stop` is set, then let end what was begun; outages are waited out."""
        listening = asyncio.create_task(self._listen(stop))
        waking = asyncio.create_task(self._wake_at(stop))
        try:
            while not stop.is_set():
                try:
                    await self._session(stop)
                except _TROUBLE as error:
                    log.warning("dispatcher_begins_again", cause=type(error).__name__)
                    self._failures = min(self._failures + 1, 10)
                    await set_within(stop, min(BACKOFF_MAX_S, 0.05 * 2**self._failures))
        finally:
            await end(listening)
            await end(waking)
            for task in self._running:
                task.cancel()
            self._notes.cancel()
            await self._sender.aclose()

    async def _wake_at(self, stop: asyncio.Event) -> None:
        await stop.wait()
        self._wake.set()

    async def _listen(self, stop: asyncio.Event) -> None:
        """Wake up when a projector has made deliveries; without it they are found all the same."""
        while not stop.is_set():
            try:
                async with await connect(self._url, name="loop-dispatcher-listen") as db:
                    await db.execute("LISTEN loop_webhooks")
                    async for _ in db.notifies():
                        self._wake.set()
            except (psycopg.Error, OSError):
                await set_within(stop, IDLE_S)

    async def _session(self, stop: asyncio.Event) -> None:
        """Work with one connection, which shows the others that we live."""
        async with await connect(self._url, name="loop-dispatcher") as db:
            await delivery_rows.show_alive(db, self._worker)
            while not stop.is_set():
                await self._round(db)
                self._failures = 0
            if self._running:
                await asyncio.wait(self._running, timeout=DRAIN_S)
            await self._finish(db)

    async def _round(self, db: AsyncConnection[Any]) -> None:
        """Write what has ended, take what is due; without either wait for news."""
        self._wake.clear()
        await self._finish(db)
        await self._look_around(db)
        claimed = await self._claim(db)
        for row in claimed:
            busy = self._busy.setdefault(row.endpoint_id, _Busy(merchant_id=row.merchant_id))
            busy.running += 1
            task = asyncio.create_task(self._deliver(row))
            self._running.add(task)
            task.add_done_callback(self._running.discard)
        if not claimed and await set_within(self._wake, IDLE_S):
            await asyncio.sleep(LINGER_S)

    async def _claim(self, db: AsyncConnection[Any]) -> list[Claimed]:
        free = SLOTS - len(self._running)
        if not free:
            return []
        slow = sum(busy.running for busy in self._busy.values() if busy.slow)
        rooms: dict[str, int] = {}
        for endpoint_id, busy in list(self._busy.items()):
            if busy.slow:
                # All slow ones together leave half of the slots to the others.
                rooms[endpoint_id] = min(SLOW_ROOM - busy.running, SLOTS // 2 - slow)
            elif busy.running:
                rooms[endpoint_id] = ROOM - busy.running
            else:
                del self._busy[endpoint_id]
        claimed = await delivery_rows.claim(
            db, self._worker, limit=free, room=ROOM, rooms=rooms, after=self._after
        )
        if claimed:
            self._after = claimed[-1].endpoint_id
        return claimed

    async def _finish(self, db: AsyncConnection[Any]) -> None:
        done = self._done
        self._done = list[Outcome]()
        if not done:
            return
        try:
            failing = await delivery_rows.finish(db, self._worker, done)
        except BaseException:
            self._done = done + self._done
            raise
        for one in failing:
            busy = self._busy.get(one.endpoint_id)
            if busy is not None:
                self._notes.judge(busy.merchant_id, one)

    async def _look_around(self, db: AsyncConnection[Any]) -> None:
        """Do what is due from time to time: the newest checkpoint, the queue's depth, the sweep."""
        now = time.monotonic()
        if now >= self._look_at["checkpoint"]:
            self._look_at["checkpoint"] = now + CHECKPOINT_S
            signed = await checkpoints.latest(db)
            if signed is not None:
                root = base64.b64encode(signed.root)
                self._checkpoint = b"%d %b" % (signed.size, root)
        if now >= self._look_at["depth"]:
            self._look_at["depth"] = now + DEPTH_S
            queue_depth.set(await delivery_rows.depth(db))
        if now >= self._look_at["free"]:
            self._look_at["free"] = now + FREE_S
            if freed := await delivery_rows.free(db):
                log.warning("webhooks_freed", deliveries=freed)

    async def _deliver(self, row: Claimed) -> None:
        """Make one attempt; what it came to waits for the next round."""
        busy = self._busy[row.endpoint_id]
        try:
            outcome = await self._attempted(row, busy)
        except LoopError as error:
            log.warning("webhook_postponed", event_id=row.event_id, cause=error.code)
            outcome = _over(row, "failed" if row.tries else "pending", wait_s=POSTPONED_S)
        except Exception:
            log.exception("webhook_not_made", event_id=row.event_id)
            outcome = _over(row, "failed" if row.tries else "pending", wait_s=60.0)
        finally:
            busy.running -= 1
        self._done.append(outcome)
        self._wake.set()

    async def _attempted(self, row: Claimed, busy: _Busy) -> Outcome:
        target = await self._targets.get(row.merchant_id, row.endpoint_id)
        if target is None:
            return _over(row, "dead")
        body = await event_body(
            self._ports,
            Wanted(
                stream_id=row.stream_id,
                version=row.version,
                type=row.event_type,
                sequence=row.sequence,
                api_version=target.endpoint.api_version,
            ),
        )
        at = self._ports.now()
        headers = self._headers(row, target, body, at.timestamp())
        answer = await self._sender.send(row.endpoint_id, target.url, headers, body.content)
        busy.slow = not answer.delivered or answer.duration_ms > SLOW_MS
        status, wait_s = _judged(answer, row.tries + 1)
        deliveries_total.labels(event_type=row.event_type, status=status).inc()
        latency = row.age_s + answer.duration_ms / 1000
        latency_seconds.labels(event_type=row.event_type).observe(latency)
        if answer.status == GONE:
            self._notes.gone(row.merchant_id, row.endpoint_id)
        attempt = Attempt(
            at=iso(at),
            status=answer.status,
            duration_ms=answer.duration_ms,
            error=answer.error,
            response_prefix=answer.prefix,
        )
        return _over(row, status, wait_s=wait_s, attempt=attempt)

    def _headers(self, row: Claimed, target: Target, body: Body, now_s: float) -> Headers:
        headers = signatures(row.event_id, body.content, target.keys, now_s)
        headers.append((b"X-Correlation-ID", body.metadata.correlation_id.encode()))
        if body.metadata.trace:
            headers.append((b"traceparent", body.metadata.trace.encode()))
        if self._checkpoint is not None:
            headers.append((b"X-Loop-Checkpoint", self._checkpoint))
        return headers


def _over(
    row: Claimed, status: str, *, wait_s: float | None = None, attempt: Attempt | None = None
) -> Outcome:
    return Outcome(
        endpoint_id=row.endpoint_id,
        position=row.position,
        status=status,
        wait_s=wait_s,
        attempt=attempt,
    )


def _judged(answer: Answer, attempts: int) -> tuple[str, float | None]:
    """Return what a delivery is after an attempt, and in how many seconds the next one is made."""
    if answer.delivered:
        return "delivered", None
    if answer.status == GONE:
        return "dead", None
    jitter = random.random()  # noqa: S311 - spreads load, protects nothing
    wait_s = next_attempt_s(attempts, jitter=jitter, retry_after_s=answer.retry_after_s)
    return ("dead", None) if wait_s is None else ("failed", wait_s)
