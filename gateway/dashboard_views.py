"""What the dashboard shows: numbered pages of orders, and statistics of one currency at a time."""

from collections import Counter
from collections.abc import Sequence
from decimal import Decimal
from typing import Annotated, Final, TypeAlias

from msgspec import Meta, Raw

from domain.order.state import OrderStatus
from gateway.pagination import PaginationView
from gateway.views import MinorUnits, OrderView, View
from projections.statistics import DayCount, Statistics

HUNDREDTH: Final = Decimal("0.01")

Exact: TypeAlias = Annotated[Raw, Meta(extra_json_schema={"type": "number"})]
"""A decimal with two places, written as a JSON number digit by digit."""


class OrdersPageView(View, frozen=True, kw_only=True):
    """A numbered page of orders, newest first."""

    data: list[OrderView]
    pagination: PaginationView
    as_of_position: int


class DayVolumeView(View, frozen=True, kw_only=True):
    """The paid orders that were created on one day (UTC)."""

    date: Annotated[str, Meta(extra_json_schema={"format": "date"})]
    amount: MinorUnits
    count: int


class StatusCountView(View, frozen=True, kw_only=True):
    """Orders of one status."""

    status: OrderStatus
    count: int


class ProcessorCountView(View, frozen=True, kw_only=True):
    """Orders whose newest attempt is at one processor."""

    processor: str
    count: int


class CurrencyStatsView(View, frozen=True, kw_only=True):
    """The figures of one currency."""

    currency: str
    total_volume: Annotated[int, Meta(description="Captured, minor units, refunds not deducted.")]
    total_transactions: Annotated[int, Meta(description="Orders.")]
    success_rate: Annotated[Exact, Meta(description="Orders with captured money, per cent.")]
    average_ticket: Annotated[Exact, Meta(description="Volume by orders with captured money.")]


class StatsView(View, frozen=True, kw_only=True):
    """The figures of one currency in full, and of every currency beside each other."""

    total_volume: MinorUnits
    total_transactions: int
    success_rate: Exact
    average_ticket: Exact
    volume_by_day: list[DayVolumeView]
    transactions_by_status: list[StatusCountView]
    transactions_by_processor: list[ProcessorCountView]
    currency: str
    by_currency: list[CurrencyStatsView]
    livemode: bool
    as_of_position: int


def stats_view(found: Statistics, currency: str | None, *, livemode: bool) -> StatsView:
    """Render statistics; without `currency` that with most orders, USD where there are none."""
    counts: Counter[str] = Counter()
    for row in found.rows:
        counts[row.currency] += row.orders
    by_currency = [_currency_view(name, _of(found, name)) for name in sorted(counts)]
    chosen = currency or max(sorted(counts), key=counts.__getitem__, default="USD")
    rows = _of(found, chosen)
    total = _currency_view(chosen, rows)
    return StatsView(
        total_volume=total.total_volume,
        total_transactions=total.total_transactions,
        success_rate=total.success_rate,
        average_ticket=total.average_ticket,
        volume_by_day=_by_day(rows),
        transactions_by_status=_by_status(rows),
        transactions_by_processor=_by_processor(rows),
        currency=chosen,
        by_currency=by_currency,
        livemode=livemode,
        as_of_position=found.as_of_position,
    )


def _of(found: Statistics, currency: str) -> list[DayCount]:
    return [row for row in found.rows if row.currency == currency]


def _currency_view(currency: str, rows: Sequence[DayCount]) -> CurrencyStatsView:
    orders, paid = sum(row.orders for row in rows), sum(row.paid for row in rows)
    volume = sum(row.captured_minor for row in rows)
    return CurrencyStatsView(
        currency=currency,
        total_volume=volume,
        total_transactions=orders,
        success_rate=_ratio(100 * paid, orders),
        average_ticket=_ratio(volume, paid),
    )


def _ratio(part: int, whole: int) -> Raw:
    """Return a quotient to two places, rounded half to even; zero of nothing."""
    exact = Decimal(part) / Decimal(whole) if whole else Decimal(0)
    return Raw(str(exact.quantize(HUNDREDTH)))


def _by_day(rows: Sequence[DayCount]) -> list[DayVolumeView]:
    days = sorted({row.day for row in rows if row.paid})
    return [
        DayVolumeView(
            date=day.isoformat(),
            amount=sum(row.captured_minor for row in rows if row.day == day),
            count=sum(row.paid for row in rows if row.day == day),
        )
        for day in days
    ]


def _by_status(rows: Sequence[DayCount]) -> list[StatusCountView]:
    counts: Counter[OrderStatus] = Counter()
    for row in rows:
        counts[row.status] += row.orders
    return [StatusCountView(status=status, count=n) for status, n in sorted(counts.items())]


def _by_processor(rows: Sequence[DayCount]) -> list[ProcessorCountView]:
    counts: Counter[str] = Counter()
    for row in rows:
        counts[row.processor] += row.orders
    return [
        ProcessorCountView(processor=processor, count=n)
        for processor, n in sorted(counts.items())
        if processor
    ]
