"""What Razorpay is asked to make: orders and refunds. Pure."""

from adapters.processors import razorpay_answers as answers
from adapters.processors.razorpay_answers import Json
from commands.processor import AttemptCall, MoneyCall


def order(call: AttemptCall) -> Json:
    """Return the order of an attempt; the receipt is ours and makes it once."""
    return {
        "amount": call.amount.minor,
        "currency": call.amount.currency,
        "receipt": call.attempt_id,
        "unique_receipt": True,
        "notes": {
            "order_id": call.order_id,
            "attempt_id": call.attempt_id,
            "merchant_id": call.merchant_id,
            "correlation_id": call.correlation_id,
        },
        "payment": {
            "capture": "manual",
            "capture_options": {
                "manual_expiry_period": int(answers.HOLD.total_seconds() // 60),
                "refund_speed": "normal",
            },
        },
    }


def refund(call: MoneyCall) -> Json:
    """Return a refund; its receipt is ours."""
    return {
        "amount": call.amount.minor,
        "speed": "normal",
        "receipt": call.subject,
        "notes": {
            "refund_id": call.subject,
            "order_id": call.order_id,
            "attempt_id": call.attempt_id,
            "merchant_id": call.merchant_id,
            "correlation_id": call.correlation_id,
        },
    }
