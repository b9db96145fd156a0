"""Razorpay's disputes: opened, accepted or contested, won or lost."""

from typing import Final

from adapters.sandbox_server.box import Call
from adapters.sandbox_server.ids import razorpay_id
from adapters.sandbox_server.razorpay_dialect import events, lifecycle
from adapters.sandbox_server.razorpay_dialect.entities import DISPUTE, PAYMENT
from adapters.sandbox_server.razorpay_dialect.errors import invalid
from adapters.sandbox_server.razorpay_dialect.fields import load, page
from adapters.sandbox_server.wire import Json

DECIDED_S: Final = 60
RESPOND_S: Final = 7 * 86_400
_ENDED: Final = ("won", "lost", "closed")


def opens(call: Call, asked: Json) -> None:
    """Open a dispute on a payment (timer)."""
    begin(call, load(call, PAYMENT), asked["how"])


def begin(call: Call, payment: Json, how: str, *, amount: int | None = None) -> Json:
    """Open a dispute; the money is deducted when it is lost."""
    dispute: Json = {
        "id": razorpay_id("disp_"),
        "entity": "dispute",
        "payment_id": payment["id"],
        "amount": amount or payment["amount"],
        "currency": payment["currency"],
        "amount_deducted": 0,
        "reason_code": "chargeback",
        "reason_description": "Fraudulent transaction",
        "respond_by": call.now + RESPOND_S,
        "status": "open",
        "phase": "retrieval" if how == "inquiry" else "chargeback",
        "created_at": call.now,
    }
    call.store.add(DISPUTE, dispute, account=call.account, parent=payment["id"])
    events.emit(call, "payment.dispute.created", payment, dispute=dispute)
    if how in ("won", "lost"):
        call.box.schedule("razorpay.dispute_ends", call, dispute["id"], DECIDED_S, status=how)
    return dispute


def ends(call: Call, asked: Json) -> None:
    """Decide a dispute (timer)."""
    decide(call, load(call, DISPUTE), asked["status"])


def decide(call: Call, dispute: Json, status: str) -> None:
    """End a dispute; nothing happens to one that has ended."""
    if dispute["status"] in _ENDED:
        return
    payment = load(call, PAYMENT, dispute["payment_id"])
    dispute["status"] = status
    if status == "lost":
        dispute["amount_deducted"] = dispute["amount"]
        lifecycle.money(call, payment, "withdrawn", dispute["amount"])
    call.store.save(DISPUTE, dispute)
    events.emit(call, f"payment.dispute.{status}", payment, dispute=dispute)


def retrieve(call: Call) -> Json:
    """Answer `GET /v1/disputes/:id`."""
    return load(call, DISPUTE)


def listed(call: Call) -> Json:
    """Answer `GET /v1/disputes`."""
    return page(call, DISPUTE)


def accept(call: Call) -> Json:
    """Answer `POST /v1/disputes/:id/accept`: the merchant gives in."""
    dispute = _open(call)
    decide(call, dispute, "lost")
    return dispute


def contest(call: Call) -> Json:
    """Answer `PATCH /v1/disputes/:id/contest`; `action: submit` puts it under review."""
    dispute = _open(call)
    dispute["evidence"] = dict(call.params)
    if call.params.get("action") == "submit":
        dispute["status"] = "under_review"
    call.store.save(DISPUTE, dispute)
    if dispute["status"] == "under_review":
        payment = load(call, PAYMENT, dispute["payment_id"])
        events.emit(call, "payment.dispute.under_review", payment, dispute=dispute)
    return dispute


def _open(call: Call) -> Json:
    dispute = load(call, DISPUTE)
    if dispute["status"] in _ENDED:
        raise invalid("Action not allowed when dispute is in this status.")
    return dispute
