"""`loop projections rebuild --all` in a process that can be killed."""

from collections.abc import Mapping
from pathlib import Path

from tests.forked import Forked


class Rebuilder:
    """Starts rebuilds that can be killed; what the last one printed is in `output`."""

    def __init__(self, environment: Mapping[str, str], output: Path) -> None:
        self.output = output
        self._environment = dict(environment)
        self._process: Forked | None = None

    def start(self) -> None:
        self.output.unlink(missing_ok=True)
        verb = ["projections", "rebuild", "--all", "--json"]
        self._process = Forked(verb, self._environment, self.output)

    @property
    def exit_code(self) -> int | None:
        """None while it runs."""
        return None if self._process is None else self._process.exit_code

    def kill(self) -> None:
        """Send SIGKILL: no handler runs, nothing is flushed."""
        if self._process is not None:
            self._process.kill()
        self._process = None
