"""`make chaos`: a storm with a seed, a length and a number of kills; exits 1 if a promise broke.

python -m tests.chaos.run --seed 7 --seconds 600 --kills 1000
"""

import sys
from pathlib import Path

import click
import msgspec
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from tests.chaos.storm import Report, storm


@click.command()
@click.option("--seed", default=1, show_default=True, help="Who is killed when.")
@click.option("--seconds", default=60.0, show_default=True, help="How long the storm lasts.")
@click.option("--kills", type=int, help="How many kills.  [1.2 a second]")
@click.option("--keep", type=click.Path(path_type=Path), help="A new folder for logs and data.")
@click.option("--json", "as_json", is_flag=True, help="The report as one JSON value on stdout.")
def main(seed: int, seconds: float, kills: int | None, keep: Path | None, *, as_json: bool) -> None:
    """Kill processes, backends and servers of a working Loop, then judge what is left."""
    wanted = kills or max(1, int(seconds * 1.2))
    err = Console(stderr=True)
    columns = (TextColumn("{task.description:15}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeElapsedColumn(), console=err) as bar:
        task = bar.add_task("starting", total=wanted)

        def progress(done: int, phase: str) -> None:
            bar.update(task, description=phase, completed=done or wanted)

        report = storm(seed=seed, seconds=seconds, kills=wanted, progress=progress, keep=keep)
    if as_json:
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(report)).decode() + "\n")
    else:
        show(report)
    sys.exit(1 if report.failures else 0)


def show(report: Report) -> None:
    """Print the report for people."""
    out = Console(highlight=False)
    kills = Table("killed", "times", "inside", title=f"{report.seconds} s, seed {report.seed}")
    for kind, count in report.kills.items():
        kills.add_row(kind, str(count), str(report.inside.get(kind, 0)))
    kills.add_row("all", str(sum(report.kills.values())), f"{report.share_inside:.1%}")
    out.print(kills)
    out.print(f"open at these moments: {report.open}")
    out.print(f"{report.events} events, {report.acknowledged} acknowledged to somebody")
    out.print(f"at rest after {report.rest_s} s; ended by themselves: {report.ended or 'none'}")
    for verdict in report.verdicts:
        mark = "BROKEN" if verdict.wrong else "ok"
        out.print(f"{mark:7}{verdict.promise} ({verdict.looked_at})")
    for failure in report.failures:
        out.print(failure, style="red", markup=False)


if __name__ == "__main__":
    main()
