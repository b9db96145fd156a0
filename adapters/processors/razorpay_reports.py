"""Razorpay's settlements: the settlement recon report, and the same over its API.

A fee has its tax in it, as Razorpay deducts it. Source: razorpay.com/docs/api/settlements.
"""

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any, Final

from adapters.processors.razorpay import RazorpayProcessor
from adapters.processors.razorpay_answers import Json, Problem
from adapters.processors.report_files import Row, money, rows, text_of, time
from commands.processor import Credentials
from commands.settlement_reports import ReportError
from domain.errors import Unavailable
from domain.events import Line, LineKind
from domain.money import Money
from domain.settlement import Entry, Report

if TYPE_CHECKING:
    from adapters.processors.razorpay_sdk import Call

COLUMNS: Final = (
    "entity_id",
    "type",
    "debit",
    "credit",
    "amount",
    "currency",
    "fee",
    "tax",
    "settled",
    "created_at",
    "settled_at",
    "settlement_id",
    "notes",
    "dispute_id",
)
"""That the report must have."""
INDIA: Final = timezone(timedelta(hours=5, minutes=30))
DAY: Final = "%d/%m/%Y"
TIME: Final = "%d/%m/%Y %H:%M:%S"
PAGE: Final = 1000
SETTLEMENTS_PAGE: Final = 100
PAGES_MAX: Final = 1_000


class RazorpayReports:
    """Settlements of Razorpay accounts."""

    def __init__(self, processor: RazorpayProcessor) -> None:
        self._processor = processor

    def parse(self, text: str) -> list[Report]:
        """Read a settlement recon report; what is not settled yet is passed over.

        Raises:
            ReportError: a line is not as Razorpay documents it.
        """
        found: dict[str, tuple[datetime, list[Entry]]] = {}
        for number, row in rows(text, COLUMNS):
            if row["settled"] not in {"0", "1"}:
                raise ReportError(number, f"settled is neither 0 nor 1: {row['settled']!r}")
            if row["settled"] == "0":
                continue
            settlement_id = text_of(number, "settlement_id", row)
            at = time(number, "settled_at", row, DAY, INDIA)
            entry = _parsed(number, row)
            settlement = found.setdefault(settlement_id, (at, []))
            if settlement[0] != at:
                raise ReportError(number, f"{settlement_id} has another day before")
            if settlement[1] and settlement[1][0].line.net.currency != entry.line.net.currency:
                raise ReportError(number, f"{settlement_id} has another currency before")
            settlement[1].append(entry)
        if not found:
            raise ReportError(1, "there are no settlements in it")
        reports = [_report(name, at, entries) for name, (at, entries) in found.items()]
        return sorted(reports, key=lambda report: (report.arrived_at, report.payout_id))

    async def fetch(self, since: datetime, credentials: Credentials) -> list[Report]:
        """Read what was settled since a time.

        Raises:
            Unavailable: `processor_unavailable`.
        """
        settlements = await self._settlements(since, credentials)
        days = {_day(made["created_at"], zone) for made in settlements for zone in (UTC, INDIA)}
        lines: dict[str, dict[str, Json]] = {}
        for day in sorted(days):
            for item in await self._recon(day, credentials):
                lines.setdefault(str(item.get("settlement_id")), {})[item["entity_id"]] = item
        try:
            found = [_fetched(made, list(lines[made["id"]].values())) for made in settlements]
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            message = f"Razorpay's recon is not understood: {type(error).__name__}."
            raise Unavailable("processor_unavailable", message) from None
        return sorted(found, key=lambda report: (report.arrived_at, report.payout_id))

    async def _settlements(self, since: datetime, credentials: Credentials) -> list[Json]:
        asked = {"from": int(since.timestamp()), "count": SETTLEMENTS_PAGE}
        items: list[Json] = []
        for _ in range(PAGES_MAX):
            page = await self._read(credentials, _settlements_call(asked | {"skip": len(items)}))
            items += page
            if len(page) < SETTLEMENTS_PAGE:
                return [item for item in items if item.get("status") == "processed"]
        raise Unavailable("processor_unavailable", "Razorpay's list of settlements does not end.")

    async def _recon(self, day: tuple[int, int, int], credentials: Credentials) -> list[Json]:
        items: list[Json] = []
        for _ in range(PAGES_MAX):
            params = dict(zip(("year", "month", "day"), day, strict=True))
            params |= {"count": PAGE, "skip": len(items)}
            page = await self._read(credentials, _recon_call(params))
            items += page
            if len(page) < PAGE:
                return items
        raise Unavailable("processor_unavailable", "Razorpay's recon of a day does not end.")

    async def _read(self, credentials: Credentials, call: "Call") -> list[Json]:
        page = await self._processor.read(credentials, call)
        if isinstance(page, Problem):
            message = f"Razorpay's settlements cannot be read: {page.cause}."
            raise Unavailable("processor_unavailable", message)
        return page.get("items") or []


