import asyncio
import secrets
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import psycopg
import pytest
from psycopg import sql
from psycopg_pool import AsyncConnectionPool

from adapters.api_keys import key_hash
from adapters.event_store import PostgresEventStore
from adapters.migrations import OPTIONS
from adapters.vault import MasterKeyError, MasterKeys, PostgresVault
from commands.append import Append, NewEvent, Write
from domain.events import MerchantRegistered
from domain.ids import new_id
from domain.metadata import Sealed
from tests.appends import MERCHANT, append_of, metadata, opened

OLD, NEW = "5ca1ab1e" * 8, secrets.token_hex(32)
OTHER = new_id("mer")


def vault_with(url: str, pool: AsyncConnectionPool, keys: str) -> PostgresVault:
    return PostgresVault(url, pool, MasterKeys(keys))


@pytest.fixture
async def vault(database_url: str, pool: AsyncConnectionPool) -> AsyncIterator[PostgresVault]:
    async with opened(vault_with(database_url, pool, f"a:{OLD}")) as vault:
        yield vault


async def sealed_for(
    vault: PostgresVault, store: PostgresEventStore, value: Any, **where: Any
) -> Sealed:
    """Seal a value and commit its key as a command does."""
    order = new_id("ord")
    place: dict[str, Any] = {"merchant_id": MERCHANT, "mode": "test", "owner": order} | where
    box, row = await vault.seal(value, **place)
    data = MerchantRegistered(profile=box)
    event = NewEvent(metadata=metadata(), data=data)
    write = Write(stream_id=order, expected_version=0, events=(event,))
    await store.append(Append(writes=(write,), data_keys=(row,) if row else ()))
    return box


async def test_what_was_sealed_opens_in_order_and_not_without_its_key(
    vault: PostgresVault, store: PostgresEventStore, pool: AsyncConnectionPool
) -> None:
    boxes = [await sealed_for(vault, store, {"n": n, "name": "Zoë"}) for n in range(3)]
    opened_boxes = [msgspec.json.decode(one or b"null") for one in await vault.open(boxes)]
    assert opened_boxes == [{"n": n, "name": "Zoë"} for n in range(3)]
    assert len({box.key for box in boxes}) == 3
    async with pool.connection() as db:
        await db.execute("DELETE FROM data_keys WHERE key_id = %s", [boxes[1].key])
    assert [one is None for one in await vault.open(boxes)] == [False, True, False]


async def test_a_box_does_not_open_in_another_place_or_when_it_was_altered(
    vault: PostgresVault, store: PostgresEventStore
) -> None:
    a, b = [await sealed_for(vault, store, "value") for _ in range(2)]
    last = bytes([a.box[-1] ^ 1])
    for moved in (Sealed(b.key, a.box), Sealed(a.key, a.box[:-1] + last), Sealed(a.key, b"short")):
        with pytest.raises(MasterKeyError):
            await vault.open([moved])
    await vault.put_secret("whe_1", "secret", b"s3cret", merchant_id=MERCHANT)
    assert await vault.get_secret("whe_1", "secret", merchant_id=MERCHANT) == b"s3cret"
    assert await vault.get_secret("whe_1", "secret", merchant_id=OTHER) is None


async def test_a_secret_is_replaced_and_one_merchant_does_not_touch_anothers(
    vault: PostgresVault, pool: AsyncConnectionPool
) -> None:
    await vault.put_secret("same", "field", b"mine", merchant_id=MERCHANT)
    await vault.put_secret("same", "field", b"theirs", merchant_id=OTHER)
    await vault.put_secret("same", "field", b"mine, newer", merchant_id=MERCHANT)
    assert await vault.get_secret("same", "field", merchant_id=MERCHANT) == b"mine, newer"
    assert await vault.get_secret("same", "field", merchant_id=OTHER) == b"theirs"
    async with pool.connection() as db:
        await db.execute("UPDATE secrets SET box = (SELECT max(box) FROM secrets)")
    wrong = 0
    for merchant in (MERCHANT, OTHER):
        try:
            await vault.get_secret("same", "field", merchant_id=merchant)
        except MasterKeyError:
            wrong += 1
    assert wrong == 1


async def test_a_customers_second_order_uses_the_first_ones_key(
    vault: PostgresVault, store: PostgresEventStore
) -> None:
    first = await sealed_for(vault, store, "1", customer_id="cus_1")
    box, row = await vault.seal(
        "2", merchant_id=MERCHANT, mode="test", owner="o", customer_id="cus_1"
    )
    assert (box.key, row) == (first.key, None)
    beside, row = await vault.seal("3", merchant_id=MERCHANT, mode="test", owner="o", beside=first)
    assert (beside.key, row) == (first.key, None)
    elsewhere: list[dict[str, Any]] = [
        {"merchant_id": OTHER, "mode": "test", "customer_id": "cus_1"},
        {"merchant_id": MERCHANT, "mode": "live", "customer_id": "cus_1"},
        {"merchant_id": MERCHANT, "mode": "test", "customer_id": "cus_2"},
        {"merchant_id": MERCHANT, "mode": "test"},
    ]
    for place in elsewhere:
        box, row = await vault.seal("4", owner=new_id("ord"), **place)
        assert row is not None
        assert box.key != first.key


