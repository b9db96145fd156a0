import msgspec
import pytest
from psycopg_pool import AsyncConnectionPool

from adapters import codec
from adapters.event_store import PostgresEventStore
from domain.events import EVENT_TYPES
from domain.ids import new_id
from tests.appends import append_of, outcomes, sql


async def raw(pool: AsyncConnectionPool, stream: str, topic: str, state: bytes) -> None:
    await sql(
        pool,
        "INSERT INTO events SELECT %s, 1, %s, %s,"
        " (SELECT count(*) + 1 FROM events), clock_timestamp()",
        stream,
        topic,
        state,
    )


@pytest.mark.parametrize(
    ("topic", "state"),
    [
        ("order.created.v99", b"{}"),
        ("order.created.v1", b"not json"),
        ("order.created.v1", b'{"metadata":{},"data":{"tag":"order.created.v1"}}'),
        ("order.declined.v1", None),
        ("order.created.v0", b"[]"),
        ("order.created.v0", b'{"metadata":{},"data":{"tag":"order.created.v0"}}'),
    ],
)
async def test_a_row_that_cannot_be_read_fails_only_the_readers_of_its_stream(
    store: PostgresEventStore,
    pool: AsyncConnectionPool,
    monkeypatch: pytest.MonkeyPatch,
    topic: str,
    state: bytes | None,
) -> None:
    monkeypatch.setitem(codec.UPCASTERS, "order.created.v0", lambda data: data["missing"])
    good, bad = new_id("ord"), new_id("ord")
    event = append_of(good).writes[0].events[0]
    rows = await store.append(append_of(good))
    await raw(pool, bad, topic, state or codec.encode(event.metadata, event.data))
    done = await outcomes(store.load([good]), store.load([bad]), store.load([good, bad]))
    assert done[0] == {good: rows}
    assert [one.code for one in done[1:]] == ["stream_unreadable"] * 2
    with pytest.raises((codec.UnknownTag, codec.CorruptEvent)):
        await store.read(1, 10)


async def test_an_old_shape_is_read_in_the_new_one(
    store: PostgresEventStore, pool: AsyncConnectionPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = new_id("ord")
    event = append_of(order, personal=b"\x00\xff").writes[0].events[0]
    stored = msgspec.json.decode(codec.encode(event.metadata, event.data))
    stored["data"]["tag"] = "order.created.v-1"
    stored["data"]["price"] = stored["data"].pop("amount")
    monkeypatch.setitem(
        codec.UPCASTERS, "order.created.v-1", lambda data: data | {"tag": "order.created.v0"}
    )
    monkeypatch.setitem(
        codec.UPCASTERS,
        "order.created.v0",
        lambda data: data | {"tag": "order.created.v1", "amount": data["price"]},
    )
    await raw(pool, order, "order.created.v-1", msgspec.json.encode(stored))
    (row,) = (await store.load([order]))[order]
    assert (row.data, row.metadata) == (event.data, event.metadata)
    assert "order.created.v0" not in EVENT_TYPES
