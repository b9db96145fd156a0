"""What Stripe is asked: where, and with which parameters. Pure."""

from typing import Any, Final, Literal, TypeAlias
from urllib.parse import quote

from adapters.processors.stripe_answers import COLLECT
from adapters.processors.stripe_money import to_stripe
from adapters.processors.stripe_problems import Json
from commands.processor import AttemptCall, MoneyCall

CHARGE: Final = ["latest_charge", "latest_charge.balance_transaction"]
"""What comes with a PaymentIntent, whole."""
SPARE: Final[dict[str, str]] = {"confirm": "return_url", "capture": "metadata"}
"""The parameter that a call can do without, where a server does not know it."""

Verb: TypeAlias = Literal["confirm", "capture", "cancel"]
_UNCONFIRMED: Final = frozenset({"requires_payment_method", "requires_confirmation"})
ALLOWED: Final[dict[Verb, frozenset[str]]] = {
    "confirm": _UNCONFIRMED,
    "capture": frozenset({"requires_capture"}),
    "cancel": _UNCONFIRMED | {"requires_action", "requires_capture"},
}
"""The statuses in which a PaymentIntent waits for such a change of ours."""


def path(reference: str) -> str:
    """Return where a PaymentIntent is."""
    return f"payment_intents/{quote(reference, safe='')}"


def creation(call: AttemptCall) -> Json:
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


def confirmation(call: AttemptCall) -> Json:
    """Return a confirmation; where the customer has to authenticate he comes back to our page."""
    return {"expand": CHARGE} | ({"return_url": call.return_url} if call.return_url else {})


def cancellation() -> Json:
    """Return a cancellation."""
    return {"expand": ["latest_charge"]}


def capture(call: MoneyCall) -> Json:
    """Return a capture; raises as above."""
    return {
        "amount_to_capture": to_stripe(call.amount),
        "metadata": {"capture_id": call.subject},
        "expand": CHARGE,
    }


def refund(call: MoneyCall) -> Json:
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
