"""Stripe's error envelope and its errors."""

from typing import Any, Final

from adapters.sandbox_server.outcomes import CODES
from adapters.sandbox_server.wire import Answer, Json, html_answer, json_answer

_DOC: Final = "https://stripe.com/docs/error-codes/"


class StripeError(Exception):
    """A request that ends in an error and has had no effect.

    Args:
        stored: execution had begun, so the idempotency layer remembers the answer.
    """

    def __init__(self, status: int, error: Json, *, stored: bool = False) -> None:
        super().__init__(error["message"])
        self.status = status
        self.error = error
        self.stored = stored


def envelope(status: int, error: Json) -> Answer:
    """Give an error as an answer."""
    return json_answer(status, {"error": error})


def _error(kind: str, message: str, code: str | None, extra: Json) -> Json:
    error: Json = {"message": message, "type": kind}
    if code:
        error |= {"code": code, "doc_url": _DOC + code.replace("_", "-")}
    return error | {name: value for name, value in extra.items() if value is not None}


def invalid(
    message: str, *, status: int = 400, code: str | None = None, **extra: Any
) -> StripeError:
    """Give an error of a request that is wrong; nothing of it is remembered."""
    return StripeError(status, _error("invalid_request_error", message, code, extra))


def refused(message: str, *, code: str | None = None, **extra: Any) -> StripeError:
    """Give an error of a request that the object's state refuses; it is remembered."""
    error = _error("invalid_request_error", message, code, extra)
    return StripeError(400, error, stored=True)


def missing(what: str, object_id: str, *, param: str, status: int = 404) -> StripeError:
    """Give the error of an object that is not there, or is another account's."""
    message = f"No such {what}: '{object_id}'"
    return invalid(message, status=status, code="resource_missing", param=param)


def key_in_use(key: str) -> StripeError:
    """Give the error of a key whose first request has not ended yet."""
    message = (
        f"There is currently another in-progress request using this Idempotent Key: {key} (that "
        "probably means you submitted twice, and the other request is still going through)."
    )
    return StripeError(409, _error("api_error", message, "idempotency_key_in_use", {}))


def key_reused(key: str) -> StripeError:
    """Give the error of a key that came with other parameters before."""
    message = (
        "Keys for idempotent requests can only be used with the same parameters they were first "
        f"used with. Try using a key other than '{key}' if you meant to execute a different "
        "request."
    )
    return StripeError(400, _error("idempotency_error", message, None, {}))


_FAILURES: Final = {
    401: ("invalid_request_error", "Invalid API Key provided: sk_test_********", None),
    403: ("invalid_request_error", "This API key does not have the required permissions.", None),
    409: ("api_error", "There is another in-progress request using this Idempotent Key.",
          "idempotency_key_in_use"),
    429: ("invalid_request_error", "Request rate limit exceeded.", "rate_limit"),
}  # fmt: skip


_SHOULD_RETRY: Final = {409: "true", 429: "false"}


def failure(status: int, *, html: bool = False) -> Answer:
    """Give the answer of a fault: what Stripe, or a proxy before it, says with this status."""
    if html:
        return html_answer(status, f"<html><body><h1>{status} Bad Gateway</h1></body></html>")
    unknown = ("api_error", "An unknown error occurred. (sandbox)", None)
    kind, message, code = _FAILURES.get(status, unknown)
    answer = envelope(status, _error(kind, message, code, {}))
    if status in _SHOULD_RETRY:
        answer.headers["stripe-should-retry"] = _SHOULD_RETRY[status]
    return answer


DECLINES: Final = {
    "generic_decline": ("card_declined", "Your card was declined.", "try_again_later"),
    "insufficient_funds": ("card_declined", "Your card has insufficient funds.", "try_again_later"),
    "lost_card": ("card_declined", "Your card was declined.", "do_not_try_again"),
    "stolen_card": ("card_declined", "Your card was declined.", "do_not_try_again"),
    "fraudulent": ("card_declined", "Your card was declined.", "do_not_try_again"),
    "do_not_honor": ("card_declined", "Your card was declined.", "try_again_later"),
    "card_velocity_exceeded": (
        "card_declined",
        "Your card was declined for making repeated attempts too frequently.",
        "try_again_later",
    ),
    "expired_card": ("expired_card", "Your card has expired.", "confirm_card_data"),
    "incorrect_cvc": (
        "incorrect_cvc",
        "Your card's security code is incorrect.",
        "confirm_card_data",
    ),
    "processing_error": (
        "processing_error",
        "An error occurred while processing your card. Try again in a little bit.",
        "try_again_later",
    ),
    "authentication_required": (
        "authentication_required",
        "Your card was declined. This transaction requires authentication.",
        None,
    ),
    "authentication_failure": (
        "payment_intent_authentication_failure",
        "The provided PaymentMethod has failed authentication.",
        None,
    ),
}
"""By decline code: the error's code, its message and what Stripe advises."""

NOT_CARD_ERRORS: Final = frozenset({"authentication_failure"})


def decline(code: str, **extra: Any) -> Json:
    """Give the error of a declined card."""
    error_code, message, advice = DECLINES[code]
    if code in NOT_CARD_ERRORS:
        return _error("invalid_request_error", message, error_code, extra)
    body = _error("card_error", message, error_code, extra | {"advice_code": advice})
    if code != "incorrect_cvc":
        body["decline_code"] = code
    return body


def scope_of(payment: str, amount: int) -> str:
    """Name what an amount's strikes are counted for."""
    return f"{payment} {amount % CODES}"
