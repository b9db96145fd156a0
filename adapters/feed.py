"""A durable pull consumer as a projector needs it: fast copies of rows that make it look sooner.

Nothing depends on it: what it does not bring, brings late, twice or out of order is read from the
log. The library's `fetch` is not used because it waits for a full batch or its whole time-out.
"""

import asyncio
import contextlib
import json
from collections import deque
from typing import Final

import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy
from nats.js.errors import NotFoundError

from adapters.log import Row
from adapters.nats import LOG_ID, STREAM, Bus, Disconnected, row_of
from adapters.waiting import set_within

BATCH: Final = 500
BUFFERED_MAX: Final = 4 * BATCH
EXPIRES_S: Final = 10.0
AGAIN_S: Final = 1.0
LINGER_S: Final = 0.02
"""How long what has arrived waits for more: a batch costs ten round trips, however small it is."""
JUMP: Final = 5_000
"""When the reader is this far ahead, the consumer is made anew at its position."""

_NOTHING: Final = {"404", "408"}
"""Statuses of a pull that ended without its messages; every other one is trouble."""

log = structlog.get_logger(__name__)


class Feed:
    """Rows of one log from the bus, from just behind `position` on."""

    def __init__(self, bus: Bus, *, durable: str, log_id: str, position: int) -> None:
        self._bus = bus
        self._durable = durable
        self._log_id = log_id
        self._position = position
        self._rows: deque[Row] = deque()
        self._replies: deque[tuple[int, str]] = deque()
        self._arrived = asyncio.Event()
        self._wanted = asyncio.Event()
        self._closed = asyncio.Event()
        self._pulled = 0
        self._trouble: str | None = None
        self._client: Client | None = None

    async def run(self) -> None:
        """Fill the buffer until closed; trouble with NATS is waited out."""
        while not self._closed.is_set():
            try:
                await self._session()
            except (Disconnected, NatsError, OSError, TimeoutError) as error:
                log.debug("feed_pauses", consumer=self._durable, cause=type(error).__name__)
            await set_within(self._closed, AGAIN_S)

    def close(self) -> None:
        """Make `run` return; cancelling it is not enough, the library may lose a cancellation."""
        self._closed.set()
        self._wanted.set()

    async def get(self, timeout_s: float) -> list[Row]:
        """Return what has arrived, oldest first; waits for the first row, empty after that time."""
        if not self._rows:
            self._arrived.clear()
            if await set_within(self._arrived, timeout_s):
                await set_within(self._closed, LINGER_S)
        rows = list(self._rows)
        self._rows.clear()
        self._wanted.set()
        return rows

    async def ack(self, position: int) -> None:
        """Tell the server that all up to `position` is done; a lost word costs duplicates only."""
        self._position = position
        reply = None
        while self._replies and self._replies[0][0] <= position:
            reply = self._replies.popleft()[1]
        if reply is not None and self._client is not None:
            with contextlib.suppress(NatsError, OSError):
                await self._client.publish(reply, b"+ACK")

    async def _session(self) -> None:
        """Make the consumer at our position and pull from it until there is trouble."""
        client = self._client = await self._bus.client()
        jetstream = client.jetstream(timeout=2)
        with contextlib.suppress(NotFoundError):
            await jetstream.delete_consumer(STREAM, self._durable)
        self._rows.clear()
        self._replies.clear()
        self._trouble, self._pulled = None, 0
        await jetstream.add_consumer(STREAM, self._config())
        inbox = client.new_inbox()
        subscription = await client.subscribe(inbox, cb=self._on_message)
        try:
            await self._pull(client, inbox)
        finally:
            with contextlib.suppress(NatsError, OSError):
                await subscription.unsubscribe()

    def _config(self) -> ConsumerConfig:
        return ConsumerConfig(
            durable_name=self._durable,
            deliver_policy=DeliverPolicy.BY_START_SEQUENCE,
            opt_start_seq=self._position + 1,
            ack_policy=AckPolicy.ALL,
            ack_wait=30,
            max_ack_pending=2 * BUFFERED_MAX,
            inactive_threshold=24 * 3600,
        )

    async def _pull(self, client: Client, inbox: str) -> None:
        """Keep one request open as long as there is room for what it brings."""
        subject = f"$JS.API.CONSUMER.MSG.NEXT.{STREAM}.{self._durable}"
        request = json.dumps({"batch": BATCH, "expires": int(EXPIRES_S * 1e9)}).encode()
        while self._trouble is None and not self._closed.is_set():
            self._wanted.clear()
            if self._pulled <= 0 and len(self._rows) < BUFFERED_MAX:
                self._pulled = BATCH
                await client.publish(subject, request, reply=inbox)
            if not await set_within(self._wanted, EXPIRES_S + 1):
                self._pulled = 0

    async def _on_message(self, message: Msg) -> None:
        headers = message.headers or {}
        status = headers.get("Status")
        if status is not None:
            self._pulled = 0
            if status not in _NOTHING:
                self._trouble = f"{status} {headers.get('Description', '')}"
            self._wanted.set()
            return
        self._pulled -= 1
        if self._pulled <= 0:
            self._wanted.set()
        sequence = message.metadata.sequence.stream
        self._replies.append((sequence, message.reply))
        if headers.get(LOG_ID) == self._log_id:
            with contextlib.suppress(KeyError, ValueError):
                self._rows.append(row_of(sequence, headers, message.data))
        self._arrived.set()
        if self._position - sequence > JUMP:
            self._trouble = "the reader is far ahead"
            self._wanted.set()
