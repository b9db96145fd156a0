"""`loop serve` as processes of their own, and one that dies between a commit and its answer."""

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator
from functools import wraps
from pathlib import Path
from typing import Final

import httpx

from adapters.embedded.process import free_port
from adapters.group_commit import GroupCommit
from adapters.settings import Settings
from commands.append import Append
from domain.events import Recorded
from tests.forked import Forked

DEADLINE_S: Final = 60.0


class Gateway:
    """One running `loop serve`."""

    def __init__(self, process: Forked, url: str) -> None:
        self.process = process
        self.url = url

    def kill(self) -> None:
        self.process.kill()

    def wait_ready(self) -> None:
        deadline = time.monotonic() + DEADLINE_S
        while True:
            with contextlib.suppress(httpx.TransportError):
                httpx.get(f"{self.url}/health", trust_env=False)
                return
            assert self.process.exit_code is None, "the gateway runs"
            assert time.monotonic() < deadline, "the gateway comes up"
            time.sleep(0.02)


def start(settings: Settings, log: Path, prepare: Callable[[], None] | None = None) -> Gateway:
    """Start a gateway without waiting for it."""
    port = free_port()
    verb = ["serve", "--port", str(port)]
    process = Forked(verb, settings.environment(), log, prepare)
    return Gateway(process, f"http://127.0.0.1:{port}")


@contextlib.contextmanager
def gateways(settings: Settings, log: Path, count: int) -> Iterator[list[Gateway]]:
    """So many gateways on one database."""
    running: list[Gateway] = []
    try:
        running.extend(start(settings, log) for _ in range(count))
        for gateway in running:
            gateway.wait_ready()
        yield running
    finally:
        for gateway in running:
            gateway.kill()


def dies_before() -> None:
    """End this process right before its first commit that carries an idempotency key."""
    _die_at_commit(before=True)


def dies_after() -> None:
    """End it right after that commit: the database knows, the caller does not."""
    _die_at_commit(before=False)


def _die_at_commit(*, before: bool) -> None:
    append = GroupCommit.append

    @wraps(append)
    async def dying(writer: GroupCommit, what: Append) -> tuple[Recorded, ...]:
        if before and what.idempotency is not None:
            os.kill(os.getpid(), signal.SIGKILL)
        rows = await append(writer, what)
        if what.idempotency is not None:
            os.kill(os.getpid(), signal.SIGKILL)
        return rows

    GroupCommit.append = dying  # type: ignore[method-assign]
