"""How Stripe counts currencies: two decimals, but for the exceptions below.

Source: docs.stripe.com/currencies.
"""

from decimal import ROUND_HALF_UP, Decimal
from typing import Final

from adapters.sandbox_server.wire import words

ZERO_DECIMAL: Final = frozenset(
    words("BIF CLP DJF GNF JPY KMF KRW MGA PYG RWF VND VUV XAF XOF XPF")
)
THREE_DECIMAL: Final = frozenset(words("BHD JOD KWD OMR TND"))
WHOLE_UNITS: Final = frozenset(words("ISK UGX"))
"""Without decimals, but sent times 100."""

TWO_DECIMAL: Final = frozenset(
    words(
        "AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BMD BND BOB BRL BSD BWP BYN "
        "BZD CAD CDF CHF CNY COP CRC CVE CZK DKK DOP DZD EGP ETB EUR FJD FKP GBP GEL GHS GIP "
        "GMD GTQ GYD HKD HNL HTG HUF IDR ILS INR JMD KES KGS KHR KYD KZT LAK LBP LKR LRD LSL "
        "MAD MDL MKD MMK MNT MOP MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD PAB PEN PGK "
        "PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SEK SGD SHP SLE SOS SRD STD SZL THB TJS TOP "
        "TRY TTD TWD TZS UAH USD UYU UZS WST XCD YER ZAR ZMW"
    )
)
KNOWN: Final = TWO_DECIMAL | ZERO_DECIMAL | THREE_DECIMAL | WHOLE_UNITS

MINIMA: Final = {"USD": 50, "EUR": 50, "GBP": 30, "INR": 50, "JPY": 50, "MXN": 1000, "HKD": 400}
"""Smallest charges where they are known; otherwise anything above nothing is taken."""

AMOUNT_MAX: Final = 99_999_999

IN_DOLLARS: Final = {"USD": "1", "EUR": "1.08", "GBP": "1.27", "INR": "0.012", "JPY": "0.0067"}
"""What one of a currency is worth, where an account is settled in another; the rest as a dollar."""


def decimals(currency: str) -> int:
    """Give how many decimals Stripe's smallest unit has."""
    code = currency.upper()
    return 0 if code in ZERO_DECIMAL else 3 if code in THREE_DECIMAL else 2


def converted(amount: int, of: str, to: str, day: int) -> tuple[int, Decimal]:
    """Give an amount in another currency and the day's rate: it moves by up to 0.4 %."""
    worth, wanted = (Decimal(IN_DOLLARS.get(code.upper(), "1")) for code in (of, to))
    rate = (worth / wanted * (1 + Decimal(day % 5) / 1000)).quantize(Decimal("0.00001"))
    shift = Decimal(10) ** (decimals(to) - decimals(of))
    return int((amount * rate * shift).quantize(Decimal(1), ROUND_HALF_UP)), rate


def must_end_in(currency: str) -> int:
    """Give what amounts of the currency must be divisible by."""
    if currency in THREE_DECIMAL:
        return 10
    return 100 if currency in WHOLE_UNITS else 1
