"""The dashboard's reads: numbered pages of orders, and statistics."""

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final, TypeAlias

import msgspec
from litestar import Request, Response, get
from msgspec import Meta

from domain.order.state import OrderStatus
from gateway import examples
from gateway.auth import authenticated, deps_of
from gateway.bodies import Currency, ProcessorName, Query, Text255, Time
from gateway.dashboard_views import OrdersPageView, StatsView, stats_view
from gateway.decode import query
from gateway.errors import invalid
from gateway.operation import Operation, answer
from gateway.pagination import PageQueryString, pagination
from gateway.routes.orders import currency_of
from gateway.views import render_orders
from projections.orders import Filters

_DAY: Final = timedelta(days=1)
_TICK: Final = timedelta(microseconds=1)
_DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_END: Final = datetime.max.replace(tzinfo=UTC)
_NEITHER: Final = "is neither a time with its zone nor a day"

Moment: TypeAlias = Annotated[
    str, Meta(extra_json_schema={"anyOf": [{"format": "date-time"}, {"format": "date"}]})
]
"""A time with its zone, or a day (UTC)."""


Begin: TypeAlias = Annotated[Moment, Meta(description="Inclusive.")]
End: TypeAlias = Annotated[Moment, Meta(description="A time, exclusive; a day, inclusive.")]


class DashboardOrdersQueryString(PageQueryString, frozen=True, kw_only=True):
    """A page of orders, and what it is narrowed to."""

    status: OrderStatus | None = None
    processor: ProcessorName | None = None
    currency: Currency | None = None
    begin: Begin | None = msgspec.field(name="from", default=None)
    end: End | None = msgspec.field(name="to", default=None)
    q: (
        Annotated[Text255, Meta(description="An order's, external or processor's id, whole.")]
        | None
    ) = None


class StatsQueryString(Query, frozen=True, kw_only=True):
    """Which days, and which currency is shown in full."""

    begin: Begin | None = msgspec.field(name="from", default=None)
    end: End | None = msgspec.field(name="to", default=None)
    currency: Annotated[Currency, Meta(description="By default that with most orders.")] | None = (
        None
    )


def _first(given: str | None) -> datetime | None:
    """Return the first moment of what was asked for.

    Raises:
        Refused: it is neither a time nor a day.
    """
    return _moment("from", given) if given else None


def _last(given: str | None) -> datetime | None:
    """Return the last moment of what was asked for, to a microsecond.

    Raises:
        Refused: it is neither a time nor a day, or nothing can be before it.
    """
    if not given:
        return None
    moment = _moment("to", given)
    if _DATE.fullmatch(given):
        return moment + (_DAY - _TICK)
    if moment == datetime.min.replace(tzinfo=UTC):
        raise invalid("to", "has nothing before it")
    return moment - _TICK


def _moment(name: str, given: str) -> datetime:
    try:
        if _DATE.fullmatch(given):
            return datetime.fromisoformat(given).replace(tzinfo=UTC)
        return msgspec.convert(given, Time).astimezone(UTC)
    except (ValueError, OverflowError, msgspec.ValidationError):
        raise invalid(name, _NEITHER) from None


ORDERS = Operation(
    id="listDashboardOrders",
    tag="Dashboard",
    summary="List orders by page",
    description="Newest first. `GET /v1/orders` gives the same with cursors.",
    scope="payments:read",
    answer=OrdersPageView,
    example=examples.ORDERS_PAGE,
    query=DashboardOrdersQueryString,
)
STATS = Operation(
    id="getStats",
    tag="Dashboard",
    summary="Statistics of your orders",
    description=(
        "An order counts at the day (UTC) of its creation, with the status and processor that it "
        "has now. Amounts are captured money, minor units; currencies are never summed. Times are "
        "taken as the days that they lie in. `asOfPosition` says how far the figures have seen "
        "the log."
    ),
    scope="payments:read",
    answer=StatsView,
    example=examples.STATS,
    query=StatsQueryString,
)


@get("/api/orders", opt={"operation": ORDERS})
async def list_orders(request: Request[Any, Any, Any]) -> Response[bytes]:
    """Answer one numbered page from the read model."""
    caller = await authenticated(request, "payments:read")
    asked = query(request, DashboardOrdersQueryString)
    last = _last(asked.end)
    filters = Filters(
        status=asked.status,
        processor=asked.processor,
        currency=currency_of(asked.currency) if asked.currency else None,
        created_from=_first(asked.begin),
        created_to=last + _TICK if last and last < _END else None,
        search=asked.q,
    )
    deps = deps_of(request)
    page, total = await deps.read_models.orders_numbered(
        merchant_id=caller.merchant_id,
        mode=caller.mode,
        filters=filters,
        offset=asked.offset,
        limit=asked.limit,
    )
    view = OrdersPageView(
        data=await render_orders(deps.ports, [row.order for row in page.rows]),
        pagination=pagination(asked, total),
        as_of_position=page.as_of_position,
    )
    return answer(view)


@get("/api/dashboard/stats", opt={"operation": STATS})
async def read_stats(request: Request[Any, Any, Any]) -> Response[bytes]:
    """Answer the figures of whole days."""
    caller = await authenticated(request, "payments:read")
    asked = query(request, StatsQueryString)
    currency = currency_of(asked.currency) if asked.currency else None
    first, last = _first(asked.begin), _last(asked.end)
    found = await deps_of(request).read_models.statistics(
        merchant_id=caller.merchant_id,
        mode=caller.mode,
        first=first.date() if first else None,
        last=last.date() if last else None,
    )
    return answer(stats_view(found, currency, livemode=caller.mode == "live"))


ROUTES = (list_orders, read_stats)
