import contextlib
from collections.abc import AsyncIterator

import nats
import pytest
from nats.js.client import JetStreamContext
from nats.js.errors import NotFoundError
from psycopg_pool import AsyncConnectionPool

from adapters.event_store import PostgresEventStore
from adapters.nats import STREAM, Bus
from tests.appends import opened


@pytest.fixture
async def store(database_url: str, pool: AsyncConnectionPool) -> AsyncIterator[PostgresEventStore]:
    async with opened(PostgresEventStore(database_url, pool)) as store:
        yield store


@pytest.fixture
async def js(nats_url: str) -> AsyncIterator[JetStreamContext]:
    """JetStream, without the stream of another test."""
    client = await nats.connect(nats_url)
    js = client.jetstream(timeout=2)
    with contextlib.suppress(NotFoundError):
        await js.delete_stream(STREAM)
    yield js
    await client.close()


@pytest.fixture
async def bus(nats_url: str) -> AsyncIterator[Bus]:
    async with Bus(nats_url, name="test") as bus:
        yield bus
