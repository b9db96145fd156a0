import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from nats.js.api import StreamConfig
from nats.js.client import JetStreamContext
from nats.js.errors import NotFoundError
from psycopg import sql

from adapters.applier import applied_total
from adapters.embedded.nats import EmbeddedNats
from adapters.feed import Feed
from adapters.log import Connection, Row, connect, read_page
from adapters.nats import STREAM, Bus, message, stream_config
from adapters.projector import Projector, following
from adapters.read_models import install, projections_status
from adapters.relay import Relay
from domain.events import Recorded
from projections import PROJECTIONS
from projections.base import named
from replay.compare import compare
from tests.history import START, History, created, life
from tests.waiting import Runs, running, until

ORDERS = PROJECTIONS["orders"]


class Tally:
    """Sums up: what is applied twice, left out or out of order shows in its one row."""

    name = "tally"
    version = 1
    tables = ("tally",)
    streams = ("",)

    def schema(self, n: int) -> sql.Composed:
        text = "CREATE TABLE {tally} (id int PRIMARY KEY, events bigint, positions numeric)"
        return named(text, n, tally="tally")

    async def apply(self, db: Connection, n: int, batch: Sequence[Recorded]) -> None:
        for row in batch:
            assert getattr(row.data, "external_id", None) != "poison"
        text = (
            "INSERT INTO {tally} AS t VALUES (1, %s, %s) ON CONFLICT (id) DO UPDATE"
            " SET events = t.events + excluded.events, positions = t.positions + excluded.positions"
        )
        values = (len(batch), sum(row.position for row in batch))
        await db.execute(named(text, n, tally="tally"), values)


async def level(database_url: str, history: History, *names: str) -> None:
    async def there() -> bool:
        found = {s.name: s.position for s in await projections_status(database_url)}
        return all(found.get(name) == history.head for name in names)

    await until(there)


def by_bus(projection: str) -> float:
    """How many events the bus has brought to a projection in this process."""
    return applied_total.labels(projection=projection, source="bus")._value.get()


async def comes_by_bus(database_url: str, history: History, name: str) -> None:
    """Append until the bus is what brings it."""
    before = by_bus(name)

    async def brought() -> bool:
        history.append(life())
        await level(database_url, history, name)
        return by_bus(name) > before

    await until(brought)


