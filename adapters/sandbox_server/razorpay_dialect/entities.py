"""How Razorpay's entities look when they are new."""

from typing import Any, Final

from adapters.sandbox_server.box import Call
from adapters.sandbox_server.ids import razorpay_id
from adapters.sandbox_server.razorpay_dialect.errors import REASONS
from adapters.sandbox_server.razorpay_dialect.instruments import Instrument
from adapters.sandbox_server.wire import Json

ORDER: Final = "razorpay.order"
PAYMENT: Final = "razorpay.payment"
REFUND: Final = "razorpay.refund"
DISPUTE: Final = "razorpay.dispute"


def public(value: Any) -> Any:
    """Give an entity without the sandbox's own members."""
    if isinstance(value, dict):
        return {name: public(item) for name, item in value.items() if not name.startswith("_")}
    return [public(item) for item in value] if isinstance(value, list) else value


def payment(call: Call, order: Json | None, fields: Json, instrument: Instrument) -> Json:
    """Give a payment that the customer has begun."""
    amount = order["amount"] if order else fields["amount"]
    card_id = razorpay_id("card_") if instrument.method == "card" else None
    made: Json = {
        "id": razorpay_id("pay_"),
        "entity": "payment",
        "amount": amount,
        "currency": order["currency"] if order else fields["currency"],
        "status": "created",
        "order_id": order["id"] if order else None,
        "invoice_id": None,
        "international": False,
        "method": instrument.method,
        "amount_refunded": 0,
        "refund_status": None,
        "captured": False,
        "description": fields.get("description"),
        "card_id": card_id,
        "bank": None,
        "wallet": None,
        "vpa": instrument.vpa,
        "email": fields.get("email", "customer@example.com"),
        "contact": fields.get("contact", "+919000090000"),
        "notes": fields.get("notes") or [],
        "fee": None,
        "tax": None,
        "error_code": None,
        "error_description": None,
        "error_source": None,
        "error_step": None,
        "error_reason": None,
        "acquirer_data": {"auth_code": None},
        "created_at": call.now,
        "_outcome": instrument.outcome,
        "_s2s": False,
        "_authenticated": instrument.silent,
        "_callback_url": fields.get("callback_url"),
        "_key_id": order["_key_id"] if order else fields["_key_id"],
        "_order_ref": order_ref(order, fields),
    }
    if card_id:
        made["card"] = {
            "id": card_id,
            "entity": "card",
            "name": "Test Customer",
            "last4": instrument.last4,
            "network": instrument.network,
            "type": "credit",
            "issuer": None,
            "international": False,
            "emi": False,
            "sub_type": "consumer",
        }
    return made


def order_ref(order: Json | None, fields: Json) -> str | None:
    """Give the merchant's own order: by the notes, else by the receipt."""
    notes = (order["notes"] if order else fields.get("notes")) or {}
    named = notes.get("order_id") or (order["receipt"] if order else None)
    return str(named) if named else None


def failed(payment: Json, reason: str) -> None:
    """Write into a payment why it failed."""
    code, description, source, step = REASONS[reason]
    payment.update(
        status="failed",
        error_code=code,
        error_description=description,
        error_source=source,
        error_step=step,
        error_reason=reason,
    )
