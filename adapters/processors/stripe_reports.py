"""Stripe's payouts: the itemized payout reconciliation report, and the same over its API.

Sources: docs.stripe.com/reports/report-types/payout-reconciliation, docs.stripe.com/api/payouts.
"""

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any, Final

from adapters.processors.report_files import Row, money, rows, text_of, time
from adapters.processors.stripe import StripeProcessor
from adapters.processors.stripe_money import from_stripe
from adapters.processors.stripe_problems import Json, Problem
from commands.processor import Credentials
from commands.settlement_reports import ReportError
from domain.errors import Unavailable
from domain.events import Line, LineKind
from domain.money import Money
from domain.settlement import Entry, Report

COLUMNS: Final = (
    "automatic_payout_id",
    "automatic_payout_effective_at",
    "balance_transaction_id",
    "created_utc",
    "currency",
    "gross",
    "fee",
    "net",
    "reporting_category",
    "source_id",
    "customer_facing_amount",
    "customer_facing_currency",
)
"""That the report must have; `payment_metadata[order_id]` helps where it is there."""
ORDER: Final = "payment_metadata[order_id]"
TIME: Final = "%Y-%m-%d %H:%M:%S"
PAGES_MAX: Final = 10_000
"""Pages of 100 that are read of one list."""

KINDS: Final[dict[str, LineKind]] = {
    "charge": "capture",
    "refund": "refund",
    "refund_failure": "refund_reversal",
    "dispute": "dispute",
    "dispute_reversal": "dispute_reversal",
    "fee": "fee",
    "network_cost": "fee",
    "payout_reversal": "payout_reversal",
}
"""Of Stripe's reporting categories; all others are not Loop's."""


class StripeReports:
    """Payouts of Stripe accounts."""

    def __init__(self, processor: StripeProcessor) -> None:
        self._processor = processor

    def parse(self, text: str) -> list[Report]:
        """Read an itemized payout reconciliation report.

        Raises:
            ReportError: a line is not as Stripe documents it.
        """
        payouts: dict[str, tuple[datetime, str, list[Entry]]] = {}
        for number, row in rows(text, COLUMNS):
            payout_id = text_of(number, "automatic_payout_id", row)
            arrived_at = time(number, "automatic_payout_effective_at", row, TIME)
            entry = _parsed(number, row)
            payout = payouts.setdefault(payout_id, (arrived_at, row["currency"], []))
            if payout[:2] != (arrived_at, row["currency"]):
                raise ReportError(number, f"{payout_id} has another time or currency before")
            if any(other.line.id == entry.line.id for other in payout[2][-1:]):
                raise ReportError(number, f"{entry.line.id} is there twice")
            payout[2].append(entry)
        if not payouts:
            raise ReportError(1, "there are no payouts in it")
        return sorted(
            (_report(name, *parts) for name, parts in payouts.items()),
            key=lambda report: (report.arrived_at, report.payout_id),
        )

    async def fetch(self, since: datetime, credentials: Credentials) -> list[Report]:
        """Read what was paid out since a time, and the failed payouts whose money is in it again.

        Raises:
            Unavailable: `processor_unavailable`.
        """
        only = {"created": {"gte": int(since.timestamp())}, "status": "paid"}
        payouts = await self._all(credentials, lambda c: c.v1.payouts.list_async, only)
        found = {payout["id"]: await self._of(payout, credentials) for payout in payouts}
        while came_back := _came_back(found.values()) - found.keys():
            for payout_id in sorted(came_back):
                payout = await self._payout(payout_id, credentials)
                found[payout_id] = await self._of(payout, credentials)
        return sorted(found.values(), key=lambda report: (report.arrived_at, report.payout_id))

    async def _payout(self, payout_id: str, credentials: Credentials) -> Json:
        payout = await self._processor.read(
            credentials,
            lambda client, options: client.v1.payouts.retrieve_async(payout_id, None, options),
        )
        if isinstance(payout, Problem):
            message = f"Stripe's payout {payout_id} cannot be read: {payout.cause}."
            raise Unavailable("processor_unavailable", message)
        return payout

    async def _of(self, payout: Json, credentials: Credentials) -> Report:
        asked = {"payout": payout["id"], "expand": ["data.source"]}
        moved = await self._all(credentials, lambda c: c.v1.balance_transactions.list_async, asked)
        try:
            entries = tuple(_read(one) for one in reversed(moved) if one["type"] != "payout")
            return Report(
                processor="stripe",
                payout_id=payout["id"],
                amount=from_stripe(payout["amount"], payout["currency"]),
                arrived_at=datetime.fromtimestamp(payout["arrival_date"], UTC),
                entries=entries,
            )
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            cause = type(error).__name__
            message = f"Payout {payout['id']} is not understood: {cause}."
            raise Unavailable("processor_unavailable", message) from None

    async def _all(
        self, credentials: Credentials, of: Callable[[Any], Any], asked: Json
    ) -> list[Json]:
        """Read a list to its end, newest first."""
        items: list[Json] = []
        for _ in range(PAGES_MAX):
            params: Any = asked | {"limit": 100}
            if items:
                params["starting_after"] = items[-1]["id"]
            page = await self._processor.read(
                credentials, lambda client, options, p=params: of(client)(p, options)
            )
            if isinstance(page, Problem):
                message = f"Stripe's payouts cannot be read: {page.cause}."
                raise Unavailable("processor_unavailable", message)
            items += page.get("data") or []
            if not page.get("has_more"):
                return items
        raise Unavailable("processor_unavailable", "Stripe's list of payouts does not end.")


