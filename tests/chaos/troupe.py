"""The processes and servers of a storm: started, killed and started again."""

import asyncio
import contextlib
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import psutil

from adapters.embedded.nats import EmbeddedNats
from adapters.embedded.postgres import EmbeddedPostgres
from adapters.embedded.process import spawn
from adapters.migrations import migrate
from adapters.settings import Settings, load_settings
from adapters.wiring import application
from commands.caller import Caller
from commands.register_merchant import register_merchant
from domain.metadata import Actor
from tests.chaos.sections import Sections

ROOT: Final = Path(__file__).parents[2]
ROLES: Final = (
    "writer", "writer", "writer", "relay", "relay", "projections", "projections", "saga", "saga",
)  # fmt: skip
"""One process each; the second relay and projector wait for the first one's lease."""
DRAIN_S: Final = 40.0
SETTLED_S: Final = 3.0


@dataclass
class Player:
    """One process; its slot is that of its counters."""

    slot: int
    role: str
    pid: int = 0
    started_at: float = 0.0


@dataclass
class Ended:
    """A process that ended although nobody killed it."""

    role: str
    code: int
    after_s: float


@dataclass
class Troupe:
    """All that runs; `folder` holds its logs, counters and the pipe of acknowledgements."""

    folder: Path
    settings: Settings
    postgres: EmbeddedPostgres
    nats: EmbeddedNats
    sections: Sections
    zygote: socket.socket
    players: list[Player] = field(default_factory=list)
    ended: list[Ended] = field(default_factory=list)

    def start(self, roles: Sequence[str] = ROLES) -> None:
        for slot, role in enumerate(roles):
            self.players.append(Player(slot, role))
            self.restart(self.players[-1])

    def restart(self, player: Player) -> None:
        self.sections.clear(player.slot)
        player.pid = int(self._ask(f"fork {player.slot} {player.role}"))
        player.started_at = time.monotonic()

    def stop_still(self, player: Player) -> tuple[str, ...]:
        """Freeze a process; return what it has open, which stays so until it is killed."""
        os.kill(player.pid, signal.SIGSTOP)
        process = psutil.Process(player.pid)
        while process.status() not in {psutil.STATUS_STOPPED, psutil.STATUS_ZOMBIE}:
            time.sleep(0)
        return self.sections.inside(player.slot)

    def go_on(self, player: Player) -> None:
        os.kill(player.pid, signal.SIGCONT)

    def kill(self, player: Player) -> None:
        os.kill(player.pid, signal.SIGKILL)
        self._ask(f"reap {player.pid}")
        self.restart(player)

    def revive(self) -> None:
        """Start again, as `loop up` does, who has ended by itself."""
        for player in self.players:
            if code := self._ask(f"poll {player.pid}"):
                after_s = time.monotonic() - player.started_at
                self.ended.append(Ended(player.role, int(code), after_s))
                self.restart(player)

    def settled(self) -> bool:
        """Whether everybody has been up for a while, PostgreSQL's recovery included."""
        self.revive()
        youngest = max(player.started_at for player in self.players)
        return time.monotonic() - youngest > SETTLED_S

    def drain(self, role: str) -> list[int]:
        """Ask processes to end; return their exit codes, -9 for who did not within the time."""
        leaving = [player for player in self.players if player.role == role]
        for player in leaving:
            _await_handler(player.pid)
            os.kill(player.pid, signal.SIGTERM)
            self.players.remove(player)
        return [self._left(player) for player in leaving]

    def _left(self, player: Player) -> int:
        deadline = time.monotonic() + DRAIN_S
        while time.monotonic() < deadline:
            if code := self._ask(f"poll {player.pid}"):
                return int(code)
            time.sleep(0.02)
        os.kill(player.pid, signal.SIGKILL)
        return int(self._ask(f"reap {player.pid}"))

    def wipe_nats(self) -> None:
        """Let NATS forget everything; it is dead."""
        for store in (self.folder / "nats").rglob("jetstream"):
            shutil.rmtree(store)

    def _ask(self, request: str) -> str:
        self.zygote.sendall(f"{request}\n".encode())
        answer = b""
        while not answer.endswith(b"\n"):
            part = self.zygote.recv(100)
            assert part, "the zygote lives"
            answer += part
        return answer.decode().strip()


def _await_handler(pid: int) -> None:
    """Wait until a process that has just begun knows what SIGTERM asks for."""
    deadline = time.monotonic() + DRAIN_S
    while time.monotonic() < deadline:
        with contextlib.suppress(FileNotFoundError):
            status = Path(f"/proc/{pid}/status").read_text()
            caught = int(status.split("SigCgt:")[1].split()[0], 16)
            if caught >> (signal.SIGTERM - 1) & 1 or "State:\tZ" in status:
                return
        time.sleep(0.01)


@contextlib.contextmanager
def troupe(
    folder: Path, *, orders_per_s: float = 0, whole: bool = False, **more: str
) -> Iterator[Troupe]:
    """Servers, a merchant and all processes; everything ends with the block.

    `whole`: the processes are those of `loop up`. `more` are settings.
    """
    for name in ("postgres", "nats", "home"):
        (folder / name).mkdir(mode=0o711)
    with EmbeddedPostgres(folder / "postgres") as postgres, EmbeddedNats(folder / "nats") as nats:
        migrate(postgres.url)
        settings = load_settings(
            {},
            home=str(folder / "home"),
            database_url=postgres.url,
            nats_url=nats.url,
            master_keys=f"k1:{secrets.token_hex(32)}",
            lease_s="600",  # A lease that only time ends counts as stuck.
            log_level="warning",
            **{"call_limit_s": "2", **more},
        )
        storm = {
            "environment": settings.environment(),
            "merchant": _merchant(settings),
            "orders_per_s": orders_per_s / ROLES.count("writer"),
        }
        (folder / "storm.json").write_text(json.dumps(storm))
        sections = Sections(folder / "sections")
        ours, theirs = socket.socketpair()
        process = _spawn_zygote(folder, theirs, *(("whole",) if whole else ()))
        try:
            yield Troupe(folder, settings, postgres, nats, sections, ours)
        finally:
            ours.close()
            process.kill()
            process.wait()
            sections.close()


def _spawn_zygote(folder: Path, theirs: socket.socket, *words: str) -> "subprocess.Popen[bytes]":
    with theirs, (folder / "zygote.log").open("ab") as log:
        return spawn(
            [sys.executable, "-m", "tests.chaos.zygote", str(theirs.fileno()), folder, *words],
            death_signal=signal.SIGKILL,
            output=log.fileno(),
            cwd=ROOT,
            keep=(theirs.fileno(),),
        )


def _merchant(settings: Settings) -> str:
    async def register() -> str:
        async with application(settings, name="storm") as app:
            actor = Actor("operator", "storm")
            caller = Caller(actor=actor, merchant_id="", mode="test", correlation_id="storm")
            return (await register_merchant(app.ports, caller, name="Storm shop")).id

    return asyncio.run(register())
