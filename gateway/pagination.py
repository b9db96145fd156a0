"""Numbered pages, as the dashboard's lists have them: a page, its size, and how many there are."""

from typing import Annotated, ClassVar, Final

from msgspec import Meta

from gateway.bodies import Query
from gateway.views import View

PAGE_MAX: Final = 10_000
"""Whoever wants what is behind it filters, or follows a cursor of `/v1`."""


class PageQueryString(Query, frozen=True, kw_only=True):
    """Which page."""

    NUMBERS: ClassVar[frozenset[str]] = frozenset({"page", "limit"})

    page: Annotated[int, Meta(ge=1, le=PAGE_MAX)] = 1
    limit: Annotated[int, Meta(ge=1, le=100)] = 25

    @property
    def offset(self) -> int:
        """How many rows stand on the pages before."""
        return (self.page - 1) * self.limit


class PaginationView(View, frozen=True, kw_only=True):
    """Where a page stands."""

    page: int
    limit: int
    total: int
    total_pages: int


def pagination(asked: PageQueryString, total: int) -> PaginationView:
    """Return where the page that was asked for stands among `total` rows."""
    pages = -(-total // asked.limit)
    return PaginationView(page=asked.page, limit=asked.limit, total=total, total_pages=pages)
