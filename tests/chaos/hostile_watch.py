"""Who watches a hostile run: the books all the time, and the sandbox's journal at the end."""

import contextlib
import sqlite3
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import psycopg

from adapters.migrations import OPTIONS
from tests.sandbox_server import SandboxServer

POLL_S: Final = 1.0


@dataclass
class Poller:
    """Asks for violations all the time; a payment's order must be known before it is paid."""

    server: SandboxServer
    database_url: str
    polls: int = 0
    wrong: list[str] = field(default_factory=list)
    _known: set[str] = field(default_factory=set)
    _ended: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        with psycopg.connect(self.database_url, autocommit=True, options=OPTIONS) as db:
            while not self._ended.wait(POLL_S):
                self.look(db)
            self.look(db)

    def end(self) -> None:
        self._ended.set()

    def look(self, db: psycopg.Connection[Any]) -> None:
        books = self.server.books()
        new = set(books["orders"]) - self._known
        rows = db.execute(
            "SELECT DISTINCT originator_id FROM events WHERE originator_id = ANY(%s)", [[*new]]
        ).fetchall()
        self._known |= {row[0] for row in rows}
        self.wrong += [f"payment of unknown order {ref!r}" for ref in new - self._known]
        self.wrong += [str(violation) for violation in books["violations"]]
        self.polls += 1


@contextlib.contextmanager
def threads(*runs: Any, ends: tuple[Any, ...]) -> Iterator[None]:
    """Run these until the block ends; what one of them raises is raised here."""
    errors: list[BaseException] = []

    def guarded(run: Any) -> None:
        try:
            run()
        except BaseException as error:  # noqa: BLE001 - it is raised in the main thread
            errors.append(error)

    threads = [threading.Thread(target=guarded, args=(run,), daemon=True) for run in runs]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        for end in ends:
            end()
        for thread in threads:
            thread.join(60)
    if errors:
        raise errors[0]


def heard(path: Path) -> tuple[dict[str, int], dict[str, int]]:
    """Count answers, by status and call, that no fault made bad; and webhooks by their state."""
    with contextlib.closing(sqlite3.connect(path)) as db:
        rows = db.execute(
            "SELECT status, dialect, method, path FROM requests"
            " WHERE decisions IS NULL AND status >= 400 AND status <> 402"
        ).fetchall()
        states = db.execute("SELECT state, count(*) FROM deliveries GROUP BY state").fetchall()
    return dict(Counter(f"{s} {d} {m} {_shape(p)}" for s, d, m, p in rows)), dict(states)


def _shape(path: str) -> str:
    parts = path.split("/")[2:]
    return "/".join(part if n != 1 else "*" for n, part in enumerate(parts))
