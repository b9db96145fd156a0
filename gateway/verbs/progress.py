"""A bar for what reads a long log: how much is done, how fast, and how long it still takes."""

import contextlib
import time
from collections.abc import Callable, Iterator

from gateway.verbs import common


@contextlib.contextmanager
def bar(words: str) -> Iterator[Callable[[int, int], None]]:
    """Show a bar on stderr where somebody looks; the yielded function takes done and total."""
    from rich import progress as bars  # noqa: PLC0415 - heavy

    columns = (
        bars.TextColumn(words),
        bars.BarColumn(),
        bars.MofNCompleteColumn(),
        bars.TextColumn("{task.fields[rate]}"),
        bars.TimeRemainingColumn(),
    )
    console = common.console(stderr=True)
    with bars.Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    ) as shown:
        task, began = shown.add_task("", total=None, rate=""), time.monotonic()

        def show(done: int, total: int) -> None:
            rate = f"{done / max(time.monotonic() - began, 0.001):,.0f}/s"
            shown.update(task, completed=done, total=total, rate=rate)

        yield show
