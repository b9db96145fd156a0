"""How Stripe counts currencies: two decimals, but for the exceptions below.

Source: docs.stripe.com/currencies.
"""

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


def must_end_in(currency: str) -> int:
    """Give what amounts of the currency must be divisible by."""
    if currency in THREE_DECIMAL:
        return 10
    return 100 if currency in WHOLE_UNITS else 1