async def test_master_keys_rotate_and_a_wrong_or_missing_one_is_an_error(
    vault: PostgresVault, store: PostgresEventStore, database_url: str, pool: AsyncConnectionPool
) -> None:
    box = await sealed_for(vault, store, "old", customer_id="c")
    await vault.put_secret("o", "f", b"old", merchant_id=MERCHANT)
    async with opened(vault_with(database_url, pool, f"b:{NEW}, a:{OLD}")) as rotated:
        assert await rotated.open([box]) == [b'"old"']
        again = await sealed_for(rotated, store, "new", customer_id="c")
        assert again.key == box.key
        fresh = await sealed_for(rotated, store, "new")
        assert await rotated.open([fresh]) == [b'"new"']
    for keys in (f"a:{NEW}", f"b:{NEW}"):
        async with opened(vault_with(database_url, pool, keys)) as wrong:
            with pytest.raises(MasterKeyError):
                await wrong.open([box])
            with pytest.raises(MasterKeyError):
                await wrong.get_secret("o", "f", merchant_id=MERCHANT)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a",
        f"a:{OLD[:-2]}",
        f":{OLD}",
        f"é:{OLD}",
        f"a:{OLD},a:{NEW}",
        f"a:{OLD},",
        "a:" + "zz" * 32,
    ],
)
def test_malformed_master_keys_are_refused_without_showing_them(text: str) -> None:
    with pytest.raises(MasterKeyError) as raised:
        MasterKeys(text)
    assert OLD not in str(raised.value)


async def test_credentials_are_kept_by_version_and_shown_nowhere(vault: PostgresVault) -> None:
    owner = f"{MERCHANT}:test:stripe:1"
    await vault.put_secret(owner, "credentials", b'{"key":"sk_plain"}', merchant_id=MERCHANT)
    found = await vault.credentials(MERCHANT, "test", "stripe", 1)
    assert found.values == {"key": "sk_plain"}
    assert (await vault.credentials(MERCHANT, "test", "stripe", 2)).values == {}
    keys = MasterKeys(f"a:{OLD}")
    for thing in (found, keys, vault, vars(vault)):
        assert "sk_plain" not in repr(thing)
        assert OLD not in repr(thing)
        assert str(bytes.fromhex(OLD)) not in repr(thing)


async def test_no_table_holds_personal_data_or_secrets_readably(
    vault: PostgresVault, store: PostgresEventStore, database_url: str
) -> None:
    person, secret, customer = "Ada Lovelace", "sk_live_planted", "customer-planted"
    master_keys = MasterKeys(f"a:{OLD}")
    await sealed_for(vault, store, {"name": person}, customer_id=customer)
    await vault.put_secret("o", "f", secret.encode(), merchant_id=MERCHANT)
    await store.append(append_of(new_id("ord"), personal=b"control: not sealed"))
    hashed = key_hash(master_keys, secret)
    dumped = await asyncio.to_thread(dump, database_url, hashed)
    assert b"control: not sealed" in dumped
    for planted in (person, secret, customer):
        for form in (planted.encode(), planted.encode().hex().encode()):
            assert form not in dumped
    assert OLD.encode() not in dumped
    assert hashed in dumped


def dump(url: str, hashed: bytes) -> bytes:
    """Return every table's rows: what a stolen backup shows, bytea as bytes and base64 opened."""
    found = b""
    with psycopg.connect(url, autocommit=True, options=OPTIONS) as db:
        db.execute(
            "INSERT INTO api_keys (key_hash, key_id, merchant_id, mode, scopes)"
            " VALUES (%s, 'key_1', 'm', 'test', '{}')",
            [hashed],
        )
        tables = db.execute(
            "SELECT schemaname, tablename FROM pg_tables"
            " WHERE schemaname NOT IN ('pg_catalog', 'information_schema')"
        ).fetchall()
        for schema, table in tables:
            copy = sql.SQL("COPY {}.{} TO STDOUT (FORMAT binary)").format(
                sql.Identifier(schema), sql.Identifier(table)
            )
            with db.cursor().copy(copy) as rows:
                found += b"".join(bytes(block) for block in rows)
        for (state,) in db.execute("SELECT state FROM events").fetchall():
            found += b"".join(_boxes(msgspec.json.decode(state)))
    return found


def _boxes(value: Any) -> list[bytes]:
    """Give the bytes of all sealed boxes in decoded JSON."""
    if isinstance(value, dict):
        own = [msgspec.convert(value["box"], bytes)] if "box" in value else []
        return own + [box for inner in value.values() for box in _boxes(inner)]
    return [box for inner in value for box in _boxes(inner)] if isinstance(value, list) else []