def _settlements_call(params: Json) -> "Call":
    return lambda client, options: client.settlement.all(params, **options)


def _recon_call(params: Json) -> "Call":
    return lambda client, options: client.settlement.report(params, **options)


def _day(seconds: int, zone: timezone) -> tuple[int, int, int]:
    at = datetime.fromtimestamp(seconds, zone)
    return at.year, at.month, at.day


def _report(settlement_id: str, at: datetime, entries: list[Entry]) -> Report:
    currency = entries[0].line.net.currency
    return Report(
        processor="razorpay",
        payout_id=settlement_id,
        amount=Money(sum(entry.line.net.minor for entry in entries), currency),
        arrived_at=at,
        entries=tuple(entries),
    )


def _fetched(settlement: Json, items: list[Json]) -> Report:
    """Read a settlement and its lines; the amount is the settlement's own.

    The day of arrival is what a file says of it: midnight in India.
    """
    at = datetime.fromtimestamp(settlement["created_at"], INDIA)
    midnight = at.replace(hour=0, minute=0, second=0, microsecond=0).astimezone(UTC)
    currency = items[0]["currency"].upper()
    return Report(
        processor="razorpay",
        payout_id=settlement["id"],
        amount=Money(settlement["amount"], currency),
        arrived_at=midnight,
        entries=tuple(_read_item(item) for item in items),
    )


def _parsed(number: int, row: Row) -> Entry:
    names = ("debit", "credit", "amount", "fee")
    figures = {name: money(number, name, row, row["currency"]) for name in names}
    try:
        return _entry(row, figures, time(number, "created_at", row, TIME, INDIA))
    except ValueError as error:
        raise ReportError(number, str(error)) from None


def _read_item(item: Json) -> Entry:
    currency = item["currency"].upper()
    figures = {name: Money(item[name], currency) for name in ("debit", "credit", "amount", "fee")}
    return _entry(item, figures, datetime.fromtimestamp(item["created_at"], UTC))


def _entry(item: Mapping[str, Any], figures: Mapping[str, Money], at: datetime) -> Entry:
    """Return a line, from a file or the API.

    Raises:
        ValueError: its figures do not fit together.
    """
    net = figures["credit"] - figures["debit"]
    kind, reference = _kind(item, net.minor)
    fee = figures["fee"] if kind in {"capture", "refund"} else Money(0, net.currency)
    gross = net + fee
    if kind in {"capture", "refund"} and abs(gross.minor) != figures["amount"].minor:
        shown = f"credit {figures['credit']}, debit {figures['debit']}, fee {fee}"
        raise ValueError(f"{shown} and amount {figures['amount']} do not fit together")
    line = Line(
        id=str(item["entity_id"]),
        kind=kind,
        reference=reference,
        gross=gross,
        settled=gross,
        fee=fee,
        at=at,
    )
    return Entry(line=line, order_id=_order(item.get("notes")))


def _kind(item: Mapping[str, Any], net_minor: int) -> tuple[LineKind, str | None]:
    match item["type"]:
        case "payment":
            return "capture", str(item["entity_id"])
        case "refund":
            return "refund" if net_minor <= 0 else "refund_reversal", str(item["entity_id"])
        case "adjustment" if item.get("dispute_id"):
            return "dispute" if net_minor < 0 else "dispute_reversal", str(item["dispute_id"])
        case "adjustment" if item.get("payment_id") and net_minor > 0:
            return "refund_reversal", str(item["payment_id"])
        case _:
            return "other", None


def _order(notes: Any) -> str | None:
    """Return our order from the notes; they are JSON, and not always."""
    if isinstance(notes, str):
        try:
            notes = json.loads(notes)
        except ValueError:
            return None
    named = notes.get("order_id") if isinstance(notes, dict) else None
    return str(named) if named else None
