import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from psycopg import sql

from adapters.log import Connection, connect
from adapters.projector import Projector
from adapters.read_models import create, install, projections_status, retry_parked
from adapters.views import show
from domain import events as e
from domain.ids import new_id
from domain.metadata import Actor, Metadata
from domain.money import Money
from domain.order.evolve import evolve, fold
from domain.order.state import Order
from projections import PROJECTIONS, orders, transactions
from projections.base import PerStream
from projections.movements import transactions as movements_of
from projections.order_state import decode_state, encode_state
from projections.orders import Cursor, Filters, OrdersView
from replay.compare import compare
from replay.follow import follow
from tests.domain.catalogue import EXAMPLES
from tests.domain.histories import Life
from tests.history import START, History, created, endpoint_added, life, routed
from tests.waiting import running, until

PER_STREAM = [name for name, projection in PROJECTIONS.items() if isinstance(projection, PerStream)]


@pytest.fixture
async def db(database_url: str) -> AsyncIterator[Connection]:
    async with await connect(database_url, "test") as db:
        yield db


async def applied(database_url: str, history: History, *names: str) -> None:
    """Run the projectors of these projections, all by default, until they are level."""
    projections = [PROJECTIONS[name] for name in names or PROJECTIONS]

    async def level() -> bool:
        found = {s.name: s.position for s in await projections_status(database_url)}
        return all(found.get(p.name) == history.head for p in projections)

    async with running(*[Projector(database_url, None, p) for p in projections]):
        await until(level)


async def rows(db: Connection, table: str) -> list[tuple[Any, ...]]:
    statement = sql.SQL("SELECT * FROM {} AS t ORDER BY t").format(sql.Identifier(table))
    cursor = await db.execute(statement)
    return await cursor.fetchall()


async def test_a_row_of_orders_is_the_fold_of_its_stream(
    database_url: str, history: History, db: Connection
) -> None:
    for _ in range(20):
        history.append(life())
    await applied(database_url, history)

    streams: dict[str, list[e.Recorded]] = {}
    async for page in follow(db):
        for row in page:
            streams.setdefault(row.stream_id, []).append(row)
    expected = []
    movements: list[str] = []
    for events in streams.values():
        order = fold(events)
        assert order is not None
        expected.append((*orders.columns_of(order, events[-1].position), None))
        movements += [m.id for m in movements_of(order)]
    assert await rows(db, "orders") == sorted(expected)
    assert sorted(row[1] for row in await rows(db, "transactions")) == sorted(movements)
    assert len(movements) == 60


async def test_rebuilt_from_zero_equals_live_byte_for_byte_however_it_was_batched(
    database_url: str, history: History, db: Connection
) -> None:
    lives = [life() for _ in range(15)]
    facts = [fact for step in zip(*lives, strict=True) for fact in step]
    history.append([("mer_a", e.MerchantRegistered()), ("mer_a", endpoint_added())])
    history.append([("set_a", event) for event in EXAMPLES if isinstance(event, e.SettlementEvent)])
    await install(database_url)
    for start in range(0, len(facts), 20):
        history.append(facts[start : start + 20])
        await applied(database_url, history)
    for name, projection in PROJECTIONS.items():
        await db.execute(projection.schema(2))
        await db.execute(
            "INSERT INTO projection_positions (name, version, code, position, live)"
            " VALUES (%s, 2, %s, 0, false)",
            (name, projection.version),
        )
    async with running(
        *[Projector(database_url, None, p, version=2) for p in PROJECTIONS.values()]
    ):

        async def level() -> bool:
            return all(s.position == history.head for s in await projections_status(database_url))

        await until(level)
    for table in (t for p in PROJECTIONS.values() for t in p.tables):
        assert await rows(db, f"{table}_v1") == await rows(db, f"{table}_v2") != []


async def test_a_projector_follows_when_other_tables_are_made_live(
    database_url: str, history: History, db: Connection
) -> None:
    history.append(life("ord_a"))
    orders_view = PROJECTIONS["orders"]
    await install(database_url, [orders_view])

    async def at(n: int) -> int:
        found = {s.version: s.position for s in await projections_status(database_url)}
        return found[n]

    async def level(n: int) -> None:
        async def there() -> bool:
            return await at(n) == history.head

        await until(there)

    async with running(Projector(database_url, None, orders_view)):
        await level(1)
        async with db.transaction():
            await create(db, orders_view, 2, live=False)
        history.append(life("ord_b"))
        await level(1)
        assert await at(2) == 0
        async with db.transaction():
            await db.execute("UPDATE projection_positions SET live = false")
            await db.execute("UPDATE projection_positions SET live = true WHERE version = 2")
            await show(db, orders_view.tables, 2)
        await level(2)
    assert [row[0] for row in await rows(db, "orders")] == ["ord_a", "ord_b"]
    assert (await compare(database_url, orders_view, version=2)).differences == ()


