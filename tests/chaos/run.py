"""`make chaos`: a storm of kills, then a hostile run at both vendors; exits 1 if a promise broke.

python -m tests.chaos.run --seed 7 --seconds 600 --kills 1000
python -m tests.chaos.run --only hostile --orders 2000
"""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import click
import msgspec
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from tests.chaos.hostile import FAULTS_MIN, HostileReport, hostile
from tests.chaos.storm import Report, storm
from tests.chaos.verdict import Verdict

ORDERS: Final = 2000
PARTS: Final = ("storm", "hostile")


@click.command()
@click.option("--seed", default=1, show_default=True, help="Who is killed when, what goes wrong.")
@click.option("--seconds", default=60.0, show_default=True, help="How long each of the two lasts.")
@click.option("--kills", type=int, help="How many kills of the storm.  [1.2 a second]")
@click.option("--orders", default=ORDERS, show_default=True, help="How many the hostile run sells.")
@click.option("--faults", default=FAULTS_MIN, show_default=True, help="How often each must strike.")
@click.option("--only", type=click.Choice(PARTS), help="One of the two.")
@click.option("--keep", type=click.Path(path_type=Path), help="A new folder for logs and data.")
@click.option("--json", "as_json", is_flag=True, help="The reports as one JSON value on stdout.")
def main(
    seed: int,
    seconds: float,
    kills: int | None,
    orders: int,
    faults: int,
    only: str | None,
    keep: Path | None,
    *,
    as_json: bool,
) -> None:
    """Kill what there is of a working Loop, let both vendors go wrong, and judge what is left."""
    reports: dict[str, Report | HostileReport] = {}
    wanted = kills or max(1, int(seconds * 1.2))
    if only != "hostile":
        with _bar(wanted) as progress:
            reports["storm"] = storm(
                seed=seed, seconds=seconds, kills=wanted, progress=progress, keep=_below(keep, 0)
            )
    if only != "storm":
        with _bar(orders) as progress:
            reports["hostile"] = hostile(
                seed=seed,
                seconds=seconds,
                orders=orders,
                faults_min=faults,
                progress=progress,
                keep=_below(keep, 1),
            )
    if as_json:
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(reports)).decode() + "\n")
    else:
        for report in reports.values():
            show(report)
    sys.exit(1 if any(report.failures for report in reports.values()) else 0)


def _below(keep: Path | None, part: int) -> Path | None:
    return None if keep is None else keep / PARTS[part]


@contextmanager
def _bar(wanted: int) -> Iterator[Callable[[int, str], None]]:
    err = Console(stderr=True)
    columns = (TextColumn("{task.description:18}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeElapsedColumn(), console=err) as bar:
        task = bar.add_task("starting", total=wanted)

        def progress(done: int, phase: str) -> None:
            bar.update(task, description=phase, completed=done or wanted)

        yield progress


def show(report: Report | HostileReport) -> None:
    """Print a report for people."""
    out = Console(highlight=False)
    lines = _of_storm(report) if isinstance(report, Report) else _of_hostile(report)
    for line in lines:
        out.print(line)
    _show_verdicts(out, report.verdicts, report.failures)


def _of_storm(report: Report) -> "Iterator[Table | str]":
    kills = Table("killed", "times", "inside", title=f"{report.seconds} s, seed {report.seed}")
    for kind, count in report.kills.items():
        kills.add_row(kind, str(count), str(report.inside.get(kind, 0)))
    kills.add_row("all", str(sum(report.kills.values())), f"{report.share_inside:.1%}")
    yield kills
    yield f"open at these moments: {report.open}"
    yield f"{report.events} events, {report.acknowledged} acknowledged to somebody"
    yield f"at rest after {report.rest_s} s; ended by themselves: {report.ended or 'none'}"


def _of_hostile(report: HostileReport) -> "Iterator[Table | str]":
    title = f"{report.orders} orders in {report.seconds} s, seed {report.seed}"
    faults = Table("fault", "struck", title=title)
    for name, count in report.faults.items():
        faults.add_row(name, str(count))
    yield faults
    yield f"{report.kills} workers killed, {report.between} between an intent and its outcome"
    yield f"sold {report.kinds}"
    share = report.captured / max(1, report.good)
    yield f"{report.captured} of {report.good} with a good card captured ({share:.1%})"
    yield f"came to {report.statuses}, {report.events} events, at rest after {report.rest_s} s"
    yield f"merchants heard {report.odd or 'nothing odd'}"
    yield f"webhooks {report.webhooks}"
    yield f"refused without a fault: {report.answers or 'nothing'}"
    yield f"ended by themselves: {report.ended or 'none'}"


def _show_verdicts(out: Console, verdicts: Sequence[Verdict], failures: Sequence[str]) -> None:
    for verdict in verdicts:
        mark = "BROKEN" if verdict.wrong else "ok"
        out.print(f"{mark:7}{verdict.promise} ({verdict.looked_at})")
    for failure in failures:
        out.print(failure, style="red", markup=False)


if __name__ == "__main__":
    main()
