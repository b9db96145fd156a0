"""Where results go: `results.json`, the table in README.md between its markers, plots as SVG."""

import os
import platform
from pathlib import Path

import msgspec
import psycopg

from tests.benchmarks.measure import Interval, Outcome, Result
from tests.benchmarks.plot import svg

FOLDER = Path(__file__).parent
RESULTS = FOLDER / "results.json"
README = FOLDER / "README.md"
BEGIN, END = "<!-- results: written by make bench -->", "<!-- end of results -->"
POSTGRES = ("server_version", "fsync", "synchronous_commit", "wal_sync_method", "shared_buffers")


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """What one benchmark left: merged into `results.json` by its name."""

    benchmark: str
    results: list[Result]


def machine(database_url: str) -> str:
    """Describe what it was measured on."""
    with psycopg.connect(database_url) as db:
        found = [
            (name, db.execute("SELECT current_setting(%s)", [name]).fetchone()) for name in POSTGRES
        ]
    settings = ", ".join(f"{name} = {row[0]}" for name, row in found if row)
    return (
        f"{os.cpu_count()} cores ({platform.machine()}, {platform.system()}), "
        f"Python {platform.python_version()}; embedded PostgreSQL: {settings}; "
        f"embedded NATS with its defaults. Servers, load generator and whoever else used the "
        f"machine shared the cores; load average at the end {os.getloadavg()[1]:.1f}."
    )


def write(benchmark: str, outcome: Outcome, *, command: str, machine: str) -> None:
    """Write what one benchmark found; those of the others stay as they were."""
    merged = read() | {benchmark: outcome.results}
    lines = [line(result) for results in merged.values() for result in results]
    RESULTS.write_bytes(
        msgspec.json.format(
            msgspec.json.encode([_entry(n, r) for n, rs in merged.items() for r in rs])
        )
        + b"\n"
    )
    for plot in outcome.plots:
        (FOLDER / plot.file).write_text(svg(plot), encoding="utf-8")
    table = [f"Last command: `{command}`. {machine}", "", *HEAD, *lines]
    _replace("\n".join(table))


def _entry(benchmark: str, result: Result) -> dict[str, object]:
    return {"benchmark": benchmark, **msgspec.structs.asdict(result)}


def read() -> dict[str, list[Result]]:
    """Return the results of earlier runs, by benchmark."""
    found: dict[str, list[Result]] = {}
    if RESULTS.exists():
        for raw in msgspec.json.decode(RESULTS.read_bytes()):
            found.setdefault(raw.pop("benchmark"), []).append(msgspec.convert(raw, Result))
    return found


HEAD = (
    "| what | ours | ratio, interval | against | bar | met |",
    "|---|---:|---|---|---|---|",
)


def line(result: Result) -> str:
    """Return a row of the table."""
    met = {True: "yes", False: "**no**", None: ""}[result.met]
    ratio = _ratio(result.ratio) if result.ratio else ""
    value = f"{number(result.value)} {result.unit}"
    cells = (result.name, value, ratio, result.against or "", result.bar or "", met)
    return f"| {' | '.join(cells)} |"


def _ratio(ratio: Interval) -> str:
    interval = f"{number(ratio.low)} to {number(ratio.high)}"
    return f"{number(ratio.median)} ({interval}, {ratio.pairs} pairs, {ratio.confidence:.0%})"


def number(value: float) -> str:
    """Write a number with three figures, or whole."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _replace(text: str) -> None:
    readme = README.read_text(encoding="utf-8")
    before, rest = readme.split(BEGIN, 1)
    after = rest.split(END, 1)[1]
    README.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{after}", encoding="utf-8")
