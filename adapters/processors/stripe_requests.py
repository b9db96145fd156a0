"""What Stripe is asked: where, and with which parameters. Pure."""

from typing import Any, Final
from urllib.parse import quote

from adapters.processors.stripe_money import to_stripe
from commands.processor import AttemptCall, MoneyCall

from adapters.processors.stripe_answers import COLLECT

CHARGE: Final = ["latest_charge", "latest_charge.balance_transaction"]
"""What comes with a PaymentIntent, whole."""


def path(reference: str) -> str:
    """Return where a PaymentIntent is."""
    return f"payment_intents/{quote(reference, safe='')}"


def creation(call: AttemptCall) -> Any:
    """Return the PaymentIntent of an attempt.

    Raises:
        ValueError: Stripe cannot take exactly this amount.
    """
    metadata = {
        "order_id": call.order_id,
        "attempt_id": call.attempt_id,
        "merchant_id": call.merchant_id,
        "correlation_id": call.correlation_id,
    }
    params: dict[str, Any] = {
        "amount": to_stripe(call.amount),
        "currency": call.amount.currency.lower(),
        "capture_method": "manual",
        "payment_method_types": ["card"],
        "metadata": metadata,
    }
    if call.token is None:
        metadata["card"] = COLLECT
    elif call.token.startswith("tok_"):
        params["payment_method_data"] = {"type": "card", "card": {"token": call.token}}
    else:
        params["payment_method"] = call.token
    return params


def capture(call: MoneyCall) -> Any:
    """Return a capture; raises as above."""
    return {
        "amount_to_capture": to_stripe(call.amount),
        "metadata": {"capture_id": call.subject},
        "expand": CHARGE,
    }


def refund(call: MoneyCall) -> Any:
    """Return a refund; raises as above."""
    return {
        "payment_intent": call.reference,
        "amount": to_stripe(call.amount),
        "metadata": {
            "refund_id": call.subject,
            "order_id": call.order_id,
            "attempt_id": call.attempt_id,
            "merchant_id": call.merchant_id,
            "correlation_id": call.correlation_id,
        },
    }
