"""The log under processes that are killed, backends that are ended and a server that crashes."""

import itertools
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import psycopg
import pytest
from psycopg import Connection

from adapters.embedded.postgres import EmbeddedPostgres
from adapters.migrations import OPTIONS, migrate
from tests.chaos.log_writer import HOT
from tests.places import in_memory

ROOT = Path(__file__).parents[2]


class Writers:
    """Writer processes; what each one said stands in a file of its own."""

    def __init__(self, url: str, folder: Path) -> None:
        self._url = url
        self._folder = folder
        self._running: list[subprocess.Popen[bytes]] = []
        self._started = 0

    def start(self) -> None:
        self._started += 1
        with (
            (self._folder / f"said-{self._started}").open("wb") as said,
            (self._folder / f"log-{self._started}").open("wb") as log,
        ):
            command = [sys.executable, "-m", "tests.chaos.log_writer", self._url]
            process = subprocess.Popen(command, cwd=ROOT, stdout=said, stderr=log)
        self._running.append(process)

    def kill_oldest(self) -> None:
        process = self._running.pop(0)
        assert process.poll() is None, "only we end writers"
        process.send_signal(signal.SIGKILL)
        process.wait()

    def kill_all(self) -> None:
        for process in self._running:
            process.kill()
            process.wait()
        self._running.clear()

    def said(self) -> list[str]:
        files = sorted(self._folder.glob("said-*"))
        return [line for file in files for line in file.read_text().splitlines()]


@contextmanager
def writing(url: str, folder: Path, processes: int) -> Iterator[Writers]:
    writers = Writers(url, folder)
    try:
        for _ in range(processes):
            writers.start()
        yield writers
    finally:
        writers.kill_all()


def check_log(db: Connection, said: list[str]) -> int:
    """Compare the log with what was acknowledged; return how many orders were."""
    assert [line for line in said if line.startswith("!")] == []
    rows = db.execute(
        "SELECT notification_id, originator_id, originator_version, recorded_at FROM events"
        " ORDER BY notification_id"
    ).fetchall()
    assert [row[0] for row in rows] == list(range(1, len(rows) + 1))
    assert all(a[3] <= b[3] for a, b in itertools.pairwise(rows))
    versions: dict[str, int] = {}
    for _, stream, version, _ in rows:
        assert version == versions.get(stream, 0) + 1
        versions[stream] = version
    acknowledged = [line for line in said if not line.startswith("hot ")]
    assert len(set(acknowledged)) == len(acknowledged)
    assert [order for order in acknowledged if versions.get(order) != 3] == []
    hot = db.execute("SELECT state FROM events WHERE originator_id = %s", [HOT]).fetchall()
    hot_ids = [msgspec.json.decode(state)["metadata"]["event_id"] for (state,) in hot]
    assert len(set(hot_ids)) == len(hot_ids)
    assert {line[4:] for line in said if line.startswith("hot ")} <= set(hot_ids)
    answered = {row[0] for row in db.execute("SELECT stream_id FROM idempotency").fetchall()}
    assert answered == versions.keys() - {HOT}
    return len(acknowledged)


def follow(db: Connection, after: int) -> int:
    """Read on from a position; what is seen has no hole and nothing before it is missing."""
    rows = db.execute(
        "SELECT notification_id FROM events WHERE notification_id > %s"
        " ORDER BY notification_id LIMIT 1000",
        [after],
    ).fetchall()
    assert [row[0] for row in rows] == list(range(after + 1, after + 1 + len(rows)))
    return after + len(rows)


def follow_for(db: Connection, seconds: float, seen: int) -> int:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        seen = follow(db, seen)
    return seen


@pytest.mark.timeout(120)
def test_readers_never_see_a_hole_while_writers_write_roll_back_and_are_killed(
    database_url: str, tmp_path: Path
) -> None:
    with (
        psycopg.connect(database_url, autocommit=True, options=OPTIONS) as db,
        writing(database_url, tmp_path, 4) as writers,
    ):
        seen = 0
        while not seen:
            seen = follow(db, seen)
        for _ in range(5):
            seen = follow_for(db, 1.2, seen)
            writers.kill_oldest()
            writers.start()
        seen = follow_for(db, 1.0, seen)
        writers.kill_all()
        _await_backends_gone(db)  # what a dead writer had sent may still be committed
        while (more := follow(db, seen)) != seen:
            seen = more
        assert check_log(db, writers.said()) > 100
        last = db.execute("SELECT max(notification_id) FROM events").fetchone()
        assert last == (seen,)


def _await_backends_gone(db: psycopg.Connection) -> None:
    deadline = time.monotonic() + 20
    query = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'loop-append'"
    while db.execute(query).fetchone() != (0,):
        assert time.monotonic() < deadline, "a dead writer's backend ends"
        time.sleep(0.02)


@pytest.mark.timeout(120)
def test_nothing_acknowledged_is_lost_when_backends_and_the_server_die(tmp_path: Path) -> None:
    with (
        tempfile.TemporaryDirectory(prefix="loop-chaos-", dir=in_memory()) as data,
        EmbeddedPostgres(Path(data)) as server,
    ):
        migrate(server.url)
        with writing(server.url, tmp_path, 2) as writers:
            terminated = _terminate_backends(server.url, until=25)
            before = len(writers.said())
            assert server.pid is not None
            os.kill(server.pid, signal.SIGKILL)
            while server.alive():
                time.sleep(0.01)
            server.start()
            with psycopg.connect(server.url, autocommit=True, options=OPTIONS) as db:
                deadline = time.monotonic() + 30
                while len(writers.said()) < before + 500:
                    assert time.monotonic() < deadline, "the writers come back"
                    time.sleep(0.05)
                writers.kill_all()
                assert check_log(db, writers.said()) > 100
        assert terminated >= 25


def _terminate_backends(url: str, until: int) -> int:
    """End the writers' and readers' backends again and again, in the middle of their work."""
    terminated = 0
    with psycopg.connect(url, autocommit=True) as db:
        while terminated < until:
            cursor = db.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE application_name IN ('loop-append', 'loop-read')"
            )
            terminated += len(cursor.fetchall())
            time.sleep(0.08)
    return terminated
