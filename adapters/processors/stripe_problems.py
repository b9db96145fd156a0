"""What Stripe's errors mean: a definite no, never sent, or a doubt. Pure."""

from typing import Any, Final, TypeAlias

import msgspec

from commands.outcomes import Declined, NotSent, Unknown
from domain.routing import RetryClass

Json: TypeAlias = dict[str, Any]

CLASSES: Final[dict[RetryClass, str]] = {
    "stop": (
        "lost_card stolen_card pickup_card fraudulent merchant_blacklist restricted_card "
        "security_violation stop_payment_order revocation_of_authorization "
        "revocation_of_all_authorizations invalid_account do_not_try_again testmode_decline"
    ),
    "fix_input": (
        "incorrect_number invalid_number incorrect_cvc invalid_cvc invalid_expiry_month "
        "invalid_expiry_year expired_card incorrect_zip incorrect_address incorrect_pin"
    ),
    "authenticate": "authentication_required payment_intent_authentication_failure",
    "later": "insufficient_funds card_velocity_exceeded withdrawal_count_limit_exceeded",
    "failover": (
        "processing_error issuer_not_available reenter_transaction try_again_later "
        "no_action_taken approve_with_id generic_decline card_declined do_not_honor call_issuer "
        "card_not_supported currency_not_supported service_not_allowed not_permitted "
        "transaction_not_allowed"
    ),
    "check_first": "duplicate_transaction",
}
_CLASS_OF: Final = {code: kind for kind, codes in CLASSES.items() for code in codes.split()}
_ADVICE: Final[dict[str, RetryClass]] = {
    "do_not_try_again": "stop",
    "confirm_card_data": "fix_input",
}
_RENAMED: Final = {
    "payment_intent_authentication_failure": "authentication_failed",
    "charge_already_refunded": "already_refunded",
    "charge_already_captured": "already_captured",
    "resource_missing": "invalid_token",
}
_DISCREET: Final = "The card was declined."
"""Why a card is lost, stolen or suspected is not for the customer."""


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """An answer that is not the object asked for.

    Attributes:
        sent: False is proof that nothing reached Stripe.
        status: HTTP status; None when there was no whole answer.
        cause: in words that hold no secret and no personal data.
        error: Stripe's error object.
    """

    cause: str
    sent: bool = True
    status: int | None = None
    error: Json = {}

    @property
    def kind(self) -> str | None:
        """Stripe's type of error."""
        return self.error.get("type")

    @property
    def code(self) -> str | None:
        """Stripe's code of the error."""
        return self.error.get("code")

    @property
    def intent(self) -> Json:
        """The PaymentIntent that came with the error."""
        return self.error.get("payment_intent") or {}

    @property
    def reasoned(self) -> bool:
        """Whether Stripe says why; then it also names the PaymentIntent's status if that is it."""
        return self.is_decline or bool(self.code or self.error.get("param") or self.intent)

    @property
    def throttled(self) -> bool:
        """Whether a limiter turned the call away before it did anything."""
        return self.status == 429 and self.code != "lock_timeout"  # noqa: PLR2004 - HTTP

    @property
    def unexpected_state(self) -> bool:
        """Whether the PaymentIntent is in no state for this call."""
        return self.status == 400 and bool(self.intent.get("status")) and not self.is_decline  # noqa: PLR2004 - HTTP

    def does_not_know(self, name: str) -> bool:
        """Whether a parameter is refused because it is none, as by a server of another version."""
        text = str(self.error.get("message") or "").lower()
        unknown = self.code == "parameter_unknown" or text.startswith("unexpected ")
        about = self.error.get("param") == name or name in text
        return self.status == 400 and unknown and about  # noqa: PLR2004 - HTTP

    @property
    def is_decline(self) -> bool:
        """Whether the card was refused."""
        return self.status == 402  # noqa: PLR2004 - HTTP


def open_question(problem: Problem) -> NotSent | Unknown | None:
    """Return what an error leaves open; None when it is a definite no. The default is doubt."""
    if not problem.sent:
        return NotSent(cause=problem.cause)
    if problem.code == "lock_timeout" or problem.kind == "idempotency_error":
        return Unknown(cause=problem.cause)
    match problem.status:
        case 401 | 403 | 429:
            return NotSent(cause=problem.cause)
        case 402:
            return None
        case 400 if problem.kind == "invalid_request_error":
            return None
        case _:
            return Unknown(cause=problem.cause)


def decline(error: Json) -> Declined:
    """Normalise a refused card: an error, or the last error of a PaymentIntent."""
    theirs = error.get("decline_code") or error.get("code") or "generic_decline"
    advised = _ADVICE.get(error.get("advice_code") or "")
    retry_class = advised or _CLASS_OF.get(theirs, "later")
    return Declined(
        code=_RENAMED.get(theirs, theirs),
        retry_class=retry_class,
        processor_code=error.get("network_decline_code") or theirs,
        message=_DISCREET if retry_class == "stop" else error.get("message"),
    )


def refusal(problem: Problem, default: str, *, retry_class: RetryClass = "stop") -> Declined:
    """Return the definite no to a call that is wrong, or comes at the wrong time."""
    status = problem.intent.get("status")
    code = _RENAMED.get(problem.code or "", problem.code) or default
    if problem.unexpected_state:
        code = {"canceled": "payment_cancelled", "succeeded": "already_captured"}.get(
            str(status), "not_authorized"
        )
    return Declined(
        code=code,
        retry_class=retry_class,
        processor_code=problem.code,
        message=problem.error.get("message"),
        expired=status == "canceled",
    )
