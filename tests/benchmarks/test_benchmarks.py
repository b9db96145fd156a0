"""The benchmarks' code runs, and their arithmetic is right; nothing is timed here."""

import asyncio
import itertools
from contextlib import closing, suppress
from pathlib import Path

import pytest
import uvloop

from tests.benchmarks import bench_append, http_orders, load, report, run
from tests.benchmarks.measure import Bar, Plot, Point, compared, interleaved, interval, ratios
from tests.benchmarks.plot import svg

FOLDER = Path(__file__).parent


@pytest.mark.parametrize(
    ("values", "low", "high", "confidence"),
    [
        (range(3), 0, 2, 0.75),
        (range(7), 0, 6, 0.984),
        (range(9), 1, 7, 0.961),
        (range(21), 5, 15, 0.973),
    ],
)
def test_the_interval_is_the_narrowest_of_at_least_95_percent(
    values: range, low: float, high: float, confidence: float
) -> None:
    found = interval(values)
    assert (found.low, found.high, found.confidence) == (low, high, confidence)
    assert found.median == values[len(values) // 2]


def test_ratios_are_of_pairs_and_not_of_medians() -> None:
    found = ratios([1, 10, 100], [1, 20, 400])
    assert (found.low, found.median, found.high) == (0.25, 0.5, 1)


@pytest.mark.parametrize(
    ("bar", "low", "high", "met"),
    [
        (Bar(kind="minimum", limit=2), 2.0, 9.0, True),
        (Bar(kind="minimum", limit=2), 1.9, 9.0, False),
        (Bar(kind="maximum", limit=2), 0.1, 2.0, True),
        (Bar(kind="maximum", limit=2), 0.1, 2.1, False),
        (Bar(kind="band", limit=0.1), 0.5, 0.9, True),
        (Bar(kind="band", limit=0.1), 1.1, 1.5, True),
        (Bar(kind="band", limit=0.1), 0.5, 0.89, False),
        (Bar(kind="band", limit=0.1), 1.11, 1.5, False),
    ],
)
def test_a_bar_is_judged_by_the_interval(bar: Bar, low: float, high: float, met: object) -> None:
    assert bar.met_by(low, high) is met


async def test_who_is_first_changes_with_every_pair() -> None:
    turns: list[str] = []
    numbers = itertools.count()

    async def turn(name: str) -> int:
        turns.append(name)
        return next(numbers)

    ours, theirs = await interleaved(3, lambda: turn("a"), lambda: turn("b"))
    assert "".join(turns) == "abbaab"
    assert (ours, theirs) == ([0, 3, 4], [1, 2, 5])


def test_every_benchmark_of_the_folder_is_registered() -> None:
    files = [file.stem for file in FOLDER.glob("[!t]*.py") if "async def run(" in file.read_text()]
    registered = [benchmark.__module__.rpartition(".")[2] for benchmark in run.BENCHMARKS.values()]
    assert sorted(files) == sorted(registered)


def test_a_result_is_a_row_of_the_table() -> None:
    line = compared("x", [10, 20, 30], "a/s", "y", [10, 10, 10], Bar(kind="minimum", limit=2))
    row = report.line(line)
    assert row == "| x | 20 a/s | 2 (1 to 3, 3 pairs, 75%) | y: 10 a/s | ≥ 2 | **no** |"
    assert len(row.split("|")) == len(report.HEAD[0].split("|"))


def test_a_plot_is_drawn_with_all_its_points() -> None:
    points = [Point(x=1, y=3), Point(x=128, y=9)]
    plot = Plot(file="", title="a < b", x_label="", y_label="", lines={"l": points}, log_x=True)
    assert svg(plot).count("<circle") == len(points)
    assert "a &lt; b" in svg(plot)


def test_appends_are_counted(database_url: str) -> None:
    assert uvloop.run(bench_append.ours(database_url, 2, 0.02)) > 0
    assert bench_append.library(database_url, 2, 0.02) > 0


async def test_the_load_generator_counts_answers_and_wrong_statuses() -> None:
    served: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError), closing(writer):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                served.append(head + await reader.readexactly(len(http_orders.BODY)))
                status = b"201 Created" if len(served) % 2 else b"503 Busy"
                writer.write(b"HTTP/1.1 " + status + b"\r\nContent-Length: 2\r\n\r\n")
                await asyncio.sleep(0)
                writer.write(b"{}")

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        job = load.Job(
            host="127.0.0.1",
            port=server.sockets[0].getsockname()[1],
            connections=3,
            seconds=0.2,
            warm_up_s=0,
            requests=[http_orders.post("sk_test_x")],
        )
        found = await load.generate(job)
    assert found.per_second > 0
    assert 0 < found.failed < len(served)
    assert b"X-API-Key: sk_test_x\r\n" in served[0]


def test_every_keyed_request_is_another_one() -> None:
    generator = load.Run(
        load.Job(
            host="",
            port=1,
            connections=1,
            seconds=1,
            warm_up_s=0,
            requests=[http_orders.post("sk_test_x", idempotent=True)],
        )
    )
    first, second = generator.request(), generator.request()
    assert first != second
    head, _, body = first.partition(b"\r\n\r\n")
    assert b"Content-Length: %d\r\n" % len(body) in head + b"\r\n"
    assert load.SERIAL not in first
