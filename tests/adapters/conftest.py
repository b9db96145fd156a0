from collections.abc import AsyncIterator

import pytest
from psycopg_pool import AsyncConnectionPool

from adapters.event_store import PostgresEventStore
from tests.appends import opened


@pytest.fixture
async def store(database_url: str, pool: AsyncConnectionPool) -> AsyncIterator[PostgresEventStore]:
    async with opened(PostgresEventStore(database_url, pool)) as store:
        yield store
