"""The driver: runs benchmarks on embedded servers with fsync, one after the other.

    make bench                 all, full size (about 40 minutes)
    make bench QUICK=1         all, small (below 5 minutes)
    make bench ONLY=append     one or several, separated by commas
    make bench ARGS="--pairs 21 --orders 1000000"

A benchmark is a module with `run(servers, size) -> Outcome` and one line of `BENCHMARKS`.
"""

import argparse
import asyncio
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec
import structlog
import uvloop
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from tests.benchmarks import (
    append,
    catch_up,
    growth,
    http_orders,
    idle,
    merchants,
    report,
    stripe_worker,
    webhooks,
    whole_life,
)
from tests.benchmarks.measure import Outcome, Size
from tests.benchmarks.stack import Servers, servers

Benchmark = Callable[[Servers, Size], Awaitable[Outcome]]

BENCHMARKS: dict[str, Benchmark] = {
    "append": append.run,
    "http": http_orders.run,
    "life": whole_life.run,
    "webhooks": webhooks.run,
    "merchants": merchants.run,
    "catch_up": catch_up.run,
    "growth": growth.run,
    "idle": idle.run,
    "stripe_worker": stripe_worker.run,
}
FULL = Size(pairs=9, seconds=2.0, orders=1_000_000, lives=1000, events=200_000, steps=10)
QUICK = Size(pairs=3, seconds=0.6, orders=50_000, lives=200, events=25_000, steps=2)


async def measure(chosen: list[str], size: Size, found: Servers, command: str) -> None:
    """Run benchmarks one by one; show and keep each one's lines when it is done."""
    console = Console(stderr=True)
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        for n, name in enumerate(chosen, 1):
            task = progress.add_task(f"{name} ({n} of {len(chosen)})")
            outcome = await BENCHMARKS[name](found, size)
            progress.remove_task(task)
            for result in outcome.results:
                console.print(report.line(result), markup=False, highlight=False, soft_wrap=True)
            described = report.machine(found.postgres.url)
            report.write(name, outcome, command=command, machine=described)


def main() -> None:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", default="", metavar="NAMES")
    for field in msgspec.structs.fields(Size):
        parser.add_argument(f"--{field.name}", type=field.type, help="instead of the size's own")
    options = parser.parse_args()
    chosen = [name for name in options.only.split(",") if name] or list(BENCHMARKS)
    if unknown := [name for name in chosen if name not in BENCHMARKS]:
        parser.error(f"no benchmark {', '.join(unknown)}: there are {', '.join(BENCHMARKS)}")
    size = QUICK if options.quick else FULL
    given = {field: getattr(options, field) for field in Size.__struct_fields__}
    given = {field: value for field, value in given.items() if value is not None}
    size = msgspec.structs.replace(size, **given)
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory())
    command = "make bench" + (" QUICK=1" if options.quick else "")
    command += f" ONLY={options.only}" if options.only else ""
    more = " ".join(f"--{field} {value}" for field, value in given.items())
    command += f' ARGS="{more}"' if more else ""
    with (
        tempfile.TemporaryDirectory(prefix="loop-bench-") as folder,
        servers(Path(folder)) as found,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        runner.run(measure(chosen, size, found, command))


if __name__ == "__main__":
    main()
