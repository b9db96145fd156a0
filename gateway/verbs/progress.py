"""Bars for what reads a long log: how much is done, how fast, and how long it still takes."""

import contextlib
import time
from collections.abc import Callable, Iterator

from gateway.verbs import common

Show = Callable[[str, int, int], None]
"""Told what is being done, how much is done, and how much there is."""


@contextlib.contextmanager
def bar(words: str) -> Iterator[Callable[[int, int], None]]:
    """Show a bar on stderr where somebody looks; the yielded function takes done and total."""
    with bars() as begin:
        show = begin("")
        yield lambda done, total: show(words, done, total)


@contextlib.contextmanager
def bars() -> Iterator[Callable[[str], Show]]:
    """Show any number of bars on stderr where somebody looks; the yielded function begins one.

    Rates count what was done since the bar began, not what was there before.
    """
    from rich import progress as rich_bars  # noqa: PLC0415 - heavy

    columns = (
        rich_bars.TextColumn("{task.description}"),
        rich_bars.TextColumn("{task.fields[words]}"),
        rich_bars.BarColumn(),
        rich_bars.MofNCompleteColumn(),
        rich_bars.TextColumn("{task.fields[rate]}"),
        rich_bars.TimeRemainingColumn(),
    )
    console = common.console(stderr=True)
    with rich_bars.Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    ) as shown:

        def begin(name: str) -> Show:
            task, began = shown.add_task(name, total=None, words="", rate=""), time.monotonic()
            first: list[int] = []

            def show(words: str, done: int, total: int) -> None:
                if not first:
                    first.append(done)
                rate = f"{(done - first[0]) / max(time.monotonic() - began, 0.001):,.0f}/s"
                shown.update(task, completed=done, total=total, words=words, rate=rate)

            return show

        yield begin
