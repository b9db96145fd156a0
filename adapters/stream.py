"""The stream `LOOP` as the relay writes it: made for one log, checked against it, in its order."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Final

import msgspec
import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.js.api import StreamInfo
from nats.js.client import JetStreamContext
from nats.js.errors import NotFoundError
from prometheus_client import Counter

from adapters import log as events
from adapters.log import Connection, Row
from adapters.nats import EVENT_ID, LOG_ID, STREAM, event_id, message, stream_config
from adapters.waiting import set_within

WINDOW: Final = 512
"""Messages that may be unacknowledged at one time."""

ASK_EVERY: Final = 32
"""Only every so many messages are acknowledged: one that is stored proves all before it."""

ACK_S: Final = 5.0
LOCK: Final = 0x4C4F4F50_0001
"""Advisory lock under which a stream is made or deleted."""

published_total = Counter("relay_published_total", "Events that this relay put on the bus")
streams_made_total = Counter("relay_streams_made_total", "Times that the stream was made anew")

log = structlog.get_logger(__name__)


class Doubt(Exception):
    """It is not certain what the stream holds; look again."""


class LogStream:
    """The stream as one session of a relay sees it."""

    def __init__(
        self, client: Client, jetstream: JetStreamContext, db: Connection, log_id: str
    ) -> None:
        self._client = client
        self._js = jetstream
        self._db = db
        self._log_id = log_id
        self._inbox = client.new_inbox()
        self._look = 0
        self._sent = 0
        self._acked = 0
        self._doubt: str | None = None
        self._answered = asyncio.Event()

    @contextlib.asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        """Listen for acknowledgements. The library's own futures never time out and are slow."""
        subscription = await self._client.subscribe(f"{self._inbox}.*.*", cb=self._on_ack)
        try:
            yield
        finally:
            with contextlib.suppress(NatsError, OSError):
                await subscription.unsubscribe()

    async def settle(self, *, kept: int, max_bytes: int) -> int:
        """Return the position up to which the stream is this log; make it anew where it is not.

        Raises:
            Doubt: another relay publishes into the stream that was made anew.
            nats.errors.Error, TimeoutError: NATS does not answer or has no room.
        """
        position = await self._agrees()
        if position is None:
            await self._db.execute("SELECT pg_advisory_lock(%s)", (LOCK,))
            try:
                position = await self._agrees()
                if position is None:
                    position = await self._make(kept, max_bytes)
            finally:
                await self._db.execute("SELECT pg_advisory_unlock(%s)", (LOCK,))
        self._look += 1
        self._sent = self._acked = position
        self._doubt = None
        return position

    async def _agrees(self) -> int | None:
        """Return the stream's last sequence if everything up to it is this log, else None."""
        try:
            info = await self._js.stream_info(STREAM)
        except NotFoundError:
            return None
        last = info.state.last_seq
        metadata = info.config.metadata or {}
        if metadata.get("loop_log_id") != self._log_id or last > await events.head(self._db):
            return None
        if info.state.messages == 0:
            return last if last == max(info.config.first_seq or 1, 1) - 1 else None
        try:
            held = await self._js.get_msg(STREAM, last)
        except NotFoundError:
            return None
        row = (await events.read_page(self._db, last - 1, 1))[0]
        headers = held.headers or {}
        same = headers.get(LOG_ID) == self._log_id and headers.get(EVENT_ID) == event_id(row.state)
        return last if same else None

    async def _make(self, kept: int, max_bytes: int) -> int:
        """Delete the stream, with its consumers, and make it anew for the last `kept` events."""
        with contextlib.suppress(NotFoundError):
            await self._js.delete_stream(STREAM)
            log.warning("relay_deleted_stream", reason="it does not hold this log")
        first_seq = max(1, await events.head(self._db) - kept)
        config = stream_config(log_id=self._log_id, first_seq=first_seq, max_bytes=max_bytes)
        info: StreamInfo = await self._js.add_stream(config)
        streams_made_total.inc()
        if info.state.last_seq != first_seq - 1:
            raise Doubt("somebody was faster to publish into the fresh stream")
        return first_seq - 1

    async def publish(self, page: list[Row]) -> None:
        """Publish the rows behind what is under way, at most `WINDOW` unacknowledged.

        Raises:
            Doubt: an acknowledgement said something else than expected, or did not come in time.
            nats.errors.Error: the connection is closed or its buffer is full.
        """
        for row in page:
            if self._sent - self._acked >= WINDOW:
                await self._acknowledged(row.position - WINDOW // 2)
            subject, headers = message(row, self._log_id)
            asks = row.position % ASK_EVERY == 0 or row is page[-1]
            reply = f"{self._inbox}.{self._look}.{row.position}" if asks else ""
            await self._client.publish(subject, row.state, reply=reply, headers=headers)
            self._sent = row.position

    async def flush(self) -> None:
        """Wait for all acknowledgements; raises as `publish` does."""
        await self._acknowledged(self._sent)

    async def _acknowledged(self, position: int) -> None:
        """Wait until all up to `position` is acknowledged."""
        before = self._acked
        while self._acked < position and self._doubt is None:
            self._answered.clear()
            if not await set_within(self._answered, ACK_S):
                raise Doubt("no acknowledgement in time")
        if self._doubt is not None:
            raise Doubt(self._doubt)
        published_total.inc(self._acked - before)

    async def _on_ack(self, answer: Msg) -> None:
        """Note one acknowledgement: it stands for all before it, as each names its predecessor."""
        look, position = answer.subject.rsplit(".", 2)[1:]
        if int(look) != self._look:
            return
        if answer.headers and "Status" in answer.headers:
            self._doubt = f"nobody stores position {position}"
        else:
            ack = _decode_ack(answer.data)
            if ack.error is not None:
                self._doubt = f"position {position}: {ack.error.description}"
            elif ack.stream != STREAM or ack.seq != int(position):
                self._doubt = f"position {position} became sequence {ack.seq} of {ack.stream}"
            else:
                self._acked = max(self._acked, ack.seq)
        self._answered.set()


class _AckError(msgspec.Struct):
    err_code: int = 0
    description: str = ""


class _Ack(msgspec.Struct):
    stream: str = ""
    seq: int = 0
    error: _AckError | None = None


_decode_ack: Final = msgspec.json.Decoder(_Ack).decode
