"""What became of an order between two moments: the fields of its state that differ. Pure."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, Final

import msgspec

from domain.events import Recorded
from domain.metadata import Sealed
from domain.money import Money
from domain.order.evolve import fold
from domain.order.parts import State
from domain.order.state import Order

_DERIVED: Final = ("status", "amount_authorized", "amount_captured", "amount_refunded")
"""What is computed from an order's state and is what people look for first."""


_SHOWN_ELSEWHERE: Final = ("version", "updated_at", "decision")
"""The sides have version and time; a decision never changes."""


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """One field that differs; None where there was or is nothing.

    Attributes:
        path: of the field, for example `attempts[att_01…].status`.
    """

    path: str
    before: Any
    after: Any


class Side(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """An order at one moment, before its first event if all are None."""

    position: int | None
    version: int | None
    recorded_at: datetime | None
    status: str | None


class OrderDiff(msgspec.Struct, frozen=True, kw_only=True):
    """What happened between two moments, and what it changed.

    Attributes:
        earlier: the order at the first of them.
        rows: what was committed between them.
    """

    before: Side
    after: Side
    earlier: Order | None
    rows: tuple[Recorded, ...]
    changes: tuple[Change, ...]


def diff(earlier: Sequence[Recorded], later: Sequence[Recorded]) -> OrderDiff:
    """Compare an order at two moments, each given by its rows up to then, in order."""
    assert list(later[: len(earlier)]) == list(earlier), "the later moment continues the earlier"
    before, after = fold(earlier), fold(later)
    return OrderDiff(
        before=_side(earlier, before),
        after=_side(later, after),
        earlier=before,
        rows=tuple(later[len(earlier) :]),
        changes=tuple(changes(before, after)),
    )


def _side(rows: Sequence[Recorded], order: Order | None) -> Side:
    last = rows[-1] if rows else None
    return Side(
        position=last.position if last else None,
        version=last.version if last else None,
        recorded_at=last.recorded_at if last else None,
        status=order.status if order else None,
    )


def changes(before: Order | None, after: Order | None) -> Iterator[Change]:
    """Yield every field that differs, the status and the amounts first.

    What is new and says no, for example an attempt's `closed`, is not worth a line.
    """
    old, new = dict(_leaves(before)), dict(_leaves(after))
    for path in {**old, **new}:
        is_new_no = path not in old and new[path] is False
        if old.get(path) != new.get(path) and not is_new_no:
            yield Change(path=path, before=old.get(path), after=new.get(path))


def _leaves(order: Order | None) -> Iterator[tuple[str, Any]]:
    """Yield each field's path and value; parts that have an id are named by it."""
    if order is None:
        return
    for name in _DERIVED:
        yield name, getattr(order, name)
    for name in _fields(order):
        yield from _walk(name, getattr(order, name))


def _fields(part: State) -> Iterator[str]:
    yield from (name for name in part.__struct_fields__ if name not in _SHOWN_ELSEWHERE)


def _walk(path: str, value: Any) -> Iterator[tuple[str, Any]]:
    match value:
        case Money():
            yield path, str(value)
        case Sealed():
            yield path, "sealed"
        case State():
            for name in _fields(value):
                yield from _walk(f"{path}.{name}", getattr(value, name))
        case tuple():
            for number, part in enumerate(value):
                name = getattr(part, "id", None) or getattr(part, "payment_id", None) or number
                yield from _walk(f"{path}[{name}]", part)
        case _:
            yield path, value
