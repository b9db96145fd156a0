import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import psycopg
import pytest
from psycopg_pool import AsyncConnectionPool

from adapters import coalesce, codec, group_commit
from adapters.event_store import PostgresEventStore
from adapters.housekeeping import expire_idempotency
from commands.ports import (
    AlreadyAnswered,
    Append,
    Claim,
    ClaimTaken,
    DataKeyRow,
    DueChange,
    KeyRevoked,
    KeyRow,
    VersionTaken,
)
from domain.errors import Rejected, Unavailable
from domain.events import EVENT_TYPES
from domain.ids import new_id
from tests.appends import MERCHANT, append_of, opened, record, ticks_until, write_of


@pytest.fixture
async def store(database_url: str, pool: AsyncConnectionPool) -> AsyncIterator[PostgresEventStore]:
    async with opened(PostgresEventStore(database_url, pool)) as store:
        yield store


async def sql(pool: AsyncConnectionPool, statement: Any, *arguments: Any) -> list[tuple[Any, ...]]:
    async with pool.connection() as connection:
        cursor = await connection.execute(statement, arguments)
        return await cursor.fetchall() if cursor.description else []


async def outcomes(*appends: Any) -> list[Any]:
    return await asyncio.gather(*appends, return_exceptions=True)


async def test_what_is_loaded_is_what_was_appended(store: PostgresEventStore) -> None:
    order = new_id("ord")
    first = await store.append(append_of(order, events=3, personal=None))
    second = await store.append(append_of(order, expected=3, personal=b"\x00\xff sealed"))
    loaded = await store.load([order, "ord_unknown"])
    assert loaded == {order: first + second, "ord_unknown": ()}
    assert [row.position for row in loaded[order]] == [1, 2, 3, 4]
    assert [row.version for row in loaded[order]] == [1, 2, 3, 4]
    assert await store.read(1, 2) == first[1:]


async def test_of_two_appends_on_one_version_one_wins_and_their_neighbours_are_untouched(
    store: PostgresEventStore,
) -> None:
    order, others = new_id("ord"), [new_id("ord") for _ in range(20)]
    rivals = [append_of(order), append_of(order)]
    neighbours = [append_of(other) for other in others]
    done = await outcomes(*(store.append(a) for a in [rivals[0], *neighbours, rivals[1]]))
    assert isinstance(done[-1], VersionTaken)
    assert [len(rows) for rows in done[:-1]] == [1] * 21
    assert len((await store.load([order]))[order]) == 1


async def test_an_append_on_a_version_that_does_not_exist_is_refused(
    store: PostgresEventStore,
) -> None:
    order = new_id("ord")
    await store.append(append_of(order))
    with pytest.raises(VersionTaken):
        await store.append(append_of(order, expected=2))
    with pytest.raises(VersionTaken):
        await store.append(append_of(new_id("ord"), expected=1))


async def test_several_streams_are_written_together_or_not_at_all(
    store: PostgresEventStore,
) -> None:
    a, b = new_id("ord"), new_id("mer")
    rows = await store.append(Append(writes=(write_of(a), write_of(b, events=2))))
    assert [(row.stream_id, row.version) for row in rows] == [(a, 1), (b, 1), (b, 2)]
    with pytest.raises(VersionTaken):
        await store.append(Append(writes=(write_of(a, 1), write_of(b, 1))))
    assert len((await store.load([a]))[a]) == 1


async def test_a_claim_has_one_owner_and_tells_who(store: PostgresEventStore) -> None:
    mine, other = new_id("ord"), new_id("ord")

    def claims(owner: str) -> tuple[Claim, ...]:
        free = Claim(kind="email", scope="", value=owner, owner=owner)
        return (free, Claim(kind="external_id", scope="m:test", value="x-1", owner=owner))

    done = await outcomes(
        store.append(append_of(mine, claims=claims(mine))),
        store.append(append_of(other, claims=claims(other))),
    )
    assert isinstance(done[1], ClaimTaken)
    assert (done[1].owner, done[1].claim.value) == (mine, "x-1")
    assert (await store.load([other]))[other] == ()
    await store.append(append_of(mine, expected=1, claims=claims(mine)))


async def test_an_idempotency_key_is_answered_in_every_process(
    database_url: str, pool: AsyncConnectionPool, store: PostgresEventStore
) -> None:
    order, other = new_id("ord"), new_id("ord")
    first = record(order, "key-1")
    async with opened(PostgresEventStore(database_url, pool)) as second:
        assert await second.answered(first.scope, "key-1") is None
        await store.append(append_of(order, idempotency=first))
        assert await second.answered(first.scope, "key-1") == first
        with pytest.raises(AlreadyAnswered) as raised:
            await second.append(append_of(other, idempotency=record(other, "key-1", body=b"b")))
        assert raised.value.record == first
        racing = [append_of(new_id("ord"), idempotency=record(order, "key-2")) for _ in range(8)]
        done = await outcomes(
            *((store, second)[n % 2].append(append) for n, append in enumerate(racing))
        )
    assert [type(one) for one in done].count(tuple) == 1
    assert [type(one) for one in done].count(AlreadyAnswered) == 7


