"""`loop projections`: how far the read models are."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from gateway.verbs import common

if TYPE_CHECKING:
    from collections.abc import Sequence

    from adapters.read_models import Status


@click.group(epilog="Example: loop projections status", short_help="Look after the read models.")
def projections() -> None:
    """Look after the read models."""


@projections.command(epilog="Example: loop projections status --json")
@common.data_option
@common.json_option
def status(data: Path | None, *, as_json: bool) -> None:
    """Show how far every read model is behind the log.

    Exit code 1 when one stands still or has parked streams.
    """
    from adapters.read_models import projections_status  # noqa: PLC0415 - heavy

    found = common.run(projections_status(common.load(data).database_url))
    if as_json:
        common.print_json(found)
    else:
        _show(found)
    if any(one.error or one.parked for one in found):
        raise SystemExit(1)


def _show(found: "Sequence[Status]") -> None:
    from rich.table import Table  # noqa: PLC0415 - heavy

    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in ("PROJECTION", "TABLES", "POSITION", "HEAD", "LAG", "PARKED", ""):
        table.add_column(name, justify="left" if name in {"PROJECTION", "TABLES", ""} else "right")
    for one in found:
        lag = f"{one.lag_events} ({one.lag_seconds:.1f} s)" if one.lag_events else "0"
        state = f"[red]stands still: {one.error}" if one.error else "[green]moving"
        tables = f"{one.name}_v{one.version}{' live' if one.live else ''}"
        numbers = (str(one.position), str(one.head), lag, str(one.parked))
        table.add_row(one.name, tables, *numbers, state)
    common.console().print(table if found else "no read models yet: no worker has run")
