"""The place in a list that a client sends back, exactly: of orders, accounts and entries."""

from datetime import UTC, datetime, timedelta
from typing import Final

from projections.ledger import Place
from projections.orders import Cursor

PATTERN: Final = r"^[0-9]{16}\.ord_[0-7][0-9a-hjkmnp-tv-z]{25}$"
"""Every text of this form is a cursor: microseconds since 1970, a dot, an order's id."""

ACCOUNT_PATTERN: Final = r"^acc_[1-9][0-9]{0,17}$"
ENTRY_PATTERN: Final = r"^ent_[1-9][0-9]{0,15}_[0-9]{1,2}$"
"""Ids of accounts and entries are their places: both lists are ordered by them."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_TICK: Final = timedelta(microseconds=1)


def cursor_text(cursor: Cursor) -> str:
    """Return the text of a cursor."""
    return f"{(cursor.created_at - _EPOCH) // _TICK:016d}.{cursor.order_id}"


def as_cursor(text: str | None) -> Cursor | None:
    """Return the cursor of a text that matches `PATTERN`."""
    if text is None:
        return None
    micros, order_id = text.split(".")
    return Cursor(_EPOCH + int(micros) * _TICK, order_id)


def account_text(number: int) -> str:
    """Return the id of an account."""
    return f"acc_{number}"


def as_account(text: str | None) -> int | None:
    """Return the number of an id that matches `ACCOUNT_PATTERN`."""
    return int(text.removeprefix("acc_")) if text else None


def entry_text(place: Place) -> str:
    """Return the id of an entry: position and place in the transfer."""
    return f"ent_{place[0]}_{place[1]}"


def as_entry(text: str | None) -> Place | None:
    """Return the place of an id that matches `ENTRY_PATTERN`."""
    if text is None:
        return None
    _, position, n = text.split("_")
    return int(position), int(n)
