"""Razorpay's error envelope, its errors, and the reasons for which payments fail."""

from typing import Any, Final

from adapters.sandbox_server.wire import Answer, Json, html_answer, json_answer

BAD_REQUEST: Final = "BAD_REQUEST_ERROR"


class RazorpayError(Exception):
    """A request that ends in an error and has had no effect."""

    def __init__(self, status: int, error: Json) -> None:
        super().__init__(error["description"])
        self.status = status
        self.error = error


def _error(code: str, description: str, **extra: Any) -> Json:
    blank: Json = {"source": "NA", "step": "NA", "reason": "NA", "metadata": {}}
    return {"code": code, "description": description, **blank, **extra}


def invalid(description: str, *, status: int = 400, field: str | None = None) -> RazorpayError:
    """Give the error of a request that is wrong, or that the object's state refuses."""
    more: Json = {"field": field} if field else {}
    step = "payment_initiation" if status == 400 else "NA"  # noqa: PLR2004 - a bad request
    error = _error(
        BAD_REQUEST,
        description,
        source="business",
        step=step,
        reason="input_validation_failed",
        **more,
    )
    return RazorpayError(status, error)


def unauthenticated(description: str = "Authentication failed") -> RazorpayError:
    """Give the error of a key that is not good."""
    return RazorpayError(401, _error(BAD_REQUEST, description))


def missing() -> RazorpayError:
    """Give the error of an object that is not there, or is another account's."""
    return invalid("The id provided does not exist")


def envelope(error: RazorpayError) -> Answer:
    """Give an error as an answer."""
    return json_answer(error.status, {"error": error.error})


_FAILURES: Final = {
    401: (BAD_REQUEST, "Authentication failed"),
    409: (BAD_REQUEST, "Request failed because another request with this key is in progress"),
    429: (BAD_REQUEST, "Request failed. Too many requests, please try after some time"),
    502: ("GATEWAY_ERROR", "The gateway request failed"),
    504: ("GATEWAY_ERROR", "The gateway request timed out"),
}
_SERVER_ERROR: Final = (
    "SERVER_ERROR",
    "We are facing some trouble completing your request at the moment. Please try again shortly.",
)


def failure(status: int, *, html: bool = False) -> Answer:
    """Give the answer of a fault: what Razorpay, or a proxy before it, says with this status."""
    if html:
        return html_answer(status, f"<html><body><h1>{status} Bad Gateway</h1></body></html>")
    code, description = _FAILURES.get(status, _SERVER_ERROR)
    return json_answer(status, {"error": _error(code, description)})


_GATEWAY: Final = "GATEWAY_ERROR"
REASONS: Final = {
    "card_declined": (
        BAD_REQUEST,
        "Your payment didn't go through as it was declined by the bank.",
        "issuer_bank",
        "payment_authorization",
    ),
    "insufficient_funds": (
        BAD_REQUEST,
        "Your payment didn't go through as your account has insufficient funds.",
        "customer",
        "payment_authorization",
    ),
    "payment_risk_check_failed": (
        BAD_REQUEST,
        "Your payment was declined for security reasons.",
        "internal",
        "payment_initiation",
    ),
    "card_expired": (BAD_REQUEST, "Your card has expired.", "customer", "payment_authorization"),
    "debit_instrument_blocked": (
        BAD_REQUEST,
        "Your card is blocked.",
        "issuer_bank",
        "payment_authorization",
    ),
    "card_disabled_for_online_payments": (
        BAD_REQUEST,
        "Your card is not enabled for online payments.",
        "issuer_bank",
        "payment_authorization",
    ),
    "card_number_invalid": (
        BAD_REQUEST,
        "Your card's number is not valid.",
        "customer",
        "payment_initiation",
    ),
    "authentication_failed": (
        BAD_REQUEST,
        "Your payment has been cancelled as the authentication failed.",
        "customer",
        "payment_authentication",
    ),
    "payment_cancelled": (
        BAD_REQUEST,
        "Your payment has been cancelled. Try again or complete the payment later.",
        "customer",
        "payment_authentication",
    ),
    "payment_timed_out": (
        BAD_REQUEST,
        "Your payment was not completed on time. Try again or complete the payment later.",
        "customer",
        "payment_authentication",
    ),
    "gateway_technical_error": (
        _GATEWAY,
        "Your payment didn't go through due to a temporary issue.",
        "gateway",
        "payment_authorization",
    ),
    "bank_technical_error": (
        _GATEWAY,
        "Your payment didn't go through due to a temporary issue at your bank.",
        "issuer_bank",
        "payment_authorization",
    ),
    "payment_failed": (
        BAD_REQUEST,
        "Payment failed",
        "gateway",
        "payment_authorization",
    ),
}
"""Code, description, source and step by reason."""

OF_AMOUNTS: Final = {
    "generic_decline": "card_declined",
    "insufficient_funds": "insufficient_funds",
    "fraudulent": "payment_risk_check_failed",
    "expired_card": "card_expired",
    "processing_error": "gateway_technical_error",
    "do_not_honor": "payment_failed",
    "lost_card": "debit_instrument_blocked",
}
"""Razorpay's reason for what an amount asks for."""


def of_payment(payment: Json) -> Json:
    """Give the error of a payment that failed, as answers carry it."""
    return {
        "code": payment["error_code"],
        "description": payment["error_description"],
        "source": payment["error_source"],
        "step": payment["error_step"],
        "reason": payment["error_reason"],
        "metadata": {"payment_id": payment["id"], "order_id": payment["order_id"]},
    }
