"""A data folder, and a process that can be killed with a stack under it."""

import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from adapters.embedded.stack import EmbeddedStack
from tests.places import in_memory

Supervise = Callable[[str, Path], "subprocess.Popen[str]"]


@pytest.fixture
def data() -> Iterator[Path]:
    """A folder that does not exist yet, in one that every user may pass through."""
    with tempfile.TemporaryDirectory(prefix="loop-test-", dir=in_memory()) as folder:
        Path(folder).chmod(0o711)
        yield Path(folder, "data")


@pytest.fixture(scope="module")
def stack() -> Iterator[EmbeddedStack]:
    """A running stack that the tests of a file share: they leave it running."""
    with tempfile.TemporaryDirectory(prefix="loop-test-", dir=in_memory()) as folder:
        Path(folder).chmod(0o711)
        with EmbeddedStack(Path(folder, "data")) as running:
            yield running


@pytest.fixture
def supervise() -> Iterator[Supervise]:
    """Run `server.start()` of a class of the package in another process; it says "started"."""
    started: list[subprocess.Popen[str]] = []

    def run(name: str, data: Path) -> "subprocess.Popen[str]":
        module, cls = name.rsplit(".", 1)
        program = (
            f"import sys, pathlib; from {module} import {cls}\n"
            f"server = {cls}(pathlib.Path(sys.argv[1])); server.start()\n"
            "print('started', flush=True); sys.stdin.read(); server.stop()"
        )
        process = subprocess.Popen(
            [sys.executable, "-c", program, data],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield run
    for process in started:
        process.kill()
        process.communicate()
