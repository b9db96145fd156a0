import asyncio
import shutil
from pathlib import Path

import pytest
from nats.errors import Error as NatsError
from nats.js.client import JetStreamContext
from nats.js.errors import NotFoundError

from adapters.embedded.nats import EmbeddedNats
from adapters.nats import EVENT_ID, LOG_ID, STREAM, Bus, event_id, stream_config
from adapters.relay import Relay, doubts_total
from domain import events as e
from tests.history import History, created, life
from tests.waiting import running, until


async def last_seq(js: JetStreamContext) -> int:
    try:
        return (await js.stream_info(STREAM)).state.last_seq
    except (NotFoundError, NatsError, TimeoutError):
        return -1


async def reaches(js: JetStreamContext, position: int) -> None:
    async def there() -> bool:
        return await last_seq(js) == position

    await until(there)


async def assert_stream_is_log(js: JetStreamContext, history: History, first: int = 1) -> None:
    rows = history.db.execute(
        "SELECT notification_id, state, topic, originator_id FROM events"
        " WHERE notification_id >= %s ORDER BY 1",
        [first],
    ).fetchall()
    info = await js.stream_info(STREAM)
    assert (info.state.first_seq, info.state.last_seq) == (first, history.head)
    identity = history.db.execute("SELECT log_id FROM log_identity").fetchone()
    assert identity is not None
    for position, state, topic, stream_id in rows:
        held = await js.get_msg(STREAM, position)
        assert held.data == state
        headers = held.headers or {}
        assert (headers[EVENT_ID], headers[LOG_ID]) == (event_id(state), identity[0])
        mode = "-" if topic.startswith("merchant") else "test"
        assert held.subject == f"loop.{mode}.mer_a.{stream_id}.{topic.replace('.', '-')}"


async def test_every_committed_event_is_published_at_its_position(
    database_url: str, history: History, js: JetStreamContext, bus: Bus
) -> None:
    history.append([*life(), ("mer_a", e.MerchantRegistered()), *life()])
    async with running(Relay(database_url, bus)):
        await reaches(js, history.head)
        history.append(life())
        await reaches(js, history.head)
    await assert_stream_is_log(js, history)


async def test_a_damaged_row_is_published_like_any_other(
    database_url: str, history: History, js: JetStreamContext, bus: Bus
) -> None:
    history.append_raw([("ord_bad", "order.created.v1", b"not json \xff")])
    async with running(Relay(database_url, bus)):
        await reaches(js, 1)
    async with running(Relay(database_url, bus)):
        history.append(life())
        await reaches(js, 8)
    held = await js.get_msg(STREAM, 1)
    assert (held.subject, held.data) == ("loop.-.-.ord_bad.order-created-v1", b"not json \xff")
    assert (await js.stream_info(STREAM)).state.first_seq == 1


async def test_a_missing_stream_begins_shortly_before_the_end_of_the_log(
    database_url: str, history: History, js: JetStreamContext, bus: Bus
) -> None:
    for _ in range(3):
        history.append(life())
    async with running(Relay(database_url, bus, kept=5)):
        await reaches(js, 21)
    await assert_stream_is_log(js, history, first=16)


async def test_two_relays_at_once_publish_each_event_once(
    database_url: str, nats_url: str, history: History, js: JetStreamContext, bus: Bus
) -> None:
    async with Bus(nats_url, name="test-relay-2") as second:
        async with running(*[Relay(database_url, b, lease=False) for b in (bus, second)]):
            for _ in range(40):
                history.append([fact for _ in range(5) for fact in life()])
                await asyncio.sleep(0)
            await reaches(js, 40 * 35)
        await assert_stream_is_log(js, history)


async def test_a_stream_ahead_of_the_log_is_made_anew(
    database_url: str, history: History, js: JetStreamContext, bus: Bus
) -> None:
    history.append(life())
    async with running(Relay(database_url, bus)):
        await reaches(js, 7)
    for _ in range(5):
        await js.publish("loop.test.mer_a.ord_x.lost", b"{}")
    async with running(Relay(database_url, bus)):
        await reaches(js, 7)
    await assert_stream_is_log(js, history)


async def test_the_stream_of_another_log_is_made_anew(
    database_url: str, history: History, js: JetStreamContext, bus: Bus
) -> None:
    await js.add_stream(stream_config(log_id="another", first_seq=1))
    for _ in range(3):
        await js.publish("loop.test.mer_a.ord_x.foreign", b"{}", headers={LOG_ID: "another"})
    history.append(life())
    async with running(Relay(database_url, bus)):
        await reaches(js, 7)
    await assert_stream_is_log(js, history)


async def test_a_database_that_lost_its_tail_and_went_on_gets_a_new_stream(
    database_url: str, history: History, js: JetStreamContext, bus: Bus
) -> None:
    history.append(life())
    async with running(Relay(database_url, bus)):
        await reaches(js, 7)
    history.db.execute("ALTER TABLE events DISABLE TRIGGER ALL")
    history.db.execute("DELETE FROM events WHERE notification_id > 5")
    history.append([("ord_other", created()), *life()])
    async with running(Relay(database_url, bus)):
        await reaches(js, 13)
    await assert_stream_is_log(js, history)


async def test_a_second_relay_takes_over_when_the_first_loses_its_connection(
    database_url: str, nats_url: str, history: History, js: JetStreamContext, bus: Bus
) -> None:
    async with Bus(nats_url, name="test-relay-2") as second:
        async with running(*[Relay(database_url, b) for b in (bus, second)]):
            history.append(life())
            await reaches(js, 7)
            history.db.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE application_name = 'loop-relay' AND datname = current_database()"
            )
            history.append(life())
            await reaches(js, 14)
        await assert_stream_is_log(js, history)


async def test_a_relay_waits_where_there_is_no_room_and_goes_on_when_there_is(
    database_url: str, history: History, js: JetStreamContext, bus: Bus
) -> None:
    history.append(life())
    relay = Relay(database_url, bus, max_bytes=2**50)
    refused = doubts_total.labels(cause="ServerError")
    before = refused._value.get()
    async with running(relay):
        await until(lambda: refused._value.get() >= before + 2)
        assert await last_seq(js) == -1
        relay._max_bytes = 2**20
        await reaches(js, 7)
    await assert_stream_is_log(js, history)


async def test_a_stream_that_was_deleted_while_nothing_happens_comes_back(
    database_url: str,
    history: History,
    js: JetStreamContext,
    bus: Bus,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("adapters.relay.LOOK_S", 0.5)
    history.append(life())
    async with running(Relay(database_url, bus)):
        await reaches(js, 7)
        await js.delete_stream(STREAM)
        await reaches(js, 7)
    await assert_stream_is_log(js, history)


@pytest.mark.parametrize("while_down", [True, False])
async def test_a_store_that_was_deleted_during_the_run_is_filled_again(
    database_url: str, history: History, tmp_path: Path, *, while_down: bool
) -> None:
    server = EmbeddedNats(tmp_path)
    server.start()
    try:
        async with Bus(server.url, name="test-relay") as bus, running(Relay(database_url, bus)):
            js = (await bus.client(5)).jetstream(timeout=1)
            history.append(life())
            await reaches(js, 7)
            if while_down:
                server.stop()
                history.append(life())
                shutil.rmtree(tmp_path / "nats" / "store")
                server.start()
            else:
                shutil.rmtree(tmp_path / "nats" / "store")
                history.append(life())
                server.stop()
                server.start()
            history.append(life())
            await reaches(js, 21)
            await assert_stream_is_log(js, history)
    finally:
        server.stop()
