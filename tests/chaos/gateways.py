"""`loop serve` as processes of their own, and one that dies between a commit and its answer.

    python -m tests.chaos.gateways before|after serve --port N

runs the `loop` command in a process that sends SIGKILL to itself right before or right after the
first commit that carries an idempotency key.
"""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import wraps
from pathlib import Path
from typing import Final

import httpx

from adapters.embedded.process import free_port
from adapters.group_commit import GroupCommit
from adapters.settings import Settings
from commands.ports import Append
from domain.events import Recorded
from gateway.cli import main

ROOT: Final = Path(__file__).parents[2]
LOOP: Final = ("gateway.cli",)
DEADLINE_S: Final = 60.0


class Gateway:
    """One running `loop serve`."""

    def __init__(self, process: "subprocess.Popen[bytes]", url: str) -> None:
        self.process = process
        self.url = url

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def wait_ready(self) -> None:
        deadline = time.monotonic() + DEADLINE_S
        while True:
            with contextlib.suppress(httpx.TransportError):
                httpx.get(f"{self.url}/health", trust_env=False)
                return
            assert self.process.poll() is None, "the gateway runs"
            assert time.monotonic() < deadline, "the gateway comes up"
            time.sleep(0.02)


def start(settings: Settings, log: Path, *module: str) -> Gateway:
    """Start a gateway without waiting for it."""
    port = free_port()
    with log.open("ab") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", *(module or LOOP), "serve", "--port", str(port)],
            cwd=ROOT,
            env=os.environ | settings.environment(),
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
        )
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


def die_at_commit(*, before: bool) -> None:
    """End this process at its first commit with a key; the database knows, the caller does not."""
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


if __name__ == "__main__":
    die_at_commit(before=sys.argv.pop(1) == "before")
    main()
