"""The moment that a verb is asked about: a position of the log, or a time."""

from datetime import datetime
from typing import TYPE_CHECKING, Any

import click
from typing_extensions import override

if TYPE_CHECKING:
    from domain.events import Recorded

Moment = datetime | int
"""A position, or a time of commits with its zone."""


class AsOf(click.ParamType[Moment]):
    """`1042`, or `2026-11-20T10:00:00Z`."""

    name = "MOMENT"

    @override
    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if isinstance(value, int | datetime):
            return value
        if value.isascii() and value.isdecimal():
            return int(value)
        try:
            at = datetime.fromisoformat(value)
        except ValueError:
            at = None
        if at is None or at.tzinfo is None:
            self.fail(f"{value!r} is neither a position nor a time like 2026-11-20T10:00:00Z.")
        return at


as_of_option = click.option(
    "--as-of",
    type=AsOf(),
    metavar="TIME|POSITION",
    help="As it was then; a time has its zone.  [now]",
)


def is_by(row: "Recorded", moment: Moment) -> bool:
    """Tell whether a row had been committed by then."""
    return row.position <= moment if isinstance(moment, int) else row.recorded_at <= moment
