"""How orders and their histories look on a terminal."""

from collections.abc import Iterator, Sequence
from typing import Final

import msgspec
from rich.table import Table
from rich.text import Text

from domain.events import AnyEvent, OrderCreated, tag_of
from domain.order.state import Order
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


def history_table(told: Sequence[Moment], *, wide: bool) -> Table:
    """Return the events of one order, oldest first; `wide` adds versions, days and actors."""
    table = Table(box=None, header_style="bold dim", pad_edge=False, padding=(0, 2, 0, 0))
    names = ("POS", "V", "TIME", "EVENT", "WHO", "FACTS", "AFTER")
    for name in names if wide else (n for n in names if n not in {"V", "WHO"}):
        folds = name in {"FACTS", "WHO"}
        table.add_column(
            name,
            justify="right" if name in {"POS", "V"} else "left",
            no_wrap=not folds,
            overflow="fold" if folds else "ellipsis",
            ratio=1 if name == "FACTS" else None,
        )
    for one in told:
        table.add_row(*_cells(one, wide=wide))
    return table


def _cells(one: Moment, *, wide: bool) -> list[Text]:
    row = one.row
    time = f"{row.recorded_at:%Y-%m-%d %H:%M:%S.%f}" if wide else f"{row.recorded_at:%H:%M:%S.%f}"
    kind = tag_of(type(row.data)).removeprefix("order.").removesuffix(".v1")
    cells = [Text(str(row.position)), Text(time[:-3], style="dim"), Text(kind, style="bold")]
    if wide:
        cells.insert(1, Text(str(row.version)))
        cells.append(Text(actor_in_words(row.metadata.actor), style="dim"))
    return [*cells, Text(one.words), status_text(one.after.status)]
