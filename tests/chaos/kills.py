"""The kills of a storm: who, when, and whether something was open at that moment."""

import contextlib
import os
import random
import signal
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Final

import psycopg

from tests.chaos.troupe import Player, Troupe

KINDS: Final = {
    "writer": 14,
    "relay": 10,
    "projections": 10,
    "saga": 12,
    "backend ended": 44,
    "nats": 6,
    "nats, store lost": 1,
    "backend killed": 2,
    "postmaster": 1,
}
"""How often each kind comes, of a hundred. A killed backend makes PostgreSQL recover."""
AIMED: Final = 0.8
"""Share of the kills that wait for the victim to be inside; the others come at any moment."""
AIM_S: Final = 0.5
RECOVERED_S: Final = 30.0

_VICTIM: Final = """
    WITH victim AS MATERIALIZED (
        SELECT pid, application_name AS name, state FROM pg_stat_activity
        WHERE backend_type = 'client backend' AND datname = current_database()
          AND pid <> pg_backend_pid() AND application_name <> 'storm-tail'
          AND (NOT %(aimed)s OR state <> 'idle' AND (application_name = 'loop-append'
               OR application_name LIKE 'loop-projector-%%'))
        ORDER BY md5(pid::text || %(salt)s) LIMIT 1
    ) SELECT pid, name, state, %(end)s AND pg_terminate_backend(pid) FROM victim
"""


@dataclass
class Tally:
    """How many kills of each kind there were, and how many fell inside a critical section."""

    kills: Counter[str] = field(default_factory=Counter)
    inside: Counter[str] = field(default_factory=Counter)
    open: Counter[str] = field(default_factory=Counter)

    def note(self, kind: str, sections: tuple[str, ...]) -> None:
        self.kills[kind] += 1
        self.inside[kind] += bool(sections)
        self.open.update(set(sections))

    @property
    def share(self) -> float:
        return sum(self.inside.values()) / max(1, sum(self.kills.values()))


class Killer:
    """Kills one after the other, as the seed says, and has the victim started again."""

    def __init__(self, troupe: Troupe, seed: int) -> None:
        self._troupe = troupe
        self._random = random.Random(seed)
        self.tally = Tally()
        self._db: psycopg.Connection[Any] | None = None

    def strike(self) -> None:
        """Kill somebody now."""
        (kind,) = self._random.choices([*KINDS], [*KINDS.values()])
        aimed = self._random.random() < AIMED
        match kind:
            case "backend ended":
                self._end_backend(aimed=aimed)
            case "backend killed":
                self._kill_backend(aimed=aimed)
            case "postmaster":
                self._kill_postmaster(aimed=aimed)
            case "nats" | "nats, store lost":
                self._kill_nats(kind, aimed=aimed)
            case _:
                self._kill_process(kind, aimed=aimed)

    def close(self) -> None:
        if self._db is not None:
            self._db.close()

    def _kill_process(self, role: str, *, aimed: bool) -> None:
        players = [player for player in self._troupe.players if player.role == role]
        self._random.shuffle(players)
        victim, sections = players[0], ()
        deadline = time.monotonic() + AIM_S
        while True:
            for victim in players if aimed else players[:1]:
                if aimed and not self._troupe.sections.inside(victim.slot):
                    continue
                sections = self._troupe.stop_still(victim)
                if sections or not aimed:
                    break
                self._troupe.go_on(victim)
            if sections or not aimed or time.monotonic() > deadline:
                break
            time.sleep(0.0005)
        self._troupe.kill(victim)
        self.tally.note(role, sections)

    def _end_backend(self, *, aimed: bool) -> None:
        row = self._asked(aimed=aimed, end=True)
        if row is not None:
            self.tally.note("backend ended", self._open_in(row))

    def _kill_backend(self, *, aimed: bool) -> None:
        """SIGKILL makes the postmaster end all others, too, and recover from the log."""
        row = self._asked(aimed=aimed, end=False)
        if row is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(row[0], signal.SIGKILL)
            self.tally.note("backend killed", self._open_in(row))
        self._answers_again()

    def _kill_postmaster(self, *, aimed: bool) -> None:
        postgres = self._troupe.postgres
        if aimed:
            self._await(("append", "projector"))
        assert postgres.pid is not None, "PostgreSQL runs between two kills"
        os.kill(postgres.pid, signal.SIGSTOP)
        sections = self._inside(("append", "projector"))
        os.kill(postgres.pid, signal.SIGKILL)
        while postgres.alive():
            time.sleep(0.005)
        postgres.start()
        self.tally.note("postmaster", sections)

    def _kill_nats(self, kind: str, *, aimed: bool) -> None:
        nats = self._troupe.nats
        if aimed:
            self._await(("publish",))
        assert nats.pid is not None, "NATS runs between two kills"
        os.kill(nats.pid, signal.SIGSTOP)
        sections = self._inside(("publish",))
        os.kill(nats.pid, signal.SIGKILL)
        while nats.alive():
            time.sleep(0.005)
        if kind != "nats":
            self._troupe.wipe_nats()
        nats.start()
        self.tally.note(kind, sections)

    def _await(self, wanted: tuple[str, ...]) -> None:
        deadline = time.monotonic() + AIM_S
        while not self._inside(wanted) and time.monotonic() < deadline:
            time.sleep(0.0005)

    def _inside(self, wanted: tuple[str, ...]) -> tuple[str, ...]:
        players: list[Player] = self._troupe.players
        found = {kind for p in players for kind in self._troupe.sections.inside(p.slot)}
        return tuple(found & set(wanted))

    def _open_in(self, row: tuple[Any, ...]) -> tuple[str, ...]:
        """Return what the backend was doing, as the server said when it was chosen."""
        name, state = row[1:3]
        if state == "idle":
            return ()
        if name.startswith("loop-projector-"):
            return ("projector",)
        return ("append",) if name == "loop-append" else ()

    def _asked(self, *, aimed: bool, end: bool) -> tuple[Any, ...] | None:
        """Choose a backend and end it if asked to; when aimed, wait until one is inside."""
        salt = str(self._random.random())
        deadline = time.monotonic() + AIM_S
        while True:
            late = time.monotonic() > deadline
            try:
                found = self._connected().execute(
                    _VICTIM, {"aimed": aimed and not late, "salt": salt, "end": end}
                )
                if (row := found.fetchone()) or late:
                    return row
            except psycopg.OperationalError:
                self.close()
                self._db = None
                if late:
                    return None
                time.sleep(0.02)

    def _connected(self) -> psycopg.Connection[Any]:
        if self._db is None or self._db.closed:
            url = self._troupe.postgres.url
            self._db = psycopg.connect(url, autocommit=True, application_name="storm-killer")
        return self._db

    def _answers_again(self) -> None:
        deadline = time.monotonic() + RECOVERED_S
        while self._asked(aimed=False, end=False) is None:
            assert time.monotonic() < deadline, "PostgreSQL comes back"
