"""The supervisor of `loop up`: children that die with us, restarted when they die alone."""
# Its own memory counts: it imports no HTTP framework, no event loop, no tables.

import os
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Final

from adapters.embedded.process import EmbeddedError, last_lines, open_log, spawn

RESTARTS_MAX: Final = 10
RESTARTS_WINDOW_S: Final = 60.0
BACKOFF_FIRST_S: Final = 0.1
BACKOFF_MAX_S: Final = 5.0
DRAIN_S: Final = 20.0
LOOK_S: Final = 0.2
METRICS: Final = "PROMETHEUS_MULTIPROC_DIR"
"""As `adapters.metrics.FOLDER`, which would load the library."""


class GaveUp(Exception):
    """Something died more often than restarting helps; the message names it and its log."""


class Told(BaseException):
    """SIGTERM, SIGHUP or Ctrl-C: end everything in order. Raised wherever the main thread is."""


@contextmanager
def until_told() -> Iterator[None]:
    """Raise `Told` at the first signal; leaving the block ignores further ones.

    A second one must not interrupt the orderly end.
    """
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)

    def told(_: int, __: FrameType | None) -> None:
        for number in numbers:
            signal.signal(number, signal.SIG_IGN)
        raise Told

    for number in numbers:
        signal.signal(number, told)
    try:
        with suppress(Told):
            yield
    finally:
        for number in numbers:
            signal.signal(number, signal.SIG_IGN)


class Restarts:
    """How often something was restarted lately, all of it together."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._at: deque[float] = deque()

    def pause_s(self) -> float:
        """Count a restart and return how long to wait before it: 0.1 s, 0.2 s, 0.4 s … 5 s.

        Raises:
            GaveUp: there were `RESTARTS_MAX` in the last `RESTARTS_WINDOW_S`.
        """
        now = self._clock()
        while self._at and self._at[0] <= now - RESTARTS_WINDOW_S:
            self._at.popleft()
        if len(self._at) >= RESTARTS_MAX:
            raise GaveUp(f"{RESTARTS_MAX} restarts within {RESTARTS_WINDOW_S:.0f} s")
        pause = min(BACKOFF_MAX_S, BACKOFF_FIRST_S * 2.0 ** len(self._at))
        self._at.append(now)
        return pause


@dataclass(kw_only=True)
class Child:
    """One `loop` process of ours.

    Attributes:
        arguments: after `loop`.
        restart_at: when it is to be started again, on the monotonic clock; None while it runs.
    """

    name: str
    arguments: tuple[str, ...]
    log: Path
    process: "subprocess.Popen[bytes] | None" = None
    restart_at: float | None = None


@dataclass(kw_only=True)
class Supervisor:
    """Starts children, restarts what dies, ends all; `servers_up` mends the embedded servers.

    Attributes:
        servers_up: makes the servers run if they do not; returns whether it had to.
        say: tells a person one line.
    """

    environment: Mapping[str, str]
    logs: Path
    servers_up: Callable[[], bool]
    say: Callable[[str], None]
    children: list[Child] = field(default_factory=list)
    restarts: Restarts = field(default_factory=Restarts)

    def add(self, name: str, *arguments: str) -> None:
        """Start a child and look after it from now on."""
        child = Child(name=name, arguments=arguments, log=self.logs / f"{name}.log")
        self.children.append(child)
        self._start(child)

    def pids(self, prefix: str) -> list[int]:
        """Return the processes whose names begin so."""
        named = (child for child in self.children if child.name.startswith(prefix))
        return [child.process.pid for child in named if child.process is not None]

    def look(self) -> bool:
        """Restart what has died and is due; return whether something was started.

        Raises:
            GaveUp: it happened too often.
        """
        started = self._look_at_servers()
        for child in self.children:
            if child.restart_at is None:
                self._look_at(child)
            elif time.monotonic() >= child.restart_at:
                self._start(child)
                started = True
        return started

    def _look_at_servers(self) -> bool:
        try:
            mended = self.servers_up()
        except EmbeddedError as error:
            self.say(f"a server does not start: {error}")
            mended = True
        if mended:
            time.sleep(self._pause_s("the servers", self.logs.parent))
            self.say("a server had ended and was started again")
        return mended

    def _look_at(self, child: Child) -> None:
        process = child.process
        assert process is not None, "a child without a restart time runs"
        code = process.poll()
        if code is None:
            return
        self._forget_gauges(process.pid)
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        pause = self._pause_s(child.name, child.log)
        self.say(f"{child.name} ended with {how}; again in {pause:.1f} s")
        child.restart_at = time.monotonic() + pause

    def _forget_gauges(self, pid: int) -> None:
        """Take back what a dead process said of itself; what it counted stays."""
        if (folder := self.environment.get(METRICS)) is not None:
            for file in Path(folder).glob(f"gauge_live*_{pid}.db"):
                file.unlink(missing_ok=True)

    def _pause_s(self, name: str, log: Path) -> float:
        try:
            return self.restarts.pause_s()
        except GaveUp as error:
            tail = last_lines(log) if log.is_file() else ""
            raise GaveUp(f"{error}, the last of {name}; see {log}\n{tail}".rstrip()) from None

    def _start(self, child: Child) -> None:
        child.restart_at = None
        output = open_log(child.log)
        try:
            child.process = start_loop(child.arguments, self.environment, output)
        finally:
            os.close(output)

    def drain(self) -> None:
        """Ask all children to end, wait at most `DRAIN_S`, then end them."""
        running = [c.process for c in self.children if c.process is not None]
        for process in running:
            process.terminate()
        deadline = time.monotonic() + DRAIN_S
        for process in running:
            with suppress(subprocess.TimeoutExpired):
                process.wait(max(0.0, deadline - time.monotonic()))
            if process.poll() is None:
                process.kill()
                process.wait()


def start_loop(
    arguments: tuple[str, ...],
    environment: Mapping[str, str],
    output: int,
    *,
    death_signal: signal.Signals = signal.SIGKILL,
) -> "subprocess.Popen[bytes]":
    """Start `loop …` with our Python; it gets the signal when we die. Only for the main thread."""
    return spawn(
        [sys.executable, "-P", "-m", "gateway.cli", *arguments],
        death_signal=death_signal,
        output=output,
        cwd=Path.cwd(),
        env={**os.environ, **environment},
    )
