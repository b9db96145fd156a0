"""`loop projections rebuild --all` in a fork of a process that has imported everything."""

import multiprocessing
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

IMPORTED: Final = [
    "uvloop",
    "gateway.verbs.projections_rebuild",
    "adapters.settings",
    "adapters.telemetry",
    "adapters.migrations",
    "adapters.wiring",
    "replay.rebuild",
]


class Rebuilder:
    """Starts rebuilds that can be killed; what the last one printed is in `output`."""

    def __init__(self, environment: Mapping[str, str], output: Path) -> None:
        self.output = output
        self._environment = dict(environment)
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(IMPORTED)
        self._process: multiprocessing.process.BaseProcess | None = None

    def start(self) -> None:
        arguments = (self._environment, str(self.output))
        self._process = self._context.Process(target=rebuild_all, args=arguments)
        self._process.start()

    @property
    def exit_code(self) -> int | None:
        """None while it runs."""
        return None if self._process is None else self._process.exitcode

    def kill(self) -> None:
        """Send SIGKILL: no handler runs, nothing is flushed."""
        if self._process is not None:
            self._process.kill()
            self._process.join()
            self._process.close()
        self._process = None


def rebuild_all(environment: dict[str, str], output: str) -> None:
    """Be the verb."""
    from gateway.verbs.projections import projections  # noqa: PLC0415 - in the fork

    os.environ.update(environment)
    with Path(output).open("wb") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    projections(["rebuild", "--all", "--json"])
