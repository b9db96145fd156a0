"""The `eventsourcing` library's own test cases, run against our recorders.

Its test cases make random UUIDs for originators and leave it to subclasses to make others
(`new_originator_id`). Our streams are named by text, so here it is the same UUID as text: nothing
is converted between the test case and the table.
"""

import asyncio
from collections.abc import Iterator
from threading import Event
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from eventsourcing.application import Application
from eventsourcing.persistence import IntegrityError, StoredEvent, Tracking
from eventsourcing.postgres import PostgresTrackingRecorder
from eventsourcing.projection import Projection, ProjectionRunner
from eventsourcing.tests import persistence as contract
from eventsourcing.utils import Environment
from psycopg_pool import AsyncConnectionPool
from typing_extensions import override

from adapters.codec import LogEvent, LogMapper, NoTranscoder
from adapters.event_store import PostgresEventStore
from adapters.recorder import LogFactory, LogProcessRecorder, LogRecorder, environment
from domain.ids import new_id
from tests.appends import append_of, opened


@pytest.fixture
def factory(database_url: str) -> Iterator[LogFactory]:
    factory = LogFactory(Environment("anything", environment(database_url)))
    yield factory
    factory.close()


class _OnOurLog:
    factory: LogFactory

    @pytest.fixture(autouse=True)
    def _use(self, factory: LogFactory) -> None:
        self.factory = factory

    def new_originator_id(self) -> str:
        return str(uuid4())


class TestOurApplicationRecorder(_OnOurLog, contract.ApplicationRecorderTestCase[LogRecorder]):
    @override
    def create_recorder(self) -> LogRecorder:
        return self.factory.application_recorder()

    def test_insert_subscribe(self) -> None:
        self.optional_test_insert_subscribe()


class TestOurProcessRecorder(_OnOurLog, contract.ProcessRecorderTestCase):
    @override
    def create_recorder(self) -> LogProcessRecorder:
        return self.factory.process_recorder()


class TestOurTracking(_OnOurLog, contract.TrackingRecorderTestCase):
    @override
    def create_recorder(self) -> LogProcessRecorder:
        return self.factory.process_recorder()


class TestNumbersDoNotInterleave(_OnOurLog, contract.NonInterleavingNotificationIDsBaseCase):
    insert_num = 200

    @override
    def create_recorder(self) -> LogRecorder:
        return self.factory.application_recorder()


def stored(version: int, stream: str = "ord_a", state: bytes | None = None) -> StoredEvent:
    return StoredEvent(stream, version, "topic", state or uuid4().bytes)


def losing_the_acknowledgement(recorder: Any, times: int = 1) -> None:
    """Make the recorder's next commits lose their acknowledgement: done, but the caller fails."""
    insert = recorder._insert
    left = times

    def lost(*args: Any, **kwargs: Any) -> Any:
        nonlocal left
        done = insert(*args, **kwargs)
        if left:
            left -= 1
            with recorder.datastore.get_connection() as connection:
                connection.close()
                connection.execute("SELECT 1")
        return done

    recorder._insert = lost


def test_a_lost_acknowledgement_is_no_conflict(factory: LogFactory) -> None:
    recorder = factory.application_recorder()
    losing_the_acknowledgement(recorder)
    assert recorder.insert_events([stored(1), stored(2)]) == [1, 2]
    assert [n.id for n in recorder.select_notifications(None, 10)] == [1, 2]


def test_a_lost_acknowledgement_of_tracking_is_no_conflict(factory: LogFactory) -> None:
    recorder = factory.process_recorder()
    losing_the_acknowledgement(recorder)
    assert recorder.insert_events([stored(1)], tracking=Tracking("up", 7)) == [1]
    losing_the_acknowledgement(recorder)
    assert recorder.insert_events([], tracking=Tracking("up", 8)) is None
    assert recorder.max_tracking_id("up") == 8


def test_a_repetition_that_finds_a_foreign_event_is_a_conflict(factory: LogFactory) -> None:
    recorder = factory.application_recorder()
    recorder.insert_events([stored(1)])
    insert, calls = recorder._insert, iter([True, False])

    def unreachable_once(*args: Any, **kwargs: Any) -> Any:
        if next(calls):
            with recorder.datastore.get_connection() as connection:
                connection.close()
                connection.execute("SELECT 1")
        return insert(*args, **kwargs)

    recorder._insert = unreachable_once  # type: ignore[method-assign]
    with pytest.raises(IntegrityError):
        recorder.insert_events([stored(1)])


def test_the_mapper_gives_back_what_it_was_given() -> None:
    mapper = LogMapper(transcoder=NoTranscoder())
    write = append_of(new_id("ord"), personal=b"\x00\xff").writes[0]
    event = LogEvent(
        originator_id=write.stream_id,
        originator_version=1,
        metadata=write.events[0].metadata,
        data=write.events[0].data,
    )
    stored_event = mapper.to_stored_event(event)
    assert stored_event.topic == "order.created.v1"
    assert mapper.to_domain_event(stored_event) == event


class Count(PostgresTrackingRecorder):
    """A library view that remembers in which order it was told."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.seen: list[tuple[int, str, int]] = []
        self.enough = Event()
        self.wanted = 10**9


class Follow(Projection[Count]):
    name = "follow"

    @override
    def process_event(self, domain_event: Any, tracking: Tracking) -> None:
        self.view.insert_tracking(tracking)
        place = (domain_event.originator_id, domain_event.originator_version)
        self.view.seen.append((tracking.notification_id, *place))
        if tracking.notification_id >= self.view.wanted:
            self.view.enough.set()


async def test_the_librarys_projection_runner_follows_the_async_writer_in_order(
    database_url: str, pool: AsyncConnectionPool
) -> None:
    env = environment(database_url)

    def runner() -> ProjectionRunner[Application[str], Count]:
        return ProjectionRunner(
            application_class=Application[str], projection_class=Follow, view_class=Count, env=env
        )

    with await asyncio.to_thread(runner) as following:
        following.view.wanted = 200
        async with opened(PostgresEventStore(database_url, pool)) as store:
            ids = [new_id("ord") for _ in range(100)]
            await asyncio.gather(*(store.append(append_of(i)) for i in ids))
            await asyncio.gather(*(store.append(append_of(i, expected=1)) for i in ids))
        assert await asyncio.to_thread(following.view.enough.wait, 20)
        seen = list(following.view.seen)
    assert [position for position, *_ in seen] == list(range(1, 201))
    assert {(stream, version) for _, stream, version in seen} == {
        (i, version) for i in ids for version in (1, 2)
    }
    _close(following)


def _close(following: ProjectionRunner[Application[str], Count]) -> None:
    following.app.close()
    following.view.datastore.close()


async def test_both_writers_share_one_numbering_and_one_clock(
    database_url: str, pool: AsyncConnectionPool, factory: LogFactory
) -> None:
    recorder = factory.application_recorder()

    def write_synchronously() -> None:
        for n in range(50):
            recorder.insert_events([stored(1, f"sync_{n}"), stored(2, f"sync_{n}")])

    async with opened(PostgresEventStore(database_url, pool)) as store:
        appends = (store.append(append_of(new_id("ord"))) for _ in range(100))
        await asyncio.gather(asyncio.to_thread(write_synchronously), *appends)
    with psycopg.connect(database_url, options="-c search_path=loop") as db:
        rows = db.execute("SELECT notification_id, recorded_at FROM events ORDER BY 1").fetchall()
    assert [row[0] for row in rows] == list(range(1, 201))
    assert [row[1] for row in rows] == sorted(row[1] for row in rows)