async def test_compare_finds_a_changed_a_missing_and_an_invented_row(
    database_url: str, history: History, db: Connection
) -> None:
    history.append([*life("ord_a"), *life("ord_b"), *life("ord_c")])
    await applied(database_url, history)
    for projection in PROJECTIONS.values():
        assert (await compare(database_url, projection)).differences == ()

    await db.execute("UPDATE orders_v1 SET captured_minor = 7 WHERE order_id = 'ord_a'")
    await db.execute("DELETE FROM orders_v1 WHERE order_id = 'ord_b'")
    await db.execute("UPDATE orders_v1 SET order_id = 'ord_d' WHERE order_id = 'ord_c'")
    found = {d.key: d.columns for d in (await compare(database_url, OrdersView())).differences}
    assert found["ord_a",] == {"captured_minor": (7, 1000)}
    assert set(found) == {("ord_a",), ("ord_b",), ("ord_c",), ("ord_d",)}
    assert found["ord_b",]["status"] == (None, "partially_refunded")
    assert found["ord_d",]["status"] == ("partially_refunded", None)


async def test_a_list_is_newest_first_and_its_cursors_go_both_ways(
    database_url: str, history: History, db: Connection
) -> None:
    ids = [new_id("ord") for _ in range(7)]
    history.append([(order_id, created()) for order_id in ids])
    history.append([("ord_foreign", created())], merchant="mer_b")
    await applied(database_url, history, "orders")
    newest = list(reversed(ids))

    first = await orders.page(db, merchant_id="mer_a", mode="test", limit=3)
    assert [row.order.id for row in first.rows] == newest[:3]
    assert (first.has_more, first.as_of_position) == (True, 8)

    after = Cursor.parse(first.rows[-1].cursor.text())
    second = await orders.page(db, merchant_id="mer_a", mode="test", after=after, limit=3)
    assert [row.order.id for row in second.rows] == newest[3:6]

    before = second.rows[0].cursor
    back = await orders.page(db, merchant_id="mer_a", mode="test", before=before, limit=2)
    assert [row.order.id for row in back.rows] == newest[1:3]
    assert back.has_more

    last = await orders.page(db, merchant_id="mer_a", mode="test", offset=6, limit=3)
    assert ([row.order.id for row in last.rows], last.has_more) == (newest[6:], False)
    live = await orders.page(db, merchant_id="mer_a", mode="live")
    assert (live.rows, live.as_of_position) == ((), 8)


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        (Filters(), {"ord_a", "ord_b"}),
        (Filters(status="pending"), {"ord_b"}),
        (Filters(processor="stripe"), {"ord_a"}),
        (Filters(processor="razorpay"), set()),
        (Filters(currency="USD"), {"ord_a", "ord_b"}),
        (Filters(currency="EUR"), set()),
        (Filters(external_id="x-ord_a"), {"ord_a"}),
        (Filters(search="x-ord_a"), {"ord_a"}),
        (Filters(search="ord_b"), {"ord_b"}),
        (Filters(created_from=START + timedelta(milliseconds=50)), {"ord_b"}),
        (Filters(created_to=START + timedelta(milliseconds=50)), {"ord_a"}),
        (Filters(status="pending", processor="stripe"), set()),
    ],
)
async def test_a_list_is_narrowed_by_its_filters(
    database_url: str, history: History, db: Connection, filters: Filters, expected: set[str]
) -> None:
    history.append([*life("ord_a"), ("ord_b", created())])
    await applied(database_url, history, "orders")
    page = await orders.page(db, merchant_id="mer_a", mode="test", filters=filters)
    assert {row.order.id for row in page.rows} == expected
    counted = await orders.count(db, merchant_id="mer_a", mode="test", filters=filters)
    assert counted == len(expected)


