"""The `loop` command as a process: started, read, killed, and never left behind."""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

import psutil

from tests.places import in_memory

LOOP = (sys.executable, "-m", "gateway.cli")
DEADLINE_S = 180.0


@contextlib.contextmanager
def folder() -> Iterator[Path]:
    """A folder that does not exist yet, in one that PostgreSQL's own user may pass through."""
    with tempfile.TemporaryDirectory(
        prefix="loop-test-", dir=in_memory(), ignore_cleanup_errors=True
    ) as base:
        Path(base).chmod(0o711)
        yield Path(base, "data")


def environment(**more: str) -> dict[str, str]:
    """Our environment without settings of Loop, and some more."""
    plain = {name: text for name, text in os.environ.items() if not name.startswith("LOOP_")}
    return plain | {"NO_COLOR": "1", "COLUMNS": "120"} | more


def loop(*arguments: str | Path, **more: str) -> "subprocess.CompletedProcess[str]":
    """Run a verb to its end."""
    return subprocess.run(
        [*LOOP, *arguments],
        env=environment(**more),
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )


class Up:
    """A running `loop up --json`."""

    def __init__(self, data: Path, said: TextIO, *arguments: str, **more: str) -> None:
        self.process = subprocess.Popen(
            [*LOOP, "up", "--data", data, "--port", "0", "--json", *arguments],
            env=environment(**more),
            stdout=subprocess.PIPE,
            stderr=said,
            text=True,
        )
        assert self.process.stdout is not None
        self.line = self.process.stdout.readline()
        if not self.line:
            said.seek(0)
            raise AssertionError(f"it ended before it was ready: {said.read()}")
        self.ready: dict[str, Any] = json.loads(self.line)
        self.url: str = self.ready["url"]
        self.headers = {"X-API-Key": self.ready["apiKey"]}

    def everybody(self) -> list[psutil.Process]:
        """All processes that it has started."""
        return psutil.Process(self.process.pid).children(recursive=True)

    def end(self) -> tuple[int, str]:
        """Ask it to end; return the exit code and what else was on stdout."""
        self.process.terminate()
        rest, _ = self.process.communicate(timeout=DEADLINE_S)
        return self.process.returncode, rest

    def kill(self) -> None:
        """End it without a chance to tidy up."""
        self.process.kill()
        self.process.communicate(timeout=DEADLINE_S)


@contextlib.contextmanager
def up(data: Path, *arguments: str, **more: str) -> Iterator[Up]:
    """A running Loop; ended afterwards, if it was not."""
    with tempfile.TemporaryFile("w+") as said:
        running = Up(data, said, *arguments, **more)
        try:
            yield running
        finally:
            if running.process.poll() is None:
                running.end()
