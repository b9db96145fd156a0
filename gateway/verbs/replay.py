"""`loop replay`: what the log says."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from gateway.verbs import common

if TYPE_CHECKING:
    from adapters.wiring import Application
    from domain.events import Recorded
    from domain.metadata import Sealed
    from replay.history import Opened


@click.group(epilog="Example: loop replay order ord_01…", short_help="What the log says.")
def replay() -> None:
    """Read the log: nothing here asks a read model."""


@replay.command(epilog="Example: loop replay order ord_01jd3v8x2sfy3t6q9m4n7p0r5w --json")
@click.argument("order_id", metavar="ORDER")
@common.data_option
@common.json_option
def order(order_id: str, data: Path | None, *, as_json: bool) -> None:
    """Show one order's history: every event, and the status after it.

    With --json a list of {position, version, recordedAt, tag, metadata, data}; personal data is
    opened, erased data is null. Exit code 1: there is no such order.
    """
    from replay.history import as_json as history_json  # noqa: PLC0415 - heavy

    settings = common.load(data)
    work = common.with_application(settings, "loop-replay", lambda app: read(app, order_id))
    rows, opened = common.run(work)
    if as_json:
        common.print_json(history_json(rows, opened))
    else:
        _show(rows, opened)


async def read(app: "Application", order_id: str) -> "tuple[tuple[Recorded, ...], Opened]":
    """Return the rows of an order and what is sealed in them, opened.

    Raises:
        NotFound: there is no such order.
    """
    from domain.errors import NotFound  # noqa: PLC0415 - heavy
    from domain.ids import is_id  # noqa: PLC0415 - heavy
    from replay.history import sealed_in  # noqa: PLC0415 - heavy

    rows: tuple[Recorded, ...] = ()
    if is_id(order_id, "ord"):
        rows = (await app.ports.store.load([order_id]))[order_id]
    if not rows:
        raise NotFound("not_found", f"there is no order {order_id} in this log")
    boxes: list[Sealed] = [box for row in rows for box in sealed_in(row.data)]
    opened = await app.ports.vault.open(boxes) if boxes else []
    return rows, dict(zip(boxes, opened, strict=True))


def _show(rows: "tuple[Recorded, ...]", opened: "Opened") -> None:
    from gateway.verbs.screen import history_lines, personal_lines, title  # noqa: PLC0415 - heavy
    from replay.history import moments  # noqa: PLC0415 - heavy

    told = moments(rows)
    console = common.console()
    console.print(title(told[-1].after))
    for line in personal_lines(rows[0].data, opened):
        console.print(line, style="dim")
    console.print(f"created {rows[0].recorded_at:%Y-%m-%d %H:%M:%S} UTC", style="dim")
    for line in history_lines(told):
        console.print(line)
