"""How Stripe's objects look when they are new."""

from typing import Any, Final

from adapters.sandbox_server.box import Call
from adapters.sandbox_server.currencies import WHOLE_UNITS, converted
from adapters.sandbox_server.ids import stripe_id
from adapters.sandbox_server.wire import Json

HOLD_S: Final = 7 * 86_400
MOVEMENT: Final = "stripe.txn"
_DAY_S: Final = 86_400
_FEE_FIXED: Final = 30


def public(value: Any) -> Any:
    """Give an object without the sandbox's own members."""
    if isinstance(value, dict):
        return {name: public(item) for name, item in value.items() if not name.startswith("_")}
    return [public(item) for item in value] if isinstance(value, list) else value


def charge(call: Call, pi: Json, method: Json, *, captured: bool) -> Json:
    """Give a charge that succeeds."""
    card = method["card"]
    charge_id = stripe_id("ch_")
    details = {name: card[name] for name in ("brand", "country", "exp_month", "exp_year", "last4")}
    multi = pi["_multicapture"] and not captured
    details |= {
        "amount_authorized": pi["amount"],
        "authorization_code": "123456",
        "capture_before": None if captured else call.now + HOLD_S,
        "checks": card["checks"],
        "fingerprint": card["fingerprint"],
        "funding": card["funding"],
        "multicapture": {"status": "available" if multi else "unavailable"},
        "network": card["brand"],
        "network_transaction_id": charge_id[-15:],
        "three_d_secure": None,
        "wallet": None,
    }
    return {
        "id": charge_id,
        "object": "charge",
        "amount": pi["amount"],
        "amount_captured": pi["amount"] if captured else 0,
        "amount_refunded": 0,
        "balance_transaction": None,
        "billing_details": method["billing_details"],
        "calculated_statement_descriptor": "LOOP SANDBOX",
        "captured": captured,
        "created": call.now,
        "currency": pi["currency"],
        "customer": pi["customer"],
        "description": pi["description"],
        "disputed": False,
        "failure_balance_transaction": None,
        "failure_code": None,
        "failure_message": None,
        "fraud_details": {},
        "livemode": False,
        "metadata": pi["metadata"],
        "outcome": {
            "advice_code": None,
            "network_advice_code": None,
            "network_decline_code": None,
            "network_status": "approved_by_network",
            "reason": None,
            "risk_level": "normal",
            "risk_score": 20,
            "seller_message": "Payment complete.",
            "type": "authorized",
        },
        "paid": True,
        "payment_intent": pi["id"],
        "payment_method": method["id"],
        "payment_method_details": {"card": details, "type": "card"},
        "receipt_email": pi["receipt_email"],
        "receipt_url": None,
        "refunded": False,
        "review": None,
        "status": "succeeded",
    }


def fail(charge: Json, error: Json) -> None:
    """Turn a new charge into one that failed."""
    charge.update(
        captured=False,
        amount_captured=0,
        paid=False,
        status="failed",
        failure_code=error.get("code"),
        failure_message=error.get("message"),
    )
    charge["payment_method_details"]["card"]["capture_before"] = None
    charge["outcome"].update(
        advice_code=error.get("advice_code"),
        network_status="declined_by_network",
        reason=error.get("decline_code") or error.get("code"),
        seller_message="The bank did not return any further details with this decline.",
        type="issuer_declined",
    )


def balance_transaction(
    call: Call, kind: str, source: Json, amount: int, *, fee: int | None = None
) -> Json:
    """Store a movement of the account's balance; give it.

    `kind` is charge, refund, refund_failure or adjustment. Amounts are minor units, negative when
    they leave; a fee of None is 2.9 % and 30 of a charge. Where the account is settled in another
    currency the movement is in that one, and so is its fee.
    """
    shown = {"amount": amount, "currency": source["currency"]}
    currency, rate = source["currency"], None
    wanted = str(call.box.option("stripe_settlement_currency")).lower()
    if wanted and wanted != currency:
        amount, exact = converted(amount, currency, wanted, call.now // _DAY_S)
        currency, rate = wanted, float(exact)
    if fee is None:
        step = 100 if currency.upper() in WHOLE_UNITS else 1
        fee = -(-((amount * 29 + 500) // 1000 + _FEE_FIXED) // step) * step
    details = [
        {
            "amount": fee,
            "application": None,
            "currency": currency,
            "description": "Stripe processing fees" if kind == "charge" else "Dispute fee",
            "type": "stripe_fee",
        }
    ]
    made: Json = {
        "id": stripe_id("txn_"),
        "object": "balance_transaction",
        "amount": amount,
        "available_on": call.now + 2 * 86_400,
        "balance_type": "payments",
        "created": call.now,
        "currency": currency,
        "description": None,
        "exchange_rate": rate,
        "fee": fee,
        "fee_details": details if fee else [],
        "net": amount - fee,
        "reporting_category": _category(kind, amount),
        "source": source["id"],
        "status": "pending",
        "type": kind,
        "_customer": shown,
        "_payout": None,
    }
    call.store.add(MOVEMENT, made, account=call.account, parent=source["id"])
    return made


def _category(kind: str, amount: int) -> str:
    if kind == "adjustment":
        return "dispute" if amount < 0 else "dispute_reversal"
    return kind
