"""`loop replay`: what the log says."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from gateway.verbs import common
from gateway.verbs.as_of import AsOf, Moment, as_of_option, is_by
from gateway.verbs.books import replay_books
from gateway.verbs.replay_why import why

if TYPE_CHECKING:
    from adapters.wiring import Application
    from domain.events import Recorded
    from domain.metadata import Sealed
    from replay.diff import OrderDiff
    from replay.history import Opened

Rows = tuple["Recorded", ...]


@click.group(epilog="Example: loop replay order ord_01…", short_help="What the log says.")
def replay() -> None:
    """Read the log: nothing here asks a read model, `books` alone compares with one."""


replay.add_command(replay_books)
replay.add_command(why)


@replay.command(epilog="Example: loop replay order ord_01jd3v8x2sfy3t6q9m4n7p0r5w --json")
@click.argument("order_id", metavar="ORDER")
@as_of_option
@common.data_option
@common.json_option
def order(order_id: str, as_of: Moment | None, data: Path | None, *, as_json: bool) -> None:
    """Show one order's history: every event, and the status after it.

    With --as-of only what had been committed by then. With --json a list of {position, version,
    recordedAt, tag, metadata, data}; personal data is opened, erased data is null. Exit code 1:
    there is no such order, or there was none then.
    """
    from replay.history import as_json as history_json  # noqa: PLC0415 - heavy

    rows, opened = _read(data, order_id)
    if as_of is not None:
        rows = _by(rows, as_of)
    if as_json:
        common.print_json(history_json(rows, opened))
    else:
        _show(rows, opened)


@replay.command(epilog="Example: loop replay diff ord_01jd3v8x2sfy3t6q9m4n7p0r5w --from 3 --to 7")
@click.argument("order_id", metavar="ORDER")
@click.option("--from", "earlier", type=AsOf(), metavar="TIME|POSITION", required=True)
@click.option("--to", "later", type=AsOf(), metavar="TIME|POSITION", help="[now]")
@common.data_option
@common.json_option
def diff(
    order_id: str, earlier: Moment, later: Moment | None, data: Path | None, *, as_json: bool
) -> None:
    """Show what changed in an order between two moments, and by which events.

    With --json {before, after, events, changes}: both sides as {position, version, recordedAt,
    status}, all null before the order's creation; changes as {path, before, after}. Exit code 1:
    there is no such order, or there was none at --to.
    """
    from replay import diff as differing  # noqa: PLC0415 - heavy
    from replay.history import as_json as history_json  # noqa: PLC0415 - heavy

    rows, opened = _read(data, order_id)
    until = rows if later is None else _by(rows, later)
    since = tuple(row for row in until if is_by(row, earlier))
    found = differing.diff(since, until)
    if as_json:
        sides = {"before": found.before, "after": found.after}
        events = history_json(found.rows, opened)
        common.print_json(sides | {"events": events, "changes": found.changes})
    else:
        _show_diff(order_id, found)


def _read(data: Path | None, order_id: str) -> "tuple[Rows, Opened]":
    settings = common.load(data)
    work = common.with_application(settings, "loop-replay", lambda app: read(app, order_id))
    return common.run(work)


def _by(rows: Rows, moment: Moment) -> Rows:
    """Return what had been committed by then; nothing is exit code 1."""
    found = tuple(row for row in rows if is_by(row, moment))
    if not found:
        created = rows[0]
        raise click.ClickException(
            f"there was no order {created.stream_id} yet: it was created as event "
            f"{created.position}, {created.recorded_at:%Y-%m-%dT%H:%M:%S.%fZ}"
        )
    return found


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


def _show_diff(order_id: str, found: "OrderDiff") -> None:
    from gateway.verbs.screen import change_table, history_lines, side_text  # noqa: PLC0415 - heavy
    from replay.history import moments  # noqa: PLC0415 - heavy

    console = common.console()
    console.print(order_id, style="bold")
    for word, side in (("from", found.before), ("to  ", found.after)):
        console.print(f"{word} ", side_text(side))
    told = moments(found.rows, found.earlier)
    for line in history_lines(told) if told else ():
        console.print(line)
    console.print(change_table(found.changes) if found.changes else "nothing changed")
