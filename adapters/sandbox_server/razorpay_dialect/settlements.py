"""Razorpay's settlements: what has moved goes to the bank, with the recon that explains it."""

import csv
import json
from datetime import datetime, timedelta, timezone
from io import StringIO
from typing import Final

from adapters.sandbox_server.box import Call
from adapters.sandbox_server.ids import razorpay_id
from adapters.sandbox_server.razorpay_dialect.entities import DISPUTE, PAYMENT, REFUND
from adapters.sandbox_server.razorpay_dialect.errors import invalid
from adapters.sandbox_server.razorpay_dialect.fields import collection, load, page, whole
from adapters.sandbox_server.wire import Json, words

SETTLEMENT: Final = "razorpay.settlement"
ITEM: Final = "razorpay.recon"
COUNT_MAX: Final = 1000
INDIA: Final = timezone(timedelta(hours=5, minutes=30))
COLUMNS: Final = words(
    "entity_id type debit credit amount currency fee tax on_hold settled created_at settled_at "
    "settlement_id description notes payment_id arn settlement_utr order_id order_receipt method "
    "upi_flow card_network card_issuer card_type dispute_id additional_utr"
)
"""Of the settlement recon report of the dashboard."""


def settle(call: Call) -> list[Json]:
    """Settle all that has moved since the last time; give the settlements, one per currency.

    Those that failed are tried again, and come first.
    """
    moved: dict[str, list[Json]] = {}
    for item in [*_payments(call), *_refunds(call), *_disputes(call)]:
        moved.setdefault(item["currency"], []).append(item)
    new = [_settled(call, moved[currency]) for currency in sorted(moved)]
    return [*_tried_again(call), *new]


def fails(call: Call, settlement: Json) -> None:
    """Let the bank refuse a settlement; the vendor tries again, under the same id.

    Raises:
        ValueError: it has failed before.
    """
    if settlement["status"] != "processed":
        raise ValueError(f"the settlement is {settlement['status']}")
    settlement["status"] = "failed"
    call.store.save(SETTLEMENT, settlement)


def _tried_again(call: Call) -> list[Json]:
    failed = [s for s in call.store.newest(SETTLEMENT, call.account) if s["status"] == "failed"]
    for settlement in failed:
        settlement["status"] = "processed"
        call.store.save(SETTLEMENT, settlement)
    return failed[::-1]


def listed(call: Call) -> Json:
    """Answer `GET /v1/settlements`."""
    return page(call, SETTLEMENT)


def retrieve(call: Call) -> Json:
    """Answer `GET /v1/settlements/:id`."""
    return load(call, SETTLEMENT)


def recon(call: Call) -> Json:
    """Answer `GET /v1/settlements/recon/combined`: year, month, day in India; count, skip."""
    year, month = whole(call.params, "year"), whole(call.params, "month")
    if year is None or month is None:
        raise invalid("The year and the month are required.", field="year")
    day = whole(call.params, "day")
    count, skip = whole(call.params, "count") or 10, whole(call.params, "skip") or 0
    if not 1 <= count <= COUNT_MAX:
        raise invalid("The count must be between 1 and 1000.", field="count")
    found = [
        item
        for item in reversed(list(call.store.newest(ITEM, call.account)))
        if _is_of(datetime.fromtimestamp(item["settled_at"], INDIA), year, month, day)
    ]
    return collection([_shown(item) for item in found[skip : skip + count]])


def report(call: Call, settlement: Json) -> str:
    """Give the settlement recon report of one settlement, as the dashboard does."""
    text = StringIO()
    out = csv.DictWriter(text, COLUMNS, lineterminator="\n", restval="", extrasaction="ignore")
    out.writeheader()
    for item in call.store.children(ITEM, settlement["id"]):
        money = {n: major(item[n]) for n in ("debit", "credit", "amount", "fee", "tax")}
        made, at = (datetime.fromtimestamp(item[n], INDIA) for n in ("created_at", "settled_at"))
        times = {"created_at": f"{made:%d/%m/%Y %H:%M:%S}", "settled_at": f"{at:%d/%m/%Y}"}
        flags = {"on_hold": 0, "settled": 1}
        blank = {name: "" for name, value in item.items() if value is None}
        notes = {"notes": json.dumps(item["notes"])}
        out.writerow(item | blank | money | times | flags | notes)
    return text.getvalue()