async def test_an_append_may_be_only_an_answer(store: PostgresEventStore) -> None:
    order = new_id("ord")
    await store.append(append_of(order))
    nothing = Append(writes=(write_of(order, 1, 0),), idempotency=record(order, "no-op"))
    assert await store.append(nothing) == ()
    with pytest.raises(AlreadyAnswered):
        await store.append(nothing)


def key_row(key_id: str, **more: Any) -> KeyRow:
    return KeyRow(
        key_hash=key_id.encode().ljust(32, b"."),
        key_id=key_id,
        merchant_id=MERCHANT,
        mode="test",
        scopes=("orders:write", "orders:read"),
        **more,
    )


@pytest.mark.parametrize("how", ["revoked", "expired", "unknown"])
async def test_a_key_that_does_not_work_any_more_appends_and_reads_nothing(
    store: PostgresEventStore, pool: AsyncConnectionPool, how: str
) -> None:
    key, order = new_id("key"), new_id("ord")
    soon = datetime.now(UTC) + timedelta(hours=1)
    await store.append(append_of(MERCHANT, key_rows=(key_row(key, expires_at=soon),)))
    await store.append(append_of(order, caller_key=key))
    assert len((await store.load([order], caller_key=key))[order]) == 1
    if how == "revoked":
        await store.append(append_of(MERCHANT, expected=1, revoked_keys=(key,)))
    else:
        change = {
            "expired": "UPDATE api_keys SET expires_at = now()",
            "unknown": "DELETE FROM api_keys",
        }
        await sql(pool, change[how])
    with pytest.raises(KeyRevoked):
        await store.append(append_of(order, expected=1, caller_key=key))
    with pytest.raises(KeyRevoked):
        await store.load([order], caller_key=key)
    assert len((await store.load([order]))[order]) == 1


async def test_reasons_are_told_in_their_order(store: PostgresEventStore) -> None:
    order = new_id("ord")
    claim = Claim(kind="external_id", scope="s", value="v", owner=order)
    await store.append(append_of(order, claims=(claim,), idempotency=record(order, "k")))
    foreign = (Claim(kind="external_id", scope="s", value="v", owner="somebody"),)
    everything = append_of(
        order, claims=foreign, idempotency=record(order, "k"), caller_key="key_unknown"
    )
    order_of_reasons: list[tuple[type[Exception], dict[str, Any]]] = [
        (KeyRevoked, {"caller_key": None}),
        (AlreadyAnswered, {"idempotency": None}),
        (ClaimTaken, {"claims": ()}),
        (VersionTaken, {}),
    ]
    for error, left_out in order_of_reasons:
        with pytest.raises(error):
            await store.append(everything)
        everything = msgspec.structs.replace(everything, **left_out)


DUE = "SELECT operation, due_at, tries, worker, lease_until IS NOT NULL FROM due"


async def test_due_rows_change_in_the_commit_that_asks_for_it(
    store: PostgresEventStore, pool: AsyncConnectionPool
) -> None:
    order, at = new_id("ord"), datetime(2031, 1, 1, tzinfo=UTC)
    versions = iter(range(100))

    async def asks(operation: str | None, when: datetime | None = None, **more: Any) -> None:
        due = DueChange(order_id=order, subject="att_1", operation=operation, at=when)
        await store.append(append_of(order, expected=next(versions), due=(due,), **more))

    await asks("authorize", at)
    assert await sql(pool, DUE) == [("authorize", at, 0, None, False)]
    await sql(pool, "UPDATE due SET tries = 3, worker = 7, lease_until = now() + '1 h'")
    await asks("authorize")
    ((_, due_at, *rest),) = await sql(pool, DUE)
    assert rest == [3, 7, True]
    assert abs(due_at - datetime.now(UTC)) < timedelta(minutes=1)
    await asks("lookup_authorize", worker=8)
    assert [row[0:1] + row[2:] for row in await sql(pool, DUE)] == [
        ("lookup_authorize", 0, 7, True)
    ]
    await asks("capture", worker=7)
    assert [row[0:1] + row[2:] for row in await sql(pool, DUE)] == [("capture", 0, None, False)]
    refused = append_of(
        order, expected=0, due=(DueChange(order_id=order, subject="att_1", operation=None),)
    )
    with pytest.raises(VersionTaken):
        await store.append(refused)
    assert len(await sql(pool, DUE)) == 1
    await asks(None)
    assert await sql(pool, DUE) == []


