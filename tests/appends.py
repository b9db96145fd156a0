"""Appends as the commands make them, and the parts of the store started and ended around a test."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, Protocol, TypeVar

from psycopg_pool import AsyncConnectionPool

from commands.append import Append, IdempotencyRecord, KeyRow, NewEvent, Write
from domain import events as e
from domain.ids import new_id
from domain.metadata import Actor, Metadata, Sealed
from domain.money import Money

MERCHANT = new_id("mer")


class Part(Protocol):
    def run(self) -> Awaitable[None]: ...
    def close(self) -> None: ...


P = TypeVar("P", bound=Part)


@asynccontextmanager
async def opened(part: P) -> AsyncIterator[P]:
    """Run a part for the length of the block; it is closed and drained at its end."""
    running = asyncio.ensure_future(part.run())
    try:
        yield part
    finally:
        part.close()
        async with asyncio.timeout(60):
            await running


def metadata() -> Metadata:
    return Metadata(
        event_id=new_id("evt"),
        merchant_id=MERCHANT,
        mode="test",
        occurred_at=datetime.now(UTC),
        actor=Actor("operator", "test"),
        correlation_id="corr",
    )


def new_event(minor: int = 1000, personal: bytes | None = None) -> NewEvent:
    sealed = Sealed("key_1", personal) if personal else None
    data = e.OrderCreated(amount=Money(minor, "USD"), personal=sealed)
    return NewEvent(metadata=metadata(), data=data)


def write_of(stream_id: str, expected: int = 0, events: int = 1) -> Write:
    return Write(
        stream_id=stream_id,
        expected_version=expected,
        events=tuple(new_event() for _ in range(events)),
    )


def append_of(
    stream_id: str,
    *,
    expected: int = 0,
    events: int = 1,
    personal: bytes | None = None,
    **more: Any,
) -> Append:
    write = write_of(stream_id, expected, events)
    if personal:
        write = Write(
            stream_id=stream_id, expected_version=expected, events=(new_event(personal=personal),)
        )
    return Append(writes=(write,), **more)


def record(stream_id: str, key: str, *, version: int = 1, body: bytes = b"body") -> Any:
    return IdempotencyRecord(
        scope=f"{MERCHANT}:test:POST:/v1/orders",
        key=key,
        fingerprint=body.ljust(32, b"\0"),
        status=201,
        stream_id=stream_id,
        version=version,
    )


async def ticks_until(condition: Callable[[], object], ticks_max: int = 10_000) -> None:
    """Let the event loop turn until the condition holds, and not one turn longer."""
    for _ in range(ticks_max):
        if condition():
            return
        await asyncio.sleep(0)
    raise AssertionError("the condition did not come to hold")


async def sql(pool: AsyncConnectionPool, statement: Any, *arguments: Any) -> list[tuple[Any, ...]]:
    async with pool.connection() as connection:
        cursor = await connection.execute(statement, arguments)
        return await cursor.fetchall() if cursor.description else []


async def outcomes(*appends: Awaitable[Any]) -> list[Any]:
    """Return what each gives or raises."""
    return await asyncio.gather(*appends, return_exceptions=True)


def key_row(key_id: str, **more: Any) -> KeyRow:
    return KeyRow(
        key_hash=key_id.encode().ljust(32, b"."),
        key_id=key_id,
        merchant_id=MERCHANT,
        mode="test",
        scopes=("orders:write", "orders:read"),
        **more,
    )