def _came_back(reports: Iterable[Report]) -> set[str]:
    """Return the payouts that failed, and whose money was paid out with these."""
    lines = (entry.line for report in reports for entry in report.entries)
    return {x.reference for x in lines if x.kind == "payout_reversal" and x.reference is not None}


def _report(payout_id: str, arrived_at: datetime, _: str, entries: list[Entry]) -> Report:
    first = entries[0].line.net
    return Report(
        processor="stripe",
        payout_id=payout_id,
        amount=Money(sum(entry.line.net.minor for entry in entries), first.currency),
        arrived_at=arrived_at,
        entries=tuple(entries),
    )


def _parsed(number: int, row: Row) -> Entry:
    settled, fee, net = (money(number, n, row, row["currency"]) for n in ("gross", "fee", "net"))
    if settled - fee != net:
        raise ReportError(number, f"gross {settled} less fee {fee} is not net {net}")
    kind = KINDS.get(text_of(number, "reporting_category", row), "other")
    shown = row["customer_facing_currency"]
    gross = settled
    if shown and shown.upper() != settled.currency:
        amount = money(number, "customer_facing_amount", row, shown)
        gross = Money(_signed(amount.minor, settled.minor), amount.currency)
    line = Line(
        id=text_of(number, "balance_transaction_id", row),
        kind=kind,
        reference=row["source_id"] or None,
        gross=gross,
        settled=settled,
        fee=fee,
        at=time(number, "created_utc", row, TIME),
    )
    return Entry(line=line, order_id=row.get(ORDER) or None)


def _read(movement: Json) -> Entry:
    """Read a balance transaction whose source is expanded."""
    settled = from_stripe(movement["amount"], movement["currency"])
    source: Any = movement["source"]
    whole: Json = source if isinstance(source, dict) else {}
    gross = settled
    if movement.get("exchange_rate") is not None:
        taken = whole["amount_captured"] if whole["object"] == "charge" else whole["amount"]
        shown = from_stripe(taken, whole["currency"])
        gross = Money(_signed(shown.minor, settled.minor), shown.currency)
    rate = movement.get("exchange_rate")
    line = Line(
        id=movement["id"],
        kind=KINDS.get(movement["reporting_category"], "other"),
        reference=whole.get("id") or source or None,
        gross=gross,
        settled=settled,
        fee=from_stripe(movement["fee"], movement["currency"]),
        at=datetime.fromtimestamp(movement["created"], UTC),
        rate=None if rate is None else str(rate),
    )
    return Entry(line=line, order_id=(whole.get("metadata") or {}).get("order_id"))


def _signed(minor: int, like: int) -> int:
    """Return an amount with the sign of another; what customers see has none of its own."""
    return abs(minor) if like >= 0 else -abs(minor)