async def test_data_keys_come_with_the_event_that_needs_them(
    store: PostgresEventStore, pool: AsyncConnectionPool
) -> None:
    order = new_id("ord")
    row = DataKeyRow(key_id="k1", subject="s", merchant_id=MERCHANT, wrapped=b"\x00w")
    await store.append(append_of(order, data_keys=(row,)))
    taken = DataKeyRow(key_id="k2", subject="s", merchant_id=MERCHANT, wrapped=b"w")
    with pytest.raises(VersionTaken):
        await store.append(append_of(order, data_keys=(taken,)))
    assert await sql(pool, "SELECT key_id, subject, merchant_id, wrapped FROM data_keys") == [
        ("k1", "s", MERCHANT, b"\x00w")
    ]


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE events SET state = state",
        "UPDATE events SET topic = 'x' WHERE notification_id = 1",
        "DELETE FROM events",
        "TRUNCATE events",
        "INSERT INTO events TABLE events ON CONFLICT (notification_id) DO UPDATE SET state = ''",
    ],
)
async def test_rows_of_the_log_are_never_changed(
    store: PostgresEventStore, pool: AsyncConnectionPool, statement: str
) -> None:
    order = new_id("ord")
    before = await store.append(append_of(order))
    with pytest.raises(psycopg.errors.RestrictViolation):
        await sql(pool, statement)
    assert await store.read(0, 10) == before


async def test_the_logs_time_never_goes_back_but_what_is_due_goes_by_the_clock(
    store: PostgresEventStore, pool: AsyncConnectionPool
) -> None:
    ahead = datetime(2099, 1, 1, tzinfo=UTC)
    insert = "INSERT INTO events SELECT 'ord_x', 1, 'x', '', 1, %s"
    await sql(pool, insert, ahead)
    order, key = new_id("ord"), new_id("key")
    lives = datetime.now(UTC) + timedelta(hours=1)
    await store.append(append_of(MERCHANT, key_rows=(key_row(key, expires_at=lives),)))
    due = (DueChange(order_id=order, subject=order, operation="authorize"),)
    (row,) = await store.append(append_of(order, due=due, caller_key=key))
    assert row.recorded_at == ahead
    assert await sql(pool, "SELECT due_at < now() + '1 min' FROM due") == [(True,)]


@pytest.mark.parametrize("half", ["\x00", "\ud800"])
async def test_text_that_cannot_be_stored_fails_alone(store: PostgresEventStore, half: str) -> None:
    orders = [new_id("ord") for _ in range(30)]
    appends = [append_of(order) for order in orders]
    bad = (Claim(kind="email", scope="", value=f"a{half}b", owner=orders[7]),)
    appends[7] = append_of(orders[7], claims=bad)
    done = await outcomes(*(store.append(a) for a in appends))
    assert isinstance(done.pop(7), Rejected)
    assert all(isinstance(one, tuple) for one in done)
    reads = await outcomes(*(store.answered("scope", f"{half}{n}" * (n == 7)) for n in range(20)))
    assert isinstance(reads.pop(7), Rejected)
    assert reads == [None] * 19


async def test_an_append_that_breaks_a_constraint_fails_alone(store: PostgresEventStore) -> None:
    await store.append(append_of(MERCHANT, key_rows=(key_row("key_1"),)))
    orders = [new_id("ord") for _ in range(10)]
    appends = [append_of(order) for order in orders]
    appends[3] = append_of(orders[3], key_rows=(key_row("key_1"),))
    done = await outcomes(*(store.append(a) for a in appends))
    assert isinstance(done.pop(3), group_commit.UnwritableAppend)
    assert all(isinstance(one, tuple) for one in done)
    assert (await store.load([orders[3]]))[orders[3]] == ()


async def test_a_caller_that_goes_away_does_not_disturb_its_batch(
    store: PostgresEventStore,
) -> None:
    orders = [new_id("ord") for _ in range(20)]
    tasks = [asyncio.create_task(store.append(append_of(order))) for order in orders]
    await asyncio.sleep(0)
    for task in tasks[::2]:
        task.cancel()
    done = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(one, asyncio.CancelledError) for one in done[::2])
    assert all(isinstance(one, tuple) for one in done[1::2])
    assert all(len(rows) == 1 for rows in (await store.load(orders)).values())


