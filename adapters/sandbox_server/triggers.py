"""What happens without the API: what banks and customers do, and the vendor's dashboard."""

from collections.abc import Callable
from typing import Final

from adapters.sandbox_server.box import Box, Call
from adapters.sandbox_server.ids import stripe_id
from adapters.sandbox_server.stripe_dialect import disputes, intents, refunds
from adapters.sandbox_server.stripe_dialect.objects import public
from adapters.sandbox_server.wire import Json


def _stripe(box: Box, asked: Json) -> tuple[Call, Json]:
    payment = asked["payment"]
    call = Call(box=box, account=box.store.account_of(intents.KIND, payment))
    pi = box.store.get(intents.KIND, payment)
    if pi is None:
        raise ValueError(f"no such payment: {payment}")
    return call, pi


def _is_stripe(asked: Json) -> bool:
    return str(asked.get("payment", asked.get("refund", asked.get("dispute", "")))).startswith(
        ("pi_", "re_", "du_")
    )


def dispute(box: Box, asked: Json) -> Json:
    """Open a dispute: `{payment, kind?: open|inquiry|not_received|won|lost, amount?}`."""
    call, pi = _stripe(box, asked)
    charge = intents.charge_of(call, pi)
    opened = disputes.begin(call, charge, asked.get("kind", "open"), amount=asked.get("amount"))
    return public(opened)


def dispute_ends(box: Box, asked: Json) -> Json:
    """Decide a dispute: `{dispute, status: won|lost}`."""
    call = Call(box=box, account="", id=asked["dispute"])
    call.account = box.store.account_of(disputes.KIND, call.id)
    found = disputes.load(call)
    disputes.decide(call, found, asked["status"])
    return public(found)


def refund_failed(box: Box, asked: Json) -> Json:
    """Let a refund come back: `{refund}`."""
    call = Call(box=box, account="", id=asked["refund"])
    call.account = box.store.account_of(refunds.KIND, call.id)
    refund = refunds.load(call)
    refunds.fails(call, refund)
    return public(refund)


def early_fraud_warning(box: Box, asked: Json) -> Json:
    """Warn of fraud: `{payment}`."""
    call, pi = _stripe(box, asked)
    warning: Json = {
        "id": stripe_id("issfr_"),
        "object": "radar.early_fraud_warning",
        "actionable": True,
        "charge": pi["latest_charge"],
        "created": call.now,
        "fraud_type": "misc",
        "livemode": False,
        "payment_intent": pi["id"],
    }
    intents.tell(call, pi, "radar.early_fraud_warning.created", warning)
    return warning


def dashboard_refund(box: Box, asked: Json) -> Json:
    """Refund without the merchant's ids: `{payment, amount?}`."""
    call, pi = _stripe(box, asked)
    charge = intents.charge_of(call, pi)
    amount = asked.get("amount") or charge["amount_captured"] - charge["amount_refunded"]
    made = refunds.make(call, pi, charge, amount, reason=None, metadata={})
    return public(made)


def dashboard_cancel(box: Box, asked: Json) -> Json:
    """Cancel without the merchant's ids: `{payment}`."""
    call, pi = _stripe(box, asked)
    intents.close(call, pi, "requested_by_customer")
    return public(pi)


def dashboard_capture(box: Box, asked: Json) -> Json:
    """Capture without the merchant's ids: `{payment, amount?}`."""
    call, pi = _stripe(box, asked)
    intents.take(call, pi, asked.get("amount") or pi["amount_capturable"], final=True)
    return public(pi)


def fence(box: Box, asked: Json) -> Json:
    """Write into the books that a payment must never capture from now on: `{payment}`."""
    row = box.store.db.execute(
        "SELECT dialect, order_ref, currency FROM money WHERE payment = ?", (asked["payment"],)
    ).fetchone()
    if row is None:
        raise ValueError("no such payment")
    call = Call(box=box, account="")
    call.money(row["dialect"], "fenced", asked["payment"], row["order_ref"], 0, row["currency"])
    return {"fenced": asked["payment"]}


TRIGGERS: Final[dict[str, Callable[[Box, Json], Json]]] = {
    "dispute": dispute,
    "dispute_ends": dispute_ends,
    "refund_failed": refund_failed,
    "early_fraud_warning": early_fraud_warning,
    "dashboard_refund": dashboard_refund,
    "dashboard_cancel": dashboard_cancel,
    "dashboard_capture": dashboard_capture,
    "fence": fence,
}
"""Every trigger by the name in `POST /_sandbox/trigger/:name`."""
