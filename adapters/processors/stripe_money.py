"""Stripe's way of counting money: which amounts it can take, to it and back. Pure.

Source: docs.stripe.com/currencies.
"""

from typing import Final

from domain.money import EXPONENTS, Money

STRIPE_MAX: Final = 99_999_999

_ZERO: Final = "BIF CLP DJF GNF JPY KMF KRW MGA PYG RWF VND VUV XAF XOF XPF".split()  # noqa: SIM905 - readable
_THREE: Final = "BHD JOD KWD OMR TND".split()  # noqa: SIM905 - as above
_UNKNOWN: Final = frozenset({"IQD", "LYD"})
"""ISO gives them three decimals and Stripe does not say what it does with them."""


def _exponent(currency: str) -> int | None:
    """Return the decimals of Stripe's smallest unit; None where it is not known.

    ISK and UGX have none in ISO 4217, and two at Stripe.
    """
    if currency in _UNKNOWN or currency not in EXPONENTS:
        return None
    return 0 if currency in _ZERO else 3 if currency in _THREE else 2


def to_stripe(amount: Money) -> int:
    """Return the amount in Stripe's unit.

    Raises:
        ValueError: Stripe cannot take exactly this amount.
    """
    exponent = _exponent(amount.currency)
    if exponent is None:
        raise ValueError(f"Stripe's unit of {amount.currency} is not known")
    shift = exponent - EXPONENTS[amount.currency]
    value, rest = divmod(amount.minor * 10 ** max(shift, 0), 10 ** max(-shift, 0))
    if rest or (exponent == 3 and value % 10):  # noqa: PLR2004 - three decimals, the last one 0
        raise ValueError(f"amount not representable: Stripe takes no {amount}")
    if not 0 < value <= STRIPE_MAX:
        raise ValueError(f"amount not representable: Stripe takes 1 to {STRIPE_MAX}")
    return value


def from_stripe(value: int, currency: str) -> Money:
    """Return ISO minor units of what Stripe said, in its unit and in lower case.

    Raises:
        ValueError: a currency that does not exist, or a fraction of a minor unit.
    """
    code = currency.upper()
    exponent = _exponent(code)
    if exponent is None:
        raise ValueError(f"Stripe's unit of {code} is not known")
    shift = EXPONENTS[code] - exponent
    minor, rest = divmod(value * 10 ** max(shift, 0), 10 ** max(-shift, 0))
    if rest:
        raise ValueError(f"{value} {code} is a fraction of a minor unit")
    return Money(minor, code)