def test_text_that_is_no_cursor_is_refused() -> None:
    for text in ("", "!", "bm90IGEgY3Vyc29y", "é", "OTk5OTk5OTk5OTk5OTk5OTk5OTk5OS54"):
        with pytest.raises(ValueError, match=r"cursor|literal|unpack|ASCII"):
            Cursor.parse(text)


@given(st.datetimes(timezones=st.just(UTC)), st.text())
def test_a_cursor_survives_its_text(at: datetime, order_id: str) -> None:
    assert Cursor.parse(Cursor(at, order_id).text()) == Cursor(at, order_id)


async def test_an_event_of_an_unknown_tag_parks_its_stream_until_it_is_known(
    database_url: str, history: History, db: Connection
) -> None:
    history.append(life("ord_a")[:3])
    newer = history.state(life("ord_a")[3][1]).replace(b"capture_requested.v1", b"teleported.v9")
    history.append_raw([("ord_a", "order.teleported.v9", newer)])
    history.append([*life("ord_b"), ("ord_a", life("ord_a")[4][1])])
    await applied(database_url, history, *PER_STREAM)

    status = {s.name: s for s in await projections_status(database_url)}
    assert [status[name].parked for name in PER_STREAM] == [1] * len(PER_STREAM)
    found = {row[0]: (row[17], row[-1]) for row in await rows(db, "orders")}
    assert found == {"ord_a": (3, 4), "ord_b": (7, None)}
    assert {row[0]: row[-1] for row in await rows(db, "transactions")} == {
        "ord_a": 4,
        "ord_b": None,
    }
    page = await orders.page(db, merchant_id="mer_a", mode="test")
    assert {row.order.id: row.stale_from for row in page.rows} == {"ord_a": 4, "ord_b": None}

    retried = await retry_parked(database_url, PROJECTIONS["orders"])
    assert [(r.stream_id, r.error is None) for r in retried] == [("ord_a", False)]

    history.db.execute("ALTER TABLE events DISABLE TRIGGER ALL")
    history.db.execute(
        "UPDATE events SET topic = 'order.capture_requested.v1', state = %s"
        " WHERE notification_id = 4",
        [history.state(life("ord_a")[3][1])],
    )
    history.append([("ord_a", life("ord_a")[5][1])])
    await applied(database_url, history, *PER_STREAM)
    assert all(s.parked == 0 for s in await projections_status(database_url))
    assert {row[0]: (row[17], row[-1]) for row in await rows(db, "orders")}["ord_a"] == (6, None)
    for name in PER_STREAM:
        assert (await compare(database_url, PROJECTIONS[name])).differences == ()


async def test_a_stream_is_parked_at_the_same_event_however_it_was_batched(
    database_url: str, history: History, db: Connection
) -> None:
    facts = life("ord_a")
    poison: tuple[str, e.OrderEvent] = ("ord_a", created(external_id="second creation"))
    nul: tuple[str, e.OrderEvent] = ("ord_n", created(external_id="a\x00b"))
    history.append([*facts[:2], nul, poison, *facts[2:], *life("ord_b")])
    await applied(database_url, history, *PER_STREAM)
    assert {row[0]: (row[17], row[-1]) for row in await rows(db, "orders")} == {
        "ord_a": (2, 4),
        "ord_b": (7, None),
    }
    cursor = await db.execute("SELECT stream_id, position FROM parked WHERE projection = 'orders'")
    assert sorted(await cursor.fetchall()) == [("ord_a", 4), ("ord_n", 3)]
    comparison = await compare(database_url, PROJECTIONS["orders"])
    assert (comparison.parked, comparison.differences) == (2, ())


async def test_installing_at_once_from_several_processes_makes_one_set_of_tables(
    database_url: str,
) -> None:
    made = await asyncio.gather(*[install(database_url) for _ in range(4)])
    assert sorted(m for each in made for m in each) == sorted((name, 1) for name in PROJECTIONS)
    assert await install(database_url) == []
    status = await projections_status(database_url)
    assert [(s.name, s.live) for s in status] == [(name, True) for name in sorted(PROJECTIONS)]


