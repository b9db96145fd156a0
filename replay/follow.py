"""Reading the log from its first event to any position, as the domain sees it."""

from collections.abc import AsyncIterator

from adapters.log import Connection, pages
from adapters.read_models import decoded
from domain.events import Recorded


async def follow(
    db: Connection, *, after: int = 0, upto: int | None = None
) -> AsyncIterator[list[Recorded]]:
    """Give the events from position `after` + 1 to `upto`, or to the end, in pages of up to 1000.

    Raises:
        adapters.codec.UnknownTag, adapters.codec.CorruptEvent: a row that cannot be read.
    """
    async for page in pages(db, after, upto):
        yield [decoded(row) for row in page]