def assert_tally_is_exact(history: History, head: int | None = None) -> None:
    head = history.head if head is None else head
    row = history.db.execute("SELECT events, positions FROM tally").fetchone()
    assert row == (head, head * (head + 1) // 2)


async def test_events_flow_over_the_bus_into_every_projection(
    database_url: str, history: History, js: JetStreamContext, bus: Bus
) -> None:
    projections = [*PROJECTIONS.values(), Tally()]
    names = [p.name for p in projections]
    feed = Feed(bus)
    projectors = [Projector(database_url, feed, p) for p in projections]
    async with running(Relay(database_url, bus), feed, *projectors):
        for name in names:
            await comes_by_bus(database_url, history, name)
        for _ in range(30):
            history.append([*life(), *life()])
            await asyncio.sleep(0)
        await level(database_url, history, *names)
        consumers = await js.consumers_info(STREAM)
        assert len(consumers) == 1, "one for all projectors of a process"
    assert_tally_is_exact(history)
    for projection in projections:
        assert (await compare(database_url, projection)).differences == ()


async def test_gaps_duplicates_disorder_and_foreign_messages_change_nothing(
    database_url: str, history: History, js: JetStreamContext, bus: Bus
) -> None:
    for _ in range(4):
        history.append(life())
    identity = history.db.execute("SELECT log_id FROM log_identity").fetchone()
    assert identity is not None
    async with await connect(database_url, "test") as db:
        rows = await read_page(db, 0)
    # A bus that lies: every sequence carries some other row, or one of another log.
    await js.add_stream(StreamConfig(name=STREAM, subjects=["loop.>"]))
    feed = Feed(bus)
    projectors = [Projector(database_url, feed, p) for p in (Tally(), ORDERS)]
    async with running(feed, *projectors):
        for wrong in [*reversed(rows), *rows[3:9], *rows[3:9]]:
            await publish(js, wrong, identity[0])
        for row in rows:
            await publish(js, row, "another log")
        history.append(life())
        for row in rows[::3]:
            await publish(js, row, identity[0])
        await level(database_url, history, "tally", "orders")
    assert_tally_is_exact(history)
    assert (await compare(database_url, ORDERS)).differences == ()


async def publish(js: JetStreamContext, row: Row, log_id: str) -> None:
    subject, headers = message(row, log_id)
    del headers["Nats-Expected-Last-Sequence"]
    await js.publish(subject, row.state, headers=headers)


async def test_a_feed_gives_only_rows_of_its_log_from_its_position_on(
    database_url: str, history: History, js: JetStreamContext, bus: Bus
) -> None:
    history.append(life())
    async with await connect(database_url, "test") as db:
        rows = await read_page(db, 0)
    await js.add_stream(stream_config(log_id="ours", first_seq=1))
    for row, log_id in zip(
        rows, ["ours", "ours", "theirs", "ours", "theirs", "ours", "ours"], strict=True
    ):
        await publish(js, row, log_id)
    feed = Feed(bus)
    got: list[Row] = []
    with feed.reader("ours", 1) as reader:
        async with running(feed):

            async def complete() -> bool:
                got.extend(await reader.get(0.1))
                return len(got) >= 4

            await until(complete)
    assert got == [rows[1], rows[3], rows[5], rows[6]]


async def test_a_reader_that_is_slow_finds_the_oldest_rows_gone_and_nobody_else_waits_for_it(
    database_url: str,
    history: History,
    js: JetStreamContext,
    bus: Bus,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("adapters.feed.BUFFERED_MAX", 3)
    history.append(life())
    async with await connect(database_url, "test") as db:
        rows = await read_page(db, 0)
    await js.add_stream(stream_config(log_id="ours", first_seq=1))
    feed = Feed(bus)
    got: list[Row] = []
    with feed.reader("ours", 0) as quick, feed.reader("ours", 0) as slow:
        async with running(feed):
            for row in rows:
                await publish(js, row, "ours")

                async def brought(row: Row = row) -> bool:
                    got.extend(await quick.get(0.1))
                    return row in got

                await until(brought)
            assert got == rows
            assert await slow.get(1) == rows[-3:]
            assert following(rows[-3:], 0) is None


async def test_projectors_follow_a_stream_that_was_made_anew(
    database_url: str,
    history: History,
    js: JetStreamContext,
    bus: Bus,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("adapters.relay.LOOK_S", 0.5)
    monkeypatch.setattr("adapters.feed.AGAIN_S", 0.1)

    feed = Feed(bus)
    projector = Projector(database_url, feed, Tally())
    async with running(Relay(database_url, bus, kept=3), feed, projector):
        for _ in range(2):
            await comes_by_bus(database_url, history, "tally")
            with contextlib.suppress(NotFoundError):
                await js.delete_stream(STREAM)
            await comes_by_bus(database_url, history, "tally")
    assert_tally_is_exact(history)


async def test_a_message_that_is_not_the_rows_copy_is_never_applied(
    database_url: str, history: History, js: JetStreamContext, bus: Bus
) -> None:
    await install(database_url, [ORDERS])
    identity = history.db.execute("SELECT log_id FROM log_identity").fetchone()
    assert identity is not None
    await js.add_stream(stream_config(log_id=identity[0], first_seq=1))
    feed = Feed(bus)
    async with running(feed, Projector(database_url, feed, ORDERS)):

        async def subscribed() -> bool:
            return bool(await js.consumers_info(STREAM))

        await until(subscribed)
        history.append([("ord_lost", created(7))])
        async with await connect(database_url, "test") as db:
            (lost,) = await read_page(db, 0)
        history.db.execute("ALTER TABLE events DISABLE TRIGGER ALL")
        with history.db.transaction():
            history.db.execute("DELETE FROM events")
            history.db.execute("UPDATE projection_positions SET position = 0")
            history.db.execute("DELETE FROM orders_v1")
            history.append([("ord_real", created(8))])
        await publish(js, lost, identity[0])
        await level(database_url, history, "orders")
    assert history.db.execute("SELECT order_id FROM orders").fetchall() == [("ord_real",)]
    assert (await compare(database_url, ORDERS)).differences == ()


async def test_without_nats_projections_follow_all_the_same(
    database_url: str, history: History
) -> None:
    bus = Bus("nats://127.0.0.1:1", name="nowhere")
    feed = Feed(bus)
    async with bus, running(feed, Projector(database_url, feed, Tally())):
        history.append(life())
        await level(database_url, history, "tally")
        history.append(life())
        await level(database_url, history, "tally")
    assert_tally_is_exact(history)


async def test_a_restart_of_nats_does_not_stop_projections(
    database_url: str, history: History, tmp_path: Path
) -> None:
    with EmbeddedNats(tmp_path) as server:
        bus = Bus(server.url, name="test")
        feed = Feed(bus)
        projector = Projector(database_url, feed, Tally())
        async with bus, running(Relay(database_url, bus), feed, projector):
            await comes_by_bus(database_url, history, "tally")
            server.stop()
            history.append(life())
            await level(database_url, history, "tally")
            server.start()
            await comes_by_bus(database_url, history, "tally")
    assert_tally_is_exact(history)


async def published(js: JetStreamContext, history: History) -> None:
    """Wait until the stream has the whole log: who reads the log may be level before it."""

    async def done() -> bool:
        try:
            return (await js.stream_info(STREAM)).state.last_seq == history.head
        except NotFoundError:
            return False

    await until(done)


async def test_two_projectors_of_one_projection_share_no_work(
    database_url: str, nats_url: str, history: History, js: JetStreamContext, bus: Bus
) -> None:
    async with Bus(nats_url, name="second") as other:
        feeds = [Feed(bus), Feed(other)]
        workers: list[Runs] = [Projector(database_url, feed, Tally()) for feed in feeds]
        async with running(Relay(database_url, bus), *feeds, *workers):
            for _ in range(20):
                history.append(life())
                await asyncio.sleep(0)
            await level(database_url, history, "tally")
            await published(js, history)
    assert_tally_is_exact(history)


CHILD = """
import asyncio, json, sys
from pathlib import Path
from adapters.feed import Feed
from adapters.nats import Bus
from adapters.projector import Projector
from tests.adapters.test_projector import Tally
from projections import PROJECTIONS

async def main(database, url):
    async with Bus(url, name="child") as bus:
        stop = asyncio.Event()
        feed = Feed(bus)
        projectors = [Projector(database, feed, p) for p in (Tally(), *PROJECTIONS.values())]
        await asyncio.gather(*[each.run(stop) for each in (feed, *projectors)])

asyncio.run(main(*json.loads(sys.argv[1])))
"""


async def test_a_projector_that_is_killed_applies_every_event_exactly_once(
    database_url: str, nats_url: str, history: History, bus: Bus
) -> None:
    await install(database_url, [Tally(), *PROJECTIONS.values()])
    arguments = json.dumps([database_url, nats_url])

    async def child() -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            sys.executable, "-c", CHILD, arguments, cwd=Path(__file__).parents[2], env=os.environ
        )

    def position() -> int:
        row = history.db.execute("SELECT min(position) FROM projection_positions").fetchone()
        assert row is not None
        return int(row[0])

    process = await child()
    async with running(Relay(database_url, bus)):
        for _ in range(3):
            before = position()
            history.append([fact for _ in range(150) for fact in life()])
            await until(lambda before=before: position() > before)
            process.send_signal(signal.SIGKILL)
            await process.wait()
            process = await child()
        await level(database_url, history, "tally", "orders", "transactions")
        process.kill()
        await process.wait()
    assert_tally_is_exact(history)
    for projection in PROJECTIONS.values():
        assert (await compare(database_url, projection)).differences == ()


async def test_another_worker_takes_over_when_one_loses_its_connection(
    database_url: str, history: History
) -> None:
    first, second = (Projector(database_url, None, Tally()) for _ in range(2))
    async with running(first, second):
        history.append(life())
        await level(database_url, history, "tally")
        history.db.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name = 'loop-projector-tally' AND datname = current_database()"
        )
        history.append(life())
        await level(database_url, history, "tally")
    assert_tally_is_exact(history)


async def test_a_projection_that_sums_stops_in_front_of_a_poison_event_and_says_so(
    database_url: str, history: History
) -> None:
    history.append([*life(), ("ord_p", created(external_id="poison")), *life()])
    async with running(Projector(database_url, None, Tally())):

        async def stopped() -> str | None:
            return next((s.error for s in await projections_status(database_url)), None)

        await until(stopped)
    (status,) = await projections_status(database_url)
    assert (status.position, status.lag_events, status.parked) == (7, 8, 0)
    assert status.error is not None
    assert status.error.startswith("AssertionError")
    assert_tally_is_exact(history, 7)


async def test_an_undecodable_row_holds_nobody_else_up(database_url: str, history: History) -> None:
    history.append_raw([("ord_bad", "order.created.v1", b"not json")])
    history.append([*life("ord_good"), ("mer_a", created())])
    async with running(Projector(database_url, None, ORDERS)):
        await level(database_url, history, "orders")
    assert history.db.execute("SELECT order_id FROM orders").fetchall() == [("ord_good",)]
    (parked,) = history.db.execute("SELECT stream_id, position, error FROM parked").fetchall()
    assert parked[:2] == ("ord_bad", 1)
    assert parked[2].startswith("CorruptEvent")


def test_only_rows_that_continue_the_position_are_taken() -> None:
    def rows(*positions: int) -> list[Row]:
        return [
            Row(stream_id="s", version=1, tag="t", state=b"", position=p, recorded_at=START)
            for p in positions
        ]

    assert following([], 3) is None
    assert following(rows(5, 6), 3) is None
    assert following(rows(2, 3), 3) == []
    assert following(rows(3, 4, 4, 5, 3, 6, 9), 3) == rows(4, 5, 6)
