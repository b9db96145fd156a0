"""How orders and their histories look on a terminal."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Final

import msgspec
from rich.console import RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from domain.events import AnyEvent, OrderCreated, Recorded, tag_of
from domain.order.state import Order
from replay.diff import Change, Side
from replay.history import Moment, Opened, actor_in_words, amounts_in_words

STATUS_STYLES: Final = {
    "captured": "green",
    "authorized": "cyan",
    "partially_refunded": "magenta",
    "refunded": "magenta",
    "failed": "red",
    "cancelled": "yellow",
    "expired": "yellow",
    "requires_action": "blue",
    "processing": "blue",
}


def status_text(status: str) -> Text:
    """Return a status in its colour."""
    return Text(status, style=STATUS_STYLES.get(status, ""))


def title(order: Order) -> Text:
    """Return an order's id, status and amounts on one line."""
    words = Text(order.id, style="bold")
    words.append("  ").append_text(status_text(order.status))
    return words.append(f"  {amounts_in_words(order)}", style="")


def personal_lines(first: AnyEvent, opened: Opened) -> Iterator[str]:
    """Yield what an order says about a person, one line a field."""
    if not isinstance(first, OrderCreated) or first.personal is None:
        return
    raw = opened.get(first.personal)
    if raw is None:
        yield "personal data: erased"
        return
    for name, value in msgspec.json.decode(raw).items():
        yield f"{name}: {value}"


def history_table(told: Sequence[Moment]) -> Table:
    """Return the events of one order, oldest first, one row each; for 110 columns or more.

    The tags are shown without their versions.
    """
    table = Table(box=None, header_style="bold dim", pad_edge=False, padding=(0, 2, 0, 0))
    for name in ("POS", "TIME", "EVENT", "FACTS", "AFTER"):
        folds = name == "FACTS"
        table.add_column(
            name,
            justify="right" if name == "POS" else "left",
            no_wrap=not folds,
            overflow="fold" if folds else "ellipsis",
            ratio=1 if folds else None,
        )
    for one in told:
        row = one.row
        cells = (
            str(row.position),
            _time(row),
            Text(_kind(row).rpartition(".")[0], style="bold"),
            one.words,
        )
        table.add_row(*cells, status_text(one.after.status))
    return table


def history_lines(told: Sequence[Moment]) -> Iterator[RenderableType]:
    """Yield the events of one order, oldest first: a line of place, a line of facts."""
    width = max(len(str(one.row.position)) for one in told)
    for one in told:
        row = one.row
        line = Text(f"{row.position:>{width}}  v{row.version:<3} ", style="dim")
        line.append(f"{_time(row)}  ", style="")
        line.append(f"{_kind(row):<26}", style="bold").append_text(status_text(one.after.status))
        yield line
        facts = Text(one.words).append(f"  by {actor_in_words(row.metadata.actor)}", style="dim")
        yield Padding(facts, (0, 0, 0, width + 7))


def side_text(side: Side) -> Text:
    """Return an order's version, place and status at one moment."""
    if side.position is None or side.recorded_at is None or side.status is None:
        return Text("before its creation", style="dim")
    place = f"v{side.version}, event {side.position}, {side.recorded_at:%Y-%m-%d %H:%M:%S}  "
    return Text(place, style="dim").append_text(status_text(side.status))


def change_table(changes: Sequence[Change]) -> Table:
    """Return what changed, one field a row."""
    table = Table(box=None, header_style="bold dim", pad_edge=False, padding=(0, 2, 0, 0))
    for name in ("FIELD", "BEFORE", "AFTER"):
        table.add_column(name, overflow="fold")
    for one in changes:
        before, after = Text(_value(one.before), style="red"), Text(_value(one.after))
        table.add_row(Text(one.path), before, after)
    return table


def _value(value: object) -> str:
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M:%S}"
    return "-" if value is None else str(value)


def _time(row: Recorded) -> str:
    return f"{row.recorded_at:%H:%M:%S.%f}"[:-3]


def _kind(row: Recorded) -> str:
    return tag_of(type(row.data)).removeprefix("order.")
