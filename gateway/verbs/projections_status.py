"""`loop projections list`, `status`: what read models there are and how far they are."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gateway.verbs import common

if TYPE_CHECKING:
    from collections.abc import Sequence

    from adapters.read_models import Status


@click.command("list", epilog="Example: loop projections list", short_help="What there is.")
@common.data_option
@common.json_option
def list_all(data: Path | None, *, as_json: bool) -> None:
    """Show every read model of this version of Loop, and the generations of its tables."""
    from adapters.read_models import projections_status  # noqa: PLC0415 - heavy

    found = _listed(common.run(projections_status(common.load(data).database_url)))
    if as_json:
        common.print_json(found)
        return
    from rich.table import Table  # noqa: PLC0415 - heavy

    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in ("PROJECTION", "CODE", "KIND", "LIVE", "BUILDING", "KEPT", "TABLES"):
        table.add_column(name)
    for one in found:
        generations = [_versions(one[role]) for role in ("live", "building", "kept")]
        names = (one["name"], str(one["code"]), one["kind"])
        table.add_row(*names, *generations, ", ".join(one["tables"]))
    common.console().print(table)


def _listed(found: "Sequence[Status]") -> list[dict[str, Any]]:
    from projections import PROJECTIONS  # noqa: PLC0415 - heavy
    from projections.base import PerStream  # noqa: PLC0415 - as above

    return [
        {
            "name": name,
            "code": projection.version,
            "kind": "rows per stream" if isinstance(projection, PerStream) else "sums",
            "streams": projection.streams,
            "tables": projection.tables,
        }
        | {
            role: [one.version for one in found if (one.name, one.role) == (name, role)]
            for role in ("live", "building", "kept")
        }
        for name, projection in PROJECTIONS.items()
    ]


def _versions(versions: list[int]) -> str:
    return ", ".join(f"v{version}" for version in versions)


@click.command(epilog="Example: loop projections status --json", short_help="How far they are.")
@common.data_option
@common.json_option
def status(data: Path | None, *, as_json: bool) -> None:
    """Show how far every read model is behind the log.

    Exit code 1 when one stands still, at an event that it cannot apply or because other code made
    its tables, or has parked streams.
    """
    from adapters.read_models import outdated, projections_status  # noqa: PLC0415 - heavy

    found = common.run(projections_status(common.load(data).database_url))
    if as_json:
        common.print_json(found)
    else:
        _show(found)
    stuck = any(one.role != "kept" and (one.error or one.parked) for one in found)
    if stuck or outdated(found):
        raise SystemExit(1)


def _show(found: "Sequence[Status]") -> None:
    from rich.table import Table  # noqa: PLC0415 - heavy

    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in ("PROJECTION", "TABLES", "POSITION", "HEAD", "LAG", "PARKED", ""):
        table.add_column(name, justify="left" if name in {"PROJECTION", "TABLES", ""} else "right")
    for one in found:
        lag = f"{one.lag_events} ({one.lag_seconds:.1f} s)" if one.lag_events else "0"
        lag = "" if one.role == "kept" else lag
        tables = f"{one.name}_v{one.version} {one.role}"
        numbers = (str(one.position), str(one.head), lag, str(one.parked))
        table.add_row(one.name, tables, *numbers, _state(one), style=_style(one))
    common.console().print(table if found else "no read models yet: no worker has run")


def _state(one: "Status") -> str:
    if one.error:
        return f"[red]stands still: {one.error}"
    if one.paused_at:
        return f"[yellow]paused since {one.paused_at:%Y-%m-%d %H:%M:%S} UTC"
    if one.role == "kept":
        return "until `loop projections drop`"
    from adapters.read_models import outdated  # noqa: PLC0415 - heavy

    if outdated([one]):
        return "[yellow]of other code: swap --accept"
    return "[green]moving" if one.role == "live" else "[green]being built"


def _style(one: "Status") -> str:
    return "dim" if one.role == "kept" else ""
