"""Stripe's payouts: what has moved goes to the bank, with the report that explains it."""

import csv
from datetime import UTC, datetime
from io import StringIO
from typing import Final

from adapters.sandbox_server import currencies
from adapters.sandbox_server.box import Call
from adapters.sandbox_server.ids import stripe_id
from adapters.sandbox_server.stripe_dialect.objects import MOVEMENT
from adapters.sandbox_server.wire import Json, words

KIND: Final = "stripe.payout"
COLUMNS: Final = words(
    "automatic_payout_id automatic_payout_effective_at balance_transaction_id created_utc "
    "available_on_utc currency gross fee net reporting_category source_id description "
    "customer_facing_amount customer_facing_currency charge_id payment_intent_id "
    "payment_metadata[order_id]"
)
"""Of the itemized payout reconciliation report, with the merchant's order as metadata."""


def pay_out(call: Call) -> list[Json]:
    """Pay out all that has moved since the last time; give the payouts, one per currency."""
    moved: dict[str, list[Json]] = {}
    for movement in call.store.newest(MOVEMENT, call.account):
        if movement["_payout"] is None and movement["type"] != "payout":
            moved.setdefault(movement["currency"], []).append(movement)
    return [_paid(call, currency, moved[currency]) for currency in sorted(moved)]


def fails(call: Call, payout: Json) -> None:
    """Let the bank send a payout back: what it took is in the balance again, for the next one.

    Raises:
        ValueError: it has failed before.
    """
    if payout["status"] != "paid":
        raise ValueError(f"the payout is {payout['status']}")
    (own,) = [
        movement
        for movement in call.store.children(MOVEMENT, payout["id"])
        if movement["type"] == "payout"
    ]
    returned: Json = {
        **own,
        "id": stripe_id("txn_"),
        "amount": payout["amount"],
        "available_on": call.now,
        "created": call.now,
        "net": payout["amount"],
        "reporting_category": "payout_reversal",
        "type": "payout_failure",
        "_customer": {"amount": payout["amount"], "currency": payout["currency"]},
        "_payout": None,
    }
    call.store.add(MOVEMENT, returned, account=call.account, parent=payout["id"])
    payout.update(
        status="failed",
        failure_balance_transaction=returned["id"],
        failure_code="account_closed",
        failure_message="The bank account has been closed.",
    )
    call.store.save(KIND, payout)


def report(call: Call, payout: Json) -> str:
    """Give the itemized payout reconciliation report of one payout, as the dashboard does."""
    text = StringIO()
    out = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    out.writeheader()
    for movement in reversed(list(call.store.newest(MOVEMENT, call.account))):
        if movement["_payout"] == payout["id"] and movement["type"] != "payout":
            out.writerow(_row(call, payout, movement))
    return text.getvalue()


def _paid(call: Call, currency: str, movements: list[Json]) -> Json:
    payout_id = stripe_id("po_")
    none: list[Json] = []
    amount = sum(movement["net"] for movement in movements)
    own = {
        **movements[0],
        "id": stripe_id("txn_"),
        "amount": -amount,
        "created": call.now,
        "exchange_rate": None,
        "fee": 0,
        "fee_details": none,
        "net": -amount,
        "reporting_category": "payout",
        "source": payout_id,
        "status": "available",
        "type": "payout",
        "_payout": payout_id,
    }
    call.store.add(MOVEMENT, own, account=call.account, parent=payout_id)
    for movement in movements:
        movement.update(_payout=payout_id, status="available")
        call.store.save(MOVEMENT, movement)
    payout: Json = {
        "id": payout_id,
        "object": "payout",
        "amount": amount,
        "arrival_date": call.now,
        "automatic": True,
        "balance_transaction": own["id"],
        "created": call.now,
        "currency": currency,
        "description": "STRIPE PAYOUT",
        "destination": stripe_id("ba_"),
        "failure_balance_transaction": None,
        "failure_code": None,
        "failure_message": None,
        "livemode": False,
        "metadata": {},
        "method": "standard",
        "original_payout": None,
        "reconciliation_status": "completed",
        "reversed_by": None,
        "source_type": "card",
        "statement_descriptor": None,
        "status": "paid",
        "type": "bank_account",
    }
    call.store.add(KIND, payout, account=call.account)
    return payout


def _row(call: Call, payout: Json, movement: Json) -> Json:
    source = _source(call, movement["source"])
    charge = _source(call, source.get("charge")) if "charge" in source else source
    intent = _source(call, source.get("payment_intent"))
    sign = 1 if movement["amount"] >= 0 else -1
    shown = movement["_customer"]
    return {
        "automatic_payout_id": payout["id"],
        "automatic_payout_effective_at": _time(payout["arrival_date"]),
        "balance_transaction_id": movement["id"],
        "created_utc": _time(movement["created"]),
        "available_on_utc": _time(movement["available_on"]),
        "currency": movement["currency"],
        "gross": major(movement["amount"], movement["currency"]),
        "fee": major(movement["fee"], movement["currency"]),
        "net": major(movement["net"], movement["currency"]),
        "reporting_category": movement["reporting_category"],
        "source_id": movement["source"],
        "description": movement["description"] or "",
        "customer_facing_amount": major(sign * abs(shown["amount"]), shown["currency"]),
        "customer_facing_currency": shown["currency"],
        "charge_id": charge.get("id", ""),
        "payment_intent_id": intent.get("id", ""),
        "payment_metadata[order_id]": intent.get("metadata", {}).get("order_id", ""),
    }


def _source(call: Call, object_id: str | None) -> Json:
    kinds = {"ch": "stripe.charge", "re": "stripe.refund", "du": "stripe.dispute"}
    kinds |= {"pi": "stripe.payment_intent"}
    kind = kinds.get((object_id or "").partition("_")[0])
    return (call.store.get(kind, object_id) if kind and object_id else None) or {}


def major(amount: int, currency: str) -> str:
    """Give an amount of Stripe's in the currency's major unit, as reports show it."""
    digits = currencies.decimals(currency)
    sign, text = ("-" if amount < 0 else ""), str(abs(amount)).zfill(digits + 1)
    return (
        f"{sign}{text[: len(text) - digits]}.{text[len(text) - digits :]}"
        if digits
        else (sign + text)
    )


def _time(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S")
