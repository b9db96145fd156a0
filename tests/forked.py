"""`loop` in forks of a process that has imported everything: its start takes milliseconds."""

import multiprocessing
import os
import signal
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

IMPORTED: Final = [
    "uvloop",
    "stripe",
    "razorpay",
    "adapters.metrics",
    "adapters.migrations",
    "adapters.settings",
    "adapters.telemetry",
    "adapters.wiring",
    "adapters.worker",
    "gateway.app",
    "gateway.parts",
    "gateway.server",
    "gateway.verbs.projections_rebuild",
    "gateway.verbs.serve",
    "gateway.verbs.work",
    "replay.rebuild",
]
_context: Final = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(IMPORTED)


class Forked:
    """A verb of `loop` as a process of its own; its output is added to `output`.

    `prepare` is called in the process before the verb; it must be a function of a module.
    """

    def __init__(
        self,
        verb: Sequence[str],
        environment: Mapping[str, str],
        output: Path,
        prepare: Callable[[], None] | None = None,
    ) -> None:
        arguments = (list(verb), dict(environment), str(output), prepare)
        self._process = _context.Process(target=_be, args=arguments, daemon=True)
        self._process.start()

    @property
    def exit_code(self) -> int | None:
        """None while it runs, negative after a signal."""
        return self._process.exitcode

    def wait(self, timeout_s: float) -> int | None:
        """Give the exit code, None if it still runs after so long."""
        self._process.join(timeout_s)
        return self.exit_code

    def kill(self) -> int:
        """Send SIGKILL: no handler runs, nothing is flushed; return the exit code."""
        self._process.kill()
        return self._ended()

    def stop(self, timeout_s: float) -> int:
        """Ask it to end, and kill it if it does not; return the exit code."""
        self._process.terminate()
        if self.wait(timeout_s) is None:
            self._process.kill()
        return self._ended()

    def _ended(self) -> int:
        self._process.join()
        code = self._process.exitcode
        assert code is not None
        return code


def _be(
    verb: list[str], environment: dict[str, str], output: str, prepare: Callable[[], None] | None
) -> None:
    from gateway.cli import cli  # noqa: PLC0415 - in the fork

    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ.update(environment)
    with Path(output).open("ab") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    if prepare is not None:
        prepare()
    cli(verb, prog_name="loop")