def major(amount: int) -> str:
    """Give paise in rupees, as reports show them."""
    return f"{amount // 100}.{amount % 100:02}"


def _is_of(at: datetime, year: int, month: int, day: int | None) -> bool:
    return (at.year, at.month) == (year, month) and day in (None, at.day)


def _payments(call: Call) -> list[Json]:
    found: list[Json] = []
    for payment in list(call.store.newest(PAYMENT, call.account)):
        if not payment["captured"] or payment.get("_settled"):
            continue
        payment["_settled"] = True
        call.store.save(PAYMENT, payment)
        credit = payment["amount"] - payment["fee"]
        found.append(_item(payment, payment, "payment", credit=credit, fee=True))
    return found[::-1]


def _refunds(call: Call) -> list[Json]:
    """A refund that failed before it was settled is not mentioned; afterwards it is given back."""
    found: list[Json] = []
    for refund in list(call.store.newest(REFUND, call.account)):
        payment = call.store.get(PAYMENT, refund["payment_id"])
        assert payment is not None, refund["payment_id"]
        failed, settled = refund["status"] == "failed", refund.get("_settled")
        if not payment["captured"] or (failed and settled != "out") or (settled and not failed):
            continue
        refund["_settled"] = "back" if failed else "out"
        call.store.save(REFUND, refund)
        if failed:
            item = _item(refund, payment, "adjustment", credit=refund["amount"])
            item |= {"entity_id": razorpay_id("adj_"), "description": "Refund reversed"}
        else:
            item = _item(refund, payment, "refund", debit=refund["amount"])
        found.append(item | {"payment_id": payment["id"]})
    return found[::-1]


def _disputes(call: Call) -> list[Json]:
    found: list[Json] = []
    for dispute in list(call.store.newest(DISPUTE, call.account)):
        payment = call.store.get(PAYMENT, dispute["payment_id"])
        if payment is None or not dispute["amount_deducted"] or dispute.get("_settled"):
            continue
        dispute["_settled"] = True
        call.store.save(DISPUTE, dispute)
        item = _item(dispute, payment, "adjustment", debit=dispute["amount_deducted"])
        item |= {"entity_id": razorpay_id("adj_"), "description": "Dispute lost"}
        found.append(item | {"payment_id": payment["id"], "dispute_id": dispute["id"]})
    return found[::-1]


def _item(
    thing: Json, payment: Json, kind: str, *, debit: int = 0, credit: int = 0, fee: bool = False
) -> Json:
    card = payment.get("card") or {}
    return {
        "entity_id": thing["id"],
        "type": kind,
        "debit": debit,
        "credit": credit,
        "amount": thing["amount"] if kind != "adjustment" else debit or credit,
        "currency": payment["currency"],
        "fee": payment["fee"] if fee else 0,
        "tax": payment["tax"] if fee else 0,
        "on_hold": False,
        "settled": True,
        "created_at": thing["created_at"],
        "posted_at": None,
        "credit_type": "default",
        "description": payment["description"],
        "notes": payment["notes"],
        "payment_id": None,
        "order_id": payment["order_id"],
        "order_receipt": None,
        "method": payment["method"],
        "card_network": card.get("network"),
        "card_issuer": card.get("issuer"),
        "card_type": card.get("type"),
        "dispute_id": None,
    }


def _settled(call: Call, items: list[Json]) -> Json:
    settlement: Json = {
        "id": razorpay_id("setl_"),
        "entity": "settlement",
        "amount": sum(item["credit"] - item["debit"] for item in items),
        "status": "processed",
        "fees": 0,
        "tax": 0,
        "utr": f"{call.now}{razorpay_id('')[:6].lower()}",
        "created_at": call.now,
    }
    call.store.add(SETTLEMENT, settlement, account=call.account)
    for item in items:
        item |= {
            "id": razorpay_id("item_"),
            "settled_at": call.now,
            "settlement_id": settlement["id"],
            "settlement_utr": settlement["utr"],
        }
        call.store.add(ITEM, item, account=call.account, parent=settlement["id"])
    return settlement


def _shown(item: Json) -> Json:
    return {name: value for name, value in item.items() if name != "id"}
