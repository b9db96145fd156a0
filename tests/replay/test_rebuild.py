"""A read model made anew beside the live one: equal or not swapped, whatever happens meanwhile."""

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest
from psycopg import sql

from adapters import generations
from adapters.feed import Feed
from adapters.generations import Refused
from adapters.log import Connection, connect
from adapters.nats import Bus
from adapters.projector import Projector
from adapters.read_models import Status, install, projections_status, retry_parked
from domain.events import Recorded
from projections import PROJECTIONS, orders
from projections.base import Projection, named
from projections.orders import OrdersView
from replay.compare import compare
from replay.rebuild import Rebuild, Report
from tests.history import History, created, life
from tests.waiting import running, until

ORDERS = PROJECTIONS["orders"]
TWO = ("orders", "transactions")


class Counts:
    """Counts events by tag; its second version calls them otherwise and has a table more."""

    name = "counts"
    streams = ("ord_",)

    def __init__(self, version: int = 1) -> None:
        self.version = version
        self.tables: tuple[str, ...] = ("counts", "counts_more")[:version]

    def schema(self, n: int) -> sql.Composed:
        first = "CREATE TABLE {counts} (tag text PRIMARY KEY, number bigint NOT NULL);"
        if self.version == 1:
            return named(first, n, counts="counts")
        return named(
            "CREATE TABLE {counts} (tag text PRIMARY KEY, doubled bigint NOT NULL,"
            " number bigint NOT NULL); CREATE TABLE {more} (n int PRIMARY KEY)",
            n,
            counts="counts",
            more="counts_more",
        )

    async def apply(self, db: Connection, n: int, batch: Sequence[Recorded]) -> None:
        for row in batch:
            assert getattr(row.data, "external_id", None) != "poison"
        tags = [type(row.data).__name__ for row in batch]
        if self.version == 1:
            text = (
                "INSERT INTO {counts} AS c SELECT tag, count(*) FROM unnest(%s::text[]) AS tag"
                " GROUP BY tag ON CONFLICT (tag) DO UPDATE SET number = c.number + excluded.number"
            )
            await db.execute(named(text, n, counts="counts"), (tags,))
            return
        text = (
            "INSERT INTO {counts} AS c SELECT tag, 2 * count(*), count(*) + 1000"
            " FROM unnest(%s::text[]) AS tag GROUP BY tag"
            " ON CONFLICT (tag) DO UPDATE SET doubled = c.doubled + excluded.doubled,"
            " number = c.number + excluded.number - 1000"
        )
        await db.execute(named(text, n, counts="counts"), (tags,))


@pytest.fixture
async def db(database_url: str) -> AsyncIterator[Connection]:
    async with await connect(database_url, "test") as db:
        yield db


def unseen(_phase: str, _done: int, _total: int) -> None:
    """Nobody looks at the progress."""


async def rebuilt(
    url: str,
    projection: Projection,
    *,
    begin: bool = True,
    swap: bool = True,
    accept: bool = False,
) -> Report:
    return await Rebuild(url, projection, unseen).run(begin=begin, swap=swap, accept=accept)


async def found(url: str, name: str) -> dict[int, Status]:
    return {s.version: s for s in await projections_status(url) if s.name == name}


async def level(url: str, history: History, projection: Projection) -> None:
    """Wait until the live tables have all events."""

    async def there() -> bool:
        status = (await found(url, projection.name)).values()
        return any(s.live and s.position == history.head for s in status)

    await until(there)


async def filled(url: str, history: History, *projections: Projection) -> None:
    """Run projectors until their tables have all events."""
    async with running(*[Projector(url, None, projection) for projection in projections]):
        for projection in projections:
            await level(url, history, projection)


