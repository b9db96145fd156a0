"""What the hosted page tells a customer: plain sentences, no codes, and what to do next."""

from typing import Final

from domain.money import EXPONENTS, Money
from domain.order.parts import Failure
from domain.order.rules import ATTEMPTS_MAX
from domain.order.state import Order

DECLINES: Final = {
    "insufficient_funds": "The bank says that there is not enough money on this card.",
    "expired_card": "This card has expired.",
    "incorrect_number": "The card number is not right.",
    "incorrect_cvc": "The security code is not right.",
    "incorrect_expiry": "The expiry date is not right.",
    "invalid_token": "This card cannot be used.",
    "authentication_failed": "The bank could not confirm that it is you.",
    "authentication_required": "The bank wants you to confirm this payment.",
    "authentication_timeout": "The confirmation at the bank took too long.",
    "card_velocity_exceeded": "This card has reached its limit for now.",
    "withdrawal_limit_exceeded": "This card has reached its limit for now.",
    "currency_not_supported": "This card cannot pay in this currency.",
    "processing_error": "The bank could not process the payment.",
    "issuer_not_available": "The bank cannot be reached.",
    "processor_unavailable": "The payment service cannot be reached.",
}
"""By the normalised code of a decline; what is not here is told without a reason."""

_OTHERWISE: Final = "The bank declined the payment."
_NEXT: Final = {
    "fix_input": "Check the card's details, or try another card.",
    "authenticate": "Try again, or use another card.",
    "later": "Try another card, or try again later.",
}
_OTHER_CARD: Final = "Try another card."


def money(amount: Money) -> str:
    """Return an amount as people read it, with groups of three: `1,234.50 USD`."""
    exponent = EXPONENTS[amount.currency]
    whole, rest = divmod(abs(amount.minor), 10**exponent)
    sign = "-" if amount.minor < 0 else ""
    decimals = f".{rest:0{exponent}d}" if exponent else ""
    return f"{sign}{whole:,}{decimals} {amount.currency}"


def declined(failure: Failure | None) -> str:
    """Say why a payment did not go through; what a lost or stolen card is, only the bank says."""
    return DECLINES.get(failure.code, _OTHERWISE) if failure else _OTHERWISE


def what_next(failure: Failure | None) -> str:
    """Say what the customer can do after a decline."""
    return _NEXT.get(failure.retry_class, _OTHER_CARD) if failure else _OTHER_CARD


def tries_left(order: Order) -> str:
    """Say how many tries are left, once they are few; empty before."""
    left = ATTEMPTS_MAX - len(order.attempts)
    if left > 3:  # noqa: PLR2004 - few
        return ""
    return "You have one more try." if left == 1 else f"You have {left} more tries."