@given(st.lists(st.integers(1, 12), max_size=6), st.randoms(use_true_random=False))
def test_movements_do_not_depend_on_how_events_are_batched(
    sizes: list[int], random: random.Random
) -> None:
    streams = [list(_recorded([fact for _, fact in life(f"ord_{i}")], f"ord_{i}")) for i in "abc"]
    order = [i for i, stream in enumerate(streams) for _ in stream]
    random.shuffle(order)
    heads = [iter(stream) for stream in streams]
    log = [replace(next(heads[i]), position=n) for n, i in enumerate(order, 1)]
    whole_orders, whole = transactions.changes({}, log)

    held: dict[str, Order] = {}
    rows: transactions.Changed = {}
    rest = log
    for size in [*sizes, len(log)]:
        batch, rest = rest[:size], rest[size:]
        after, changed = transactions.changes(held, batch)
        held = {**held, **{key: decode_state(encode_state(o)) for key, o in after.items()}}
        rows.update(changed)
    assert rows == whole
    assert {k: encode_state(o) for k, o in held.items()} == {
        k: encode_state(o) for k, o in whole_orders.items()
    }


def test_a_movement_fails_with_its_attempt_and_a_void_follows_a_release() -> None:
    money = Money(1000, "USD")
    facts: list[e.OrderEvent] = [
        created(),
        routed("att_1", money),
        e.OrderDeclined(
            attempt_id="att_1",
            processor="stripe",
            code="do_not_honor",
            retry_class="failover",
            next="failover",
            closed=True,
        ),
        routed("att_2", money, "razorpay", 2),
        e.OrderAuthorized(attempt_id="att_2", processor="razorpay", payment_id="p", amount=money),
        e.VoidRequested(
            attempt_id="att_2", processor="razorpay", amount=money, idempotency_key="k"
        ),
        e.OrderVoided(attempt_id="att_2", processor="razorpay", amount=money),
    ]
    order = fold(_recorded(facts))
    assert order is not None
    shown = [(t.type, t.status, t.id, t.error_code) for t in movements_of(order)]
    assert shown == [
        ("void", "success", "void_2", None),
        ("authorization", "success", "att_2", None),
        ("authorization", "failed", "att_1", "do_not_honor"),
    ]


def _captured(part: str, amount: int, released: int, remaining: int) -> e.OrderCaptured:
    return e.OrderCaptured(
        attempt_id="att_1",
        capture_id=f"cap_{part}",
        processor="stripe",
        processor_id=f"ch_{part}",
        amount=Money(amount, "USD"),
        released=Money(released, "USD"),
        remaining=Money(remaining, "USD"),
    )


def test_what_a_final_capture_leaves_of_a_hold_is_a_void() -> None:
    money = Money(1000, "USD")
    facts: list[e.OrderEvent] = [
        created(),
        routed("att_1", money),
        e.OrderAuthorized(attempt_id="att_1", processor="stripe", payment_id="pi", amount=money),
        _captured("a", 300, 0, 700),
        _captured("b", 400, 300, 0),
    ]
    kept, final = [movements_of(o) for n in (4, 5) if (o := fold(_recorded(facts[:n])))]
    assert [(t.type, t.amount_minor) for t in kept] == [("capture", 300), ("authorization", 1000)]
    voids = [(t.id, t.amount_minor, t.status, t.processor_transaction_id) for t in final
             if t.type == "void"]  # fmt: skip
    assert voids == [("void_1", 300, "success", "pi")]


def test_what_was_authorized_was_captured_given_back_or_is_held() -> None:
    voided: Counter[bool] = Counter()
    for seed in range(700):
        life, order = Life(Random(seed)), None
        while life.count < 40:
            life.step()
        for row in _recorded(life.events):
            order = evolve(order, row.data, row.metadata, stream_id="ord_a")
            if order.discrepancies:
                break
            sums: Counter[str] = Counter()
            for one in movements_of(order):
                sums[one.type] += one.amount_minor if one.status == "success" else 0
            held = sum(a.held.minor for a in order.attempts if a.held is not None)
            assert sums["authorization"] - sums["capture"] - sums["void"] == held, row.data
            voided[sums["void"] > 0 and sums["capture"] > 0] += 1
    assert voided[True] > 20


def _recorded(facts: list[e.OrderEvent], stream_id: str = "ord_a") -> Iterator[e.Recorded]:
    for i, fact in enumerate(facts, 1):
        at = START + timedelta(seconds=i)
        metadata = Metadata(
            event_id=f"evt_{i}",
            merchant_id="mer_a",
            mode="test",
            occurred_at=at,
            actor=Actor("operator", "test"),
            correlation_id="c",
        )
        yield e.Recorded(
            stream_id=stream_id, version=i, position=i, recorded_at=at, metadata=metadata, data=fact
        )