@pytest.mark.parametrize("name", sorted(PROJECTIONS))
async def test_a_rebuilt_read_model_is_equal_and_takes_the_live_ones_place(
    database_url: str, history: History, name: str
) -> None:
    projection = PROJECTIONS[name]
    history.append([fact for _ in range(3) for fact in life()])
    await filled(database_url, history, projection)
    told: list[tuple[str, int, int]] = []

    def progress(phase: str, done: int, total: int) -> None:
        told.append((phase, done, total))

    report = await Rebuild(database_url, projection, progress).run(
        begin=True, swap=True, accept=False
    )

    assert (report.outcome, report.live, report.built) == ("swapped", 1, 2)
    assert (report.events, report.position) == (21, 21)
    assert report.comparison.position == 21
    assert all(table.equal for table in report.comparison.tables)
    assert [table.table for table in report.comparison.tables] == list(projection.tables)
    assert told[0] == ("building", 0, 21)
    assert told[-2:] == [("comparing", 21, 21), ("swapping", 21, 21)]
    roles = {n: s.role for n, s in (await found(database_url, name)).items()}
    assert roles == {1: "kept", 2: "live"}
    assert (await compare(database_url, projection)).differences == ()


async def test_readers_and_workers_go_on_over_the_swap(
    database_url: str, history: History, db: Connection
) -> None:
    history.append(life("ord_a"))
    read = 0

    async def reads(stop: asyncio.Event) -> None:
        nonlocal read
        async with await connect(database_url, "reader") as reader:
            while not stop.is_set():
                page = await orders.page(reader, merchant_id="mer_a", mode="test")
                assert page.as_of_position >= 7
                assert {row.order.id for row in page.rows} >= {"ord_a"}
                read += 1
                await asyncio.sleep(0)

    async with running(Projector(database_url, None, ORDERS)):
        await level(database_url, history, ORDERS)
        stop = asyncio.Event()
        reading = asyncio.ensure_future(reads(stop))
        for n in range(4):
            history.append(life(f"ord_{n}"))
            before = read
            assert (await rebuilt(database_url, ORDERS)).outcome == "swapped"
            await until(lambda before=before: read > before or reading.done())
        history.append(life("ord_z"))
        await level(database_url, history, ORDERS)
        stop.set()
        await reading
    ids = await (await db.execute("SELECT order_id FROM orders ORDER BY 1")).fetchall()
    assert [order_id for (order_id,) in ids] == [
        "ord_0",
        "ord_1",
        "ord_2",
        "ord_3",
        "ord_a",
        "ord_z",
    ]
    assert (await compare(database_url, ORDERS)).differences == ()


async def test_a_wrong_row_is_found_named_by_column_and_never_swapped(
    database_url: str, history: History, db: Connection
) -> None:
    history.append([*life("ord_a"), *life("ord_b"), *life("ord_c")])
    await filled(database_url, history, ORDERS)
    assert (await rebuilt(database_url, ORDERS, swap=False)).outcome == "equal"
    await db.execute("UPDATE orders_v2 SET captured_minor = 7 WHERE order_id = 'ord_a'")
    await db.execute("DELETE FROM orders_v2 WHERE order_id = 'ord_b'")
    await db.execute("UPDATE orders_v2 SET order_id = 'ord_d' WHERE order_id = 'ord_c'")

    for begin, accept in ((True, False), (False, True)):
        report = await rebuilt(database_url, ORDERS, begin=begin, accept=accept)
        (table,) = report.comparison.tables
        assert report.outcome == "differs"
        assert (table.changed, table.missing, table.added) == (1, 2, 1)
        assert table.columns == {"captured_minor": 1}
        examples = {one.key: one.columns for one in table.examples}
        assert set(examples) == {("ord_a",), ("ord_b",), ("ord_c",), ("ord_d",)}
        assert examples["ord_a",] == {"captured_minor": (1000, 7)}
    assert (await found(database_url, "orders"))[1].live

    repaired = Rebuild(database_url, ORDERS, unseen).run(begin=False, swap=True, repair=True)
    assert (await repaired).outcome == "differs"
    assert await generations.drop(database_url, ORDERS) == ["orders_v2"]
    assert (await rebuilt(database_url, ORDERS)).outcome == "swapped"


async def test_live_rows_that_were_damaged_give_way_to_what_the_log_says(
    database_url: str, history: History, db: Connection
) -> None:
    history.append([*life("ord_a"), *life("ord_b")])
    await filled(database_url, history, ORDERS)
    await db.execute("UPDATE orders_v1 SET captured_minor = 7 WHERE order_id = 'ord_a'")
    assert (await rebuilt(database_url, ORDERS, accept=True)).outcome == "differs"

    repaired = Rebuild(database_url, ORDERS, unseen).run(begin=False, swap=True, repair=True)

    assert (await repaired).outcome == "swapped"
    assert (await compare(database_url, ORDERS)).differences == ()


