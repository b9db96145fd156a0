"""NATS: the connection, the stream `LOOP`, and how one row of the log looks on the bus."""

import asyncio
import contextlib
import re
import time
from collections.abc import Mapping
from datetime import datetime
from typing import Final, Self

import msgspec
import structlog
from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.js.api import RetentionPolicy, StorageType, StreamConfig

from adapters.log import Row
from adapters.waiting import end

STREAM: Final = "LOOP"
MAX_AGE_S: Final = 7 * 24 * 3600
MAX_BYTES: Final = 2 * 1024**3
"""Size limit of the stream; consumers read from Postgres what it no longer holds."""

EXPECTED: Final = "Nats-Expected-Last-Sequence"
EVENT_ID: Final = "Loop-Event-Id"
LOG_ID: Final = "Loop-Log-Id"
ROW: Final = "Loop-Row"
"""Version, time of recording, tag and stream, in one: each header costs every consumer 2 us."""

_LOG_EVERY_S: Final = 10.0
_UNSAFE: Final = re.compile(r"[^\x000-9A-Za-z_-]")

log = structlog.get_logger(__name__)


class Disconnected(Exception):
    """There is no connection to NATS at the moment."""


class Bus:
    """One connection to NATS for a process: made in the background, kept up for ever.

    `url` carries the credentials. Entering never waits for the server, so that a process without
    NATS starts and works, only slower.
    """

    def __init__(self, url: str, *, name: str) -> None:
        self._url = url
        self._name = name
        self._client = Client()
        self._task: asyncio.Task[None] | None = None
        self._logged_at = -_LOG_EVERY_S
        self._hidden = 0

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._connect())
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._task is not None:
            await end(self._task)
        # Without a server the library writes to a transport that uvloop has closed: RuntimeError.
        with contextlib.suppress(NatsError, OSError, TimeoutError, RuntimeError):
            await self._client.close()

    @property
    def connected(self) -> bool:
        """Whether the server can be reached right now, as far as is known."""
        return self._client.is_connected

    @property
    def reconnects(self) -> int:
        """How often the connection was lost and made anew."""
        return self._client.stats["reconnects"]

    async def client(self, timeout_s: float = 2.0) -> Client:
        """Return the connected client.

        Raises:
            Disconnected: there was no connection for `timeout_s`.
        """
        deadline = time.monotonic() + timeout_s
        while not self._client.is_connected:
            if time.monotonic() >= deadline:
                raise Disconnected
            await asyncio.sleep(0.02)
        return self._client

    async def _connect(self) -> None:
        await self._client.connect(
            self._url,
            name=self._name,
            max_reconnect_attempts=-1,
            reconnect_time_wait=0.25,  # type: ignore[bad-argument-type]
            ping_interval=10,
            error_cb=self._on_error,
            disconnected_cb=self._on_disconnect,
            reconnected_cb=self._on_reconnect,
        )

    async def _on_error(self, error: Exception) -> None:
        """Log at most one error in 10 s: an absent server gives one with every attempt."""
        now = time.monotonic()
        if now - self._logged_at < _LOG_EVERY_S:
            self._hidden += 1
            return
        log.warning("nats_error", error=type(error).__name__, detail=str(error), more=self._hidden)
        self._logged_at, self._hidden = now, 0

    async def _on_disconnect(self) -> None:
        log.info("nats_disconnected", name=self._name)

    async def _on_reconnect(self) -> None:
        log.info("nats_reconnected", name=self._name)


def stream_config(*, log_id: str, first_seq: int, max_bytes: int = MAX_BYTES) -> StreamConfig:
    """Return the stream of one log, whose first message will have sequence `first_seq`."""
    return StreamConfig(
        name=STREAM,
        subjects=["loop.>"],
        retention=RetentionPolicy.LIMITS,
        storage=StorageType.FILE,
        max_age=MAX_AGE_S,
        max_bytes=max_bytes,
        deny_delete=True,
        deny_purge=True,
        allow_direct=True,
        first_seq=first_seq,
        metadata={"loop_log_id": log_id},
    )


class _Envelope(msgspec.Struct):
    event_id: str = ""
    merchant_id: str = "-"
    mode: str | None = None
    trace: str | None = None


class _Stored(msgspec.Struct):
    metadata: _Envelope


_decode = msgspec.json.Decoder(_Stored).decode


def _metadata(state: bytes) -> _Envelope:
    """Return what the bus needs to know; nothing of a damaged row, which must not hold it up."""
    try:
        return _decode(state).metadata
    except msgspec.MsgspecError:
        return _Envelope()


def event_id(state: bytes) -> str:
    """Return the event id that stands in a row's stored bytes, empty in a damaged row."""
    return _metadata(state).event_id


def message(row: Row, log_id: str) -> tuple[str, dict[str, str]]:
    """Return subject and headers of a row; the payload is its stored bytes."""
    meta = _metadata(row.state)
    tokens = (meta.mode or "-", meta.merchant_id or "-", row.stream_id, row.tag)
    headers = {
        EXPECTED: str(row.position - 1),
        EVENT_ID: meta.event_id,
        LOG_ID: log_id,
        ROW: f"{row.version} {row.recorded_at.isoformat()} {row.tag} {row.stream_id}",
    }
    if meta.trace:
        headers["traceparent"] = meta.trace
    # PostgreSQL stores no NUL, so it can stand between the tokens until they are safe.
    return _UNSAFE.sub("-", "\0".join(("loop", *tokens))).replace("\0", "."), headers


def subject_of(tag: str) -> str:
    """Return the subject of all events with this tag, whoever's they are."""
    return f"loop.*.*.*.{_UNSAFE.sub('-', tag)}"


def row_of(sequence: int, headers: Mapping[str, str], payload: bytes) -> Row:
    """Return the row that a message carries.

    Raises:
        KeyError, ValueError: the message was not made by `message`.
    """
    version, recorded_at, tag, stream_id = headers[ROW].split(" ", 3)
    return Row(
        stream_id=stream_id,
        version=int(version),
        tag=tag,
        state=payload,
        position=sequence,
        recorded_at=datetime.fromisoformat(recorded_at),
    )
