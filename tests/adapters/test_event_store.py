from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import psycopg
import pytest
from psycopg_pool import AsyncConnectionPool

from adapters.event_store import PostgresEventStore
from commands.append import (
    AlreadyAnswered,
    Append,
    Claim,
    ClaimTaken,
    DataKeyRow,
    DueChange,
    KeyRevoked,
    VersionTaken,
)
from domain.ids import new_id
from tests.appends import MERCHANT, append_of, key_row, opened, outcomes, record, sql, write_of


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