async def test_a_full_queue_refuses_at_once(
    database_url: str, pool: AsyncConnectionPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(group_commit, "QUEUE_MAX", 5)
    monkeypatch.setattr(coalesce, "WAITING_MAX", 5)
    store = PostgresEventStore(database_url, pool)
    waiting = [asyncio.create_task(store.append(append_of(new_id("ord")))) for _ in range(5)]
    reading = [asyncio.create_task(store.answered("s", str(n))) for n in range(5)]
    await asyncio.sleep(0)
    with pytest.raises(Unavailable) as raised:
        await store.append(append_of(new_id("ord")))
    assert raised.value.code == "overloaded"
    with pytest.raises(Unavailable):
        await store.answered("s", "6")
    async with opened(store):
        assert len(await asyncio.gather(*waiting)) == 5
        assert await asyncio.gather(*reading) == [None] * 5


async def test_whoever_waits_at_the_close_is_answered_and_later_ones_are_refused(
    database_url: str, pool: AsyncConnectionPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(group_commit, "EVENTS_MAX", 7)
    async with opened(PostgresEventStore(database_url, pool)) as store:
        order = new_id("ord")
        tasks = [asyncio.create_task(store.append(append_of(new_id("ord")))) for _ in range(50)]
        reads = [asyncio.create_task(store.load([order])) for _ in range(5)]
        await ticks_until(lambda: store._writer._queue and store._streams._waiting)
        store.close()
    assert sorted(rows[0].position for rows in await asyncio.gather(*tasks)) == list(range(1, 51))
    assert await asyncio.gather(*reads) == [{order: ()}] * 5
    with pytest.raises(Unavailable):
        await store.append(append_of(order))
    with pytest.raises(Unavailable):
        await store.load([order])


async def test_when_the_writer_dies_nobody_is_left_waiting(
    database_url: str, pool: AsyncConnectionPool
) -> None:
    store = PostgresEventStore(database_url, pool)
    tasks = [asyncio.create_task(store.append(append_of(new_id("ord")))) for _ in range(3)]
    reads = [asyncio.create_task(store.load([new_id("ord")])) for _ in range(3)]
    await ticks_until(lambda: store._writer._queue and store._streams._waiting)
    running = asyncio.create_task(store.run())
    await ticks_until(lambda: not store._writer._queue)
    late = asyncio.create_task(store.append(append_of(new_id("ord"))))
    await asyncio.sleep(0)
    running.cancel()
    async with asyncio.timeout(10):
        done = await outcomes(*tasks, late, *reads)
        with pytest.raises(asyncio.CancelledError):
            await running
    assert all(isinstance(one, Unavailable) for one in done)


async def test_a_busy_stream_does_not_hold_up_the_others(store: PostgresEventStore) -> None:
    busy = new_id("ord")
    crowd = [asyncio.create_task(store.append(append_of(busy))) for _ in range(1200)]
    other = await store.append(append_of(new_id("ord")))
    done = await asyncio.gather(*crowd, return_exceptions=True)
    assert [type(one) for one in done].count(tuple) == 1
    assert {type(one) for one in done} == {tuple, VersionTaken}
    assert len(other) == 1


async def test_only_old_idempotency_records_expire(
    store: PostgresEventStore, pool: AsyncConnectionPool
) -> None:
    orders = [new_id("ord") for _ in range(25)]
    await outcomes(*(store.append(append_of(o, idempotency=record(o, o))) for o in orders))
    await sql(
        pool,
        "UPDATE idempotency SET created_at = now() - '7 days 1 s'::interval"
        " WHERE key IN (SELECT key FROM idempotency ORDER BY key LIMIT 20)",
    )
    assert await expire_idempotency(pool, batch=6) == 20
    assert await expire_idempotency(pool) == 0
    assert len(await sql(pool, "SELECT 1 FROM idempotency")) == 5
    expired = min(orders)
    await store.append(append_of(new_id("ord"), idempotency=record(expired, expired)))


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


async def test_tables_are_read_by_index_however_small_they_were_when_plans_were_made(
    database_url: str, pool: AsyncConnectionPool, store: PostgresEventStore
) -> None:
    scans = (
        "SELECT relname, seq_scan FROM pg_stat_user_tables WHERE relname IN"
        " ('events', 'idempotency', 'claims', 'due', 'api_keys', 'data_keys') ORDER BY relname"
    )
    key = new_id("key")
    await store.append(append_of(MERCHANT, key_rows=(key_row(key),)))
    await sql(pool, "ANALYZE")
    before = await sql(pool, scans)
    async with opened(PostgresEventStore(database_url, pool)) as busy:
        for n in range(8):
            order = new_id("ord")
            claim = Claim(kind="external_id", scope="s", value=str(n), owner=order)
            due = DueChange(order_id=order, subject=order, operation="authorize")
            answer = record(order, order)
            more: dict[str, Any] = {"claims": (claim,), "due": (due,), "idempotency": answer}
            await busy.append(append_of(order, caller_key=key, **more))
            await busy.load([order], caller_key=key)
            assert await busy.answered(answer.scope, order) == answer
    # The counts of a connection are there once it is closed.
    assert await sql(pool, scans) == before
