"""The place in a list that a client sends back: time of creation and id, exactly."""

from datetime import UTC, datetime, timedelta
from typing import Final

from projections.orders import Cursor

PATTERN: Final = r"^[0-9]{16}\.ord_[0-7][0-9a-hjkmnp-tv-z]{25}$"
"""Every text of this form is a cursor: microseconds since 1970, a dot, an order's id."""

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