async def test_a_rebuild_goes_on_where_it_was_left(
    database_url: str, history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    history.append([fact for _ in range(30) for fact in life()])
    await filled(database_url, history, ORDERS)
    monkeypatch.setattr("replay.rebuild.PAGE", 10)
    reached = asyncio.Event()

    def progress(_phase: str, done: int, _total: int) -> None:
        if done >= 50:
            reached.set()

    cancelled = asyncio.ensure_future(
        Rebuild(database_url, ORDERS, progress).run(begin=True, swap=True, accept=False)
    )
    await reached.wait()
    cancelled.cancel()
    with pytest.raises(asyncio.CancelledError):
        await cancelled
    built = (await found(database_url, "orders"))[2]
    assert (built.role, built.position % 10) == ("building", 0)
    assert 50 <= built.position < history.head

    report = await rebuilt(database_url, ORDERS)

    assert (report.outcome, report.built) == ("swapped", 2)
    assert report.events == history.head - built.position
    assert (await compare(database_url, ORDERS)).differences == ()


async def test_the_second_rebuild_of_one_read_model_says_that_there_is_a_first(
    database_url: str, history: History
) -> None:
    history.append(life())
    await filled(database_url, history, ORDERS, PROJECTIONS["transactions"])
    async with generations.alone(database_url, "orders"):
        with pytest.raises(Refused, match="orders is being rebuilt"):
            await rebuilt(database_url, ORDERS)
        with pytest.raises(Refused, match="orders is being rebuilt"):
            await generations.drop(database_url, ORDERS)
        assert (await rebuilt(database_url, PROJECTIONS["transactions"])).outcome == "swapped"
    assert (await rebuilt(database_url, ORDERS)).outcome == "swapped"


async def test_tables_of_a_new_version_are_swapped_when_somebody_accepts_what_differs(
    database_url: str, history: History, db: Connection
) -> None:
    history.append(life())
    await filled(database_url, history, Counts())
    newer = Counts(2)

    refused = await rebuilt(database_url, newer)

    assert (refused.outcome, refused.code) == ("differs", (1, 2))
    counts, more = refused.comparison.tables
    assert (counts.changed, counts.missing, counts.added) == (7, 0, 0)
    assert counts.columns == {"number": 7}
    assert (counts.only_live, counts.only_built) == ((), ("doubled",))
    assert (more.only_live, more.only_built) == ((), ("counts_more",))

    history.append(life())
    await filled(database_url, history, Counts())
    accepted = await rebuilt(database_url, newer, begin=False, accept=True)

    assert (accepted.outcome, accepted.events) == ("swapped", 7)
    shown = await (await db.execute("SELECT DISTINCT doubled, number FROM counts")).fetchall()
    assert shown == [(4, 1002)]
    assert await (await db.execute("SELECT * FROM counts_more")).fetchall() == []
    back = await rebuilt(database_url, Counts(), accept=True)
    assert (back.outcome, back.built) == ("swapped", 3)
    shown = await (await db.execute("SELECT DISTINCT number FROM counts")).fetchall()
    assert shown == [(2,)]
    assert await (await db.execute("SELECT to_regclass('counts_more')")).fetchone() == (None,)
    dropped = await generations.drop(database_url, Counts())
    assert dropped == ["counts_v1", "counts_v2", "counts_more_v2"]


async def test_new_tables_that_workers_have_carried_beyond_the_live_ones_are_compared_all_the_same(
    database_url: str, history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("replay.rebuild.TRIES_MAX", 2)
    history.append(life())
    await filled(database_url, history, Counts())
    newer = Counts(2)
    history.append(life())
    async with running(Projector(database_url, None, newer)):

        async def there() -> bool:
            status = (await found(database_url, "counts")).get(2)
            return status is not None and status.position == history.head

        await until(there)
        report = await rebuilt(database_url, newer, accept=True)
    assert report.outcome == "swapped"
    assert (report.comparison.folded, report.comparison.position) == (True, 7)
    assert report.position == history.head == 14
    assert report.comparison.tables[0].columns == {"number": 7}


async def test_a_paused_read_model_stands_still_until_it_is_resumed(
    database_url: str, nats_url: str, history: History
) -> None:
    history.append(life())
    async with Bus(nats_url, name="test") as bus:
        feed = Feed(bus)
        async with running(feed, *[Projector(database_url, feed, PROJECTIONS[n]) for n in TWO]):
            for name in TWO:
                await level(database_url, history, PROJECTIONS[name])
            assert await generations.pause(database_url, TWO[:1]) == ["orders"]
            assert await generations.pause(database_url, TWO[:1]) == []
            history.append(life())
            await level(database_url, history, PROJECTIONS["transactions"])
            status = (await found(database_url, "orders"))[1]
            assert (status.position, status.lag_events) == (7, 7)
            assert status.paused_at is not None

            assert (await rebuilt(database_url, ORDERS)).position == 7
            assert (await found(database_url, "orders"))[2].paused_at is not None
            assert await generations.resume(database_url, TWO) == ["orders"]
            await level(database_url, history, ORDERS)
    assert (await compare(database_url, ORDERS)).differences == ()


async def test_a_stream_that_is_parked_on_one_side_is_a_difference_until_it_is_retried(
    database_url: str, history: History, db: Connection
) -> None:
    history.append([*life("ord_a"), *life("ord_b")])
    await filled(database_url, history, ORDERS)
    await db.execute("INSERT INTO parked VALUES ('orders', 1, 'ord_a', 3, 'for a while')")
    await OrdersView().mark_stale(db, 1, "ord_a", 3)

    report = await rebuilt(database_url, ORDERS)

    assert report.outcome == "differs"
    assert report.comparison.tables[0].columns == {"stale_from": 1}
    assert [r.error for r in await retry_parked(database_url, ORDERS)] == [None]
    assert (await rebuilt(database_url, ORDERS)).outcome == "swapped"


async def test_a_sum_that_stands_still_is_pushed_once_its_event_can_be_applied(
    database_url: str, history: History, db: Connection
) -> None:
    history.append([*life(), ("ord_p", created(external_id="poison")), *life()])
    counts = Counts()
    async with running(Projector(database_url, None, counts)):

        async def stopped() -> bool:
            return bool([s for s in await projections_status(database_url) if s.error])

        await until(stopped)
    stands = await generations.push(database_url, counts)
    assert stands is not None
    assert stands[0] == 7
    assert stands[1] is not None
    report = await rebuilt(database_url, counts)
    assert (report.outcome, report.position) == ("swapped", 7)
    await db.execute("ALTER TABLE events DISABLE TRIGGER ALL")
    await db.execute(
        "UPDATE events SET state = %s WHERE notification_id = 8", [history.state(created())]
    )
    await db.execute("UPDATE projection_positions SET error = 'as before' WHERE live")
    assert await generations.push(database_url, counts) == (15, None)
    assert await generations.push(database_url, counts) is None


async def test_what_is_live_cannot_be_dropped_and_what_is_not_there_neither(
    database_url: str, history: History
) -> None:
    await install(database_url, [ORDERS])
    history.append(life())
    with pytest.raises(Refused, match="orders_v1 is live"):
        await generations.drop(database_url, ORDERS, version=1)
    with pytest.raises(Refused, match="no version 2"):
        await generations.drop(database_url, ORDERS, version=2)
    with pytest.raises(Refused, match="no tables of orders are being built"):
        await rebuilt(database_url, ORDERS, begin=False)
    assert await generations.drop(database_url, ORDERS) == []


async def test_a_rebuild_of_a_log_that_lost_events_says_so(
    database_url: str, history: History, db: Connection
) -> None:
    history.append([*life(), *life()])
    await filled(database_url, history, ORDERS)
    await db.execute("ALTER TABLE events DISABLE TRIGGER ALL")
    await db.execute("DELETE FROM events WHERE notification_id > 7")
    with pytest.raises(Refused, match="events behind position 7 are missing"):
        await rebuilt(database_url, ORDERS)
