"""Stripe's test payment methods, card tokens and card numbers, and the objects made of them.

Source: docs.stripe.com/testing.
"""

from typing import Any, Final

import msgspec

from adapters.sandbox_server.box import Call
from adapters.sandbox_server.ids import stripe_id
from adapters.sandbox_server.outcomes import PLAIN, Outcome
from adapters.sandbox_server.stripe_dialect.errors import invalid, missing
from adapters.sandbox_server.stripe_dialect.forms import integer, known, metadata, nested, text
from adapters.sandbox_server.wire import Json

KIND: Final = "stripe.payment_method"
_KEPT: Final = ("metadata", "billing_details", "allow_redisplay")


class Card(msgspec.Struct, frozen=True, kw_only=True):
    """A test card."""

    last4: str
    brand: str = "visa"
    country: str = "US"
    outcome: Outcome = PLAIN


def _declined(last4: str, code: str) -> Card:
    return Card(last4=last4, outcome=Outcome(decline=code))


def _challenged(last4: str, challenge: Any) -> Card:
    return Card(last4=last4, outcome=Outcome(challenge=challenge))


def _disputed(last4: str, dispute: Any) -> Card:
    return Card(last4=last4, outcome=Outcome(dispute=dispute))


_DECLINED: Final = _declined("0002", "generic_decline")
_NO_FUNDS: Final = _declined("9995", "insufficient_funds")
_LOST: Final = _declined("9987", "lost_card")
_STOLEN: Final = _declined("9979", "stolen_card")
_EXPIRED: Final = _declined("0069", "expired_card")
_CVC: Final = _declined("0127", "incorrect_cvc")
_ERROR: Final = _declined("0119", "processing_error")
_VELOCITY: Final = _declined("6975", "card_velocity_exceeded")

CARDS: Final = {
    "pm_card_visa": Card(last4="4242"),
    "pm_card_mastercard": Card(last4="4444", brand="mastercard"),
    "pm_card_amex": Card(last4="8431", brand="amex"),
    "pm_card_in": Card(last4="0008", country="IN"),
    "pm_card_de": Card(last4="0016", country="DE"),
    "pm_card_gb": Card(last4="0000", country="GB"),
    "pm_card_visa_chargeDeclined": _DECLINED,
    "pm_card_chargeDeclined": _DECLINED,
    "pm_card_visa_chargeDeclinedInsufficientFunds": _NO_FUNDS,
    "pm_card_chargeDeclinedInsufficientFunds": _NO_FUNDS,
    "pm_card_visa_chargeDeclinedLostCard": _LOST,
    "pm_card_chargeDeclinedLostCard": _LOST,
    "pm_card_visa_chargeDeclinedStolenCard": _STOLEN,
    "pm_card_chargeDeclinedStolenCard": _STOLEN,
    "pm_card_chargeDeclinedExpiredCard": _EXPIRED,
    "pm_card_chargeDeclinedIncorrectCvc": _CVC,
    "pm_card_chargeDeclinedProcessingError": _ERROR,
    "pm_card_visa_chargeDeclinedVelocityLimitExceeded": _VELOCITY,
    "pm_card_chargeDeclinedFraudulent": _declined("0019", "fraudulent"),
    "pm_card_chargeCustomerFail": _declined("0341", "generic_decline"),
    "pm_card_radarBlock": _declined("0101", "fraudulent"),
    "pm_card_threeDSecure2Required": _challenged("3220", "pass"),
    "pm_card_threeDSecureRequired": _challenged("3063", "pass"),
    "pm_card_threeDSecureRequiredChargeDeclined": _challenged("1629", "decline"),
    "pm_card_threeDSecureRequiredProcessingError": _challenged("1643", "error"),
    "pm_card_threeDSecureOptional": _challenged("3055", "optional"),
    "pm_card_authenticationRequired": _challenged("3184", "pass"),
    "pm_card_authenticationRequiredOnSetup": _challenged("3155", "pass"),
    "pm_card_authenticationRequiredSetupForOffSession": _challenged("3156", "off_session"),
    "pm_card_createDispute": _disputed("0259", "open"),
    "pm_card_createDisputeProductNotReceived": _disputed("2685", "not_received"),
    "pm_card_createDisputeInquiry": _disputed("1976", "inquiry"),
    "pm_card_pendingRefund": Card(last4="7726", outcome=Outcome(refund="pending")),
    "pm_card_refundFail": Card(last4="5126", outcome=Outcome(refund="fails")),
}
"""By the vendor's own names."""

