import secrets
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
from psycopg_pool import AsyncConnectionPool

from adapters import api_keys
from adapters.api_keys import PostgresApiKeys, key_hash
from adapters.event_store import PostgresEventStore
from adapters.vault import MasterKeys
from commands.append import KeyRevoked, KeyRow
from domain.ids import new_api_key, new_id
from tests.appends import MERCHANT, append_of, opened

MASTER = MasterKeys(f"a:{secrets.token_hex(32)}")


@pytest.fixture
async def keys(database_url: str, pool: AsyncConnectionPool) -> AsyncIterator[PostgresApiKeys]:
    async with opened(PostgresApiKeys(database_url, pool, MASTER)) as keys:
        yield keys


def row_of(secret: str, expires_at: datetime | None = None) -> KeyRow:
    return KeyRow(
        key_hash=key_hash(MASTER, secret),
        key_id=new_id("key"),
        merchant_id=MERCHANT,
        mode="test",
        scopes=("orders:read", "orders:write"),
        expires_at=expires_at,
    )


async def test_a_key_is_found_by_its_secret_and_by_nothing_else(
    keys: PostgresApiKeys, store: PostgresEventStore
) -> None:
    secret, old = new_api_key("test"), new_api_key("test")
    soon = datetime.now(UTC) + timedelta(hours=1)
    rows = (row_of(secret, soon), row_of(old, datetime.now(UTC)))
    await store.append(append_of(MERCHANT, key_rows=rows))
    assert await keys.find(secret) == rows[0]
    assert await keys.find(secret) == rows[0]
    for wrong in (old, secret[:-1], secret + "x", "", rows[0].key_id, new_api_key("test")):
        assert await keys.find(wrong) is None


async def test_a_revoked_key_that_is_still_cached_appends_nothing(
    keys: PostgresApiKeys, store: PostgresEventStore
) -> None:
    secret = new_api_key("test")
    row = row_of(secret)
    await store.append(append_of(MERCHANT, key_rows=(row,)))
    assert await keys.find(secret) == row
    await store.append(append_of(MERCHANT, expected=1, revoked_keys=(row.key_id,)))
    with pytest.raises(KeyRevoked):
        await store.append(append_of(new_id("ord"), caller_key=row.key_id))
    with pytest.raises(KeyRevoked):
        await store.load([MERCHANT], caller_key=row.key_id)
    keys._cache.clear()
    assert await keys.find(secret) is None


async def test_the_cache_is_bounded_and_unknown_keys_take_no_room(
    keys: PostgresApiKeys, store: PostgresEventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api_keys, "CACHE_MAX", 4)
    known = [new_api_key("test") for _ in range(20)]
    await store.append(append_of(MERCHANT, key_rows=tuple(row_of(secret) for secret in known)))
    for secret in known:
        assert await keys.find(secret) is not None
        assert await keys.find(new_api_key("test")) is None
        assert len(keys._cache) <= 4
        assert len(keys._used) <= 4


async def test_last_use_is_noted(
    database_url: str, store: PostgresEventStore, pool: AsyncConnectionPool
) -> None:
    secret = new_api_key("test")
    await store.append(append_of(MERCHANT, key_rows=(row_of(secret),)))
    async with opened(PostgresApiKeys(database_url, pool, MASTER)) as keys:
        await keys.find(secret)
    async with pool.connection() as db:
        cursor = await db.execute("SELECT last_used_at > now() - interval '1 min' FROM api_keys")
        assert await cursor.fetchall() == [(True,)]
