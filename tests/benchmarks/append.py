"""Appends: our event store, the library's default recorder, a plain single-row psycopg insert.

All three are produced in this process, one event an append, on one database: ours by coroutines
through the public interface, the library's by threads, the plain ones on a connection a writer.
"""

import asyncio
from collections.abc import Awaitable, Callable

import psycopg

from tests.benchmarks import bench_append
from tests.benchmarks.measure import Bar, Outcome, Plot, Point, Result, Size, compared, interval
from tests.benchmarks.stack import Servers

WRITERS = (1, 8, 32, 128)
BAR_AT = 32

Rate = Callable[[str, int, float], Awaitable[float]]


async def _library(url: str, writers: int, seconds: float) -> float:
    return await asyncio.to_thread(bench_append.library, url, writers, seconds)


SUBJECTS: dict[str, Rate] = {
    "Loop": bench_append.ours,
    "library": _library,
    "plain insert": bench_append.plain,
}


async def run(servers: Servers, size: Size) -> Outcome:
    """Measure at each number of writers; the three take turns."""
    url = servers.database()
    with psycopg.connect(url, autocommit=True) as db:
        db.execute(bench_append.PLAIN.encode())
    results: list[Result] = []
    lines: dict[str, list[Point]] = {name: [] for name in SUBJECTS}
    for writers in WRITERS:
        rates: dict[str, list[float]] = {name: [] for name in SUBJECTS}
        for _ in range(size.pairs):
            for name, rate in SUBJECTS.items():
                rates[name].append(await rate(url, writers, size.seconds))
        for name, values in rates.items():
            lines[name].append(Point(x=writers, y=interval(values).median))
        results += _results(writers, rates)
    plot = Plot(
        file="append.svg",
        title="Appends of one event",
        x_label="writers",
        y_label="appends/s",
        lines=lines,
        log_x=True,
    )
    return Outcome(results=results, plots=[plot])


def _results(writers: int, rates: dict[str, list[float]]) -> list[Result]:
    name = f"append, {writers} writer{'s' if writers > 1 else ''}"
    bar = Bar(kind="minimum", limit=20) if writers == BAR_AT else None
    ours = rates["Loop"]
    library = "library's default recorder"
    return [
        compared(name, ours, "appends/s", library, rates["library"], bar),
        compared(name, ours, "appends/s", "psycopg INSERT a row", rates["plain insert"]),
    ]