_NUMBERS: Final = {
    "4242424242424242": "pm_card_visa",
    "5555555555554444": "pm_card_mastercard",
    "378282246310005": "pm_card_amex",
    "4000000000000002": "pm_card_visa_chargeDeclined",
    "4000000000009995": "pm_card_visa_chargeDeclinedInsufficientFunds",
    "4000000000009987": "pm_card_visa_chargeDeclinedLostCard",
    "4000000000009979": "pm_card_visa_chargeDeclinedStolenCard",
    "4000000000000069": "pm_card_chargeDeclinedExpiredCard",
    "4000000000000127": "pm_card_chargeDeclinedIncorrectCvc",
    "4000000000000119": "pm_card_chargeDeclinedProcessingError",
    "4000000000006975": "pm_card_visa_chargeDeclinedVelocityLimitExceeded",
    "4000000000003220": "pm_card_threeDSecure2Required",
    "4000008400001629": "pm_card_threeDSecureRequiredChargeDeclined",
    "4000000000000259": "pm_card_createDispute",
    "4000000000007726": "pm_card_pendingRefund",
    "4000000000005126": "pm_card_refundFail",
}


def card_of(method: Json) -> Card:
    """Give the card that a payment method stands for."""
    return CARDS[method["_token"]]


def resolve(call: Call, method_id: str, *, param: str | None, keep: bool = True) -> Json:
    """Give the payment method of an id; the name of a test card makes a new one, as at Stripe.

    `param` names it in the error; None: the id came in the path. With `keep` a new one is stored.

    Raises:
        StripeError: there is none, or it is another account's.
    """
    if method_id in CARDS:
        return make(call, method_id, keep=keep)
    found = call.store.get(KIND, method_id, call.account)
    if found is None:
        status = 404 if param is None else 400
        raise missing("PaymentMethod", method_id, param=param or "payment_method", status=status)
    return found


def of_data(call: Call, data: Json) -> Json:
    """Make a payment method of `payment_method_data`: a test card's number or `tok_…`.

    Raises:
        StripeError: it is no test card.
    """
    card = data.get("card")
    if not isinstance(card, dict):
        raise invalid("Missing required param: payment_method_data[card].", param="card")
    token = str(card.get("token", "")).replace("tok_", "pm_card_", 1)
    number = str(card.get("number", "")).replace(" ", "")
    name = token if token in CARDS else _NUMBERS.get(number)
    if name is None:
        message = "Your card was declined. Your request was in test mode, but used a non test card."
        raise invalid(message, code="testmode_decline", status=402)
    return make(call, name, keep=True)


def make(call: Call, token: str, *, keep: bool) -> Json:
    """Make a payment method of a test card."""
    card = CARDS[token]
    method: Json = {
        "id": stripe_id("pm_"),
        "object": "payment_method",
        "allow_redisplay": "unspecified",
        "billing_details": {"address": None, "email": None, "name": None, "phone": None},
        "card": {
            "brand": card.brand,
            "checks": {"cvc_check": "pass"},
            "country": card.country,
            "display_brand": card.brand,
            "exp_month": 12,
            "exp_year": 2034,
            "fingerprint": f"fp{card.last4}{card.brand}",
            "funding": "credit",
            "last4": card.last4,
            "networks": {"available": [card.brand], "preferred": None},
            "three_d_secure_usage": {"supported": True},
            "wallet": None,
        },
        "created": call.now,
        "customer": None,
        "livemode": False,
        "metadata": {},
        "type": "card",
        "_token": token,
    }
    if keep:
        call.store.add(KIND, method, account=call.account)
    return method


def retrieve(call: Call) -> Json:
    """Answer `GET /v1/payment_methods/:id`."""
    return resolve(call, call.id, param=None, keep=False)


def create(call: Call) -> Json:
    """Answer `POST /v1/payment_methods`: raw card numbers of test cards, or `tok_…`."""
    known(call.params, ("type", "card", *_KEPT))
    method = of_data(call, call.params)
    _keep(call, method)
    return method


def update(call: Call) -> Json:
    """Answer `POST /v1/payment_methods/:id`."""
    known(call.params, ("card", *_KEPT))
    method = resolve(call, call.id, param=None)
    card = nested(call.params, "card")
    for name in ("exp_month", "exp_year"):
        method["card"][name] = integer(card, name) or method["card"][name]
    _keep(call, method)
    return method


def _keep(call: Call, method: Json) -> None:
    method["metadata"] = metadata(call.params, method["metadata"])
    method["billing_details"] |= nested(call.params, "billing_details")
    method["allow_redisplay"] = text(call.params, "allow_redisplay") or method["allow_redisplay"]
    call.store.save(KIND, method)


def attach(call: Call) -> Json:
    """Answer `POST /v1/payment_methods/:id/attach`."""
    customer = text(call.params, "customer") or ""
    if call.store.get("stripe.customer", customer, call.account) is None:
        raise missing("customer", customer, param="customer", status=400)
    return belongs_to(call, call.id, customer, param=None)


def detach(call: Call) -> Json:
    """Answer `POST /v1/payment_methods/:id/detach`."""
    method = resolve(call, call.id, param=None)
    if method["customer"] is None:
        raise invalid("The payment method you provided is not attached to a customer so detachment "
                      "is impossible.")  # fmt: skip
    method["customer"] = None
    call.store.save(KIND, method)
    return method


def belongs_to(
    call: Call, method_id: str, customer: str, *, param: str | None = "payment_method"
) -> Json:
    """Give a customer a payment method."""
    method = resolve(call, method_id, param=param)
    method["customer"] = customer
    call.store.save(KIND, method)
    return method
