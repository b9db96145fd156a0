"""Who watches a storm from outside: what was acknowledged, and what a reader of the log saw."""

import os
import threading
import time
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Final, Self

import msgspec
import psycopg
from typing_extensions import override

from adapters.log import Row
from adapters.migrations import OPTIONS

PAGE: Final = 2000
COMPLAINTS_MAX: Final = 20


class Entry(msgspec.Struct, frozen=True, gc=False):
    """One event as somebody saw it."""

    position: int
    stream_id: str
    version: int
    event_id: str


class Witness(ABC):
    """A thread that watches until the block ends; `complaints` are what must never be."""

    def __init__(self) -> None:
        self.complaints: list[str] = []
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def complain(self, what: str) -> None:
        if len(self.complaints) < COMPLAINTS_MAX:
            self.complaints.append(what)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def end(self) -> None:
        """Watch no more; what was there until now has been seen."""
        self._done.set()
        self._thread.join(30)

    @abstractmethod
    def _watch(self) -> None:
        """See until `_done` is set, and what was there by then."""


class Acknowledged(Witness):
    """Reads the pipe on which every process says what was acknowledged to its caller."""

    def __init__(self, fifo: Path) -> None:
        super().__init__()
        self.entries: dict[int, Entry] = {}
        os.mkfifo(fifo, 0o600)
        # Also opened for writing: so it has no end while all writers are dead.
        self._pipe = os.open(fifo, os.O_RDWR | os.O_NONBLOCK)

    @override
    def _watch(self) -> None:
        rest = b""
        while True:
            try:
                rest += os.read(self._pipe, 1 << 16)
            except BlockingIOError:
                if self._done.is_set():
                    os.close(self._pipe)
                    return
                time.sleep(0.005)
                continue
            *lines, rest = rest.split(b"\n")
            for line in lines:
                self._said(line.decode())

    def _said(self, line: str) -> None:
        if line.startswith("!"):
            self.complain(line)
            return
        position, stream_id, version, event_id = line.split()
        entry = Entry(int(position), stream_id, int(version), event_id)
        if entry.position in self.entries:
            self.complain(f"position {position} was acknowledged twice")
        self.entries[entry.position] = entry


class Tail(Witness):
    """Reads on from the position that it has seen, all the time; nothing may appear behind it."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self._url = url
        self.entries: list[Entry] = []
        self._last_at = 0.0

    @override
    def _watch(self) -> None:
        while not self._done.is_set():
            try:
                with psycopg.connect(
                    self._url, autocommit=True, options=OPTIONS, connect_timeout=5,
                    application_name="storm-tail",
                ) as db:  # fmt: skip
                    while not self._done.is_set():
                        if not self.read(db):
                            time.sleep(0.005)
            except psycopg.OperationalError:
                time.sleep(0.05)

    def read(self, db: psycopg.Connection) -> int:
        """Read the next page; return its length."""
        page = rows(db, len(self.entries))
        for row in page:
            at = row.recorded_at.timestamp()
            if row.position != len(self.entries) + 1:
                self.complain(f"position {row.position} followed on {len(self.entries)}")
            if at < self._last_at:
                self.complain(f"position {row.position} is older than the one before it")
            self._last_at = at
            self.entries.append(entry_of(row))
        return len(page)


def rows(db: psycopg.Connection, after: int) -> list[Row]:
    """Return the next rows of the log behind a position."""
    cursor = db.execute(
        "SELECT originator_id, originator_version, topic, state, notification_id, recorded_at"
        " FROM events WHERE notification_id > %s ORDER BY notification_id LIMIT %s",
        [after, PAGE],
        binary=True,
    )
    return [
        Row(stream_id=s, version=v, tag=t, state=b, position=p, recorded_at=at)
        for s, v, t, b, p, at in cursor.fetchall()
    ]


class _Envelope(msgspec.Struct):
    event_id: str


class _Stored(msgspec.Struct):
    metadata: _Envelope


_decode: Final = msgspec.json.Decoder(_Stored).decode


def entry_of(row: Row) -> Entry:
    event_id = _decode(row.state).metadata.event_id
    return Entry(row.position, row.stream_id, row.version, event_id)
