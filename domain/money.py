"""Money: integer minor units and a currency. No floats, no arithmetic across currencies."""

from typing import Final

import msgspec

AMOUNT_MAX: Final = 99_999_999_999
"""The largest amount of one order, in minor units."""

_EXPONENTS: Final = {
    0: "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX VND VUV XAF XOF XPF",
    2: (
        "AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BMD BND BOB BRL BSD BTN BWP BYN BZD CAD "
        "CDF CHF CNY COP CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD "
        "GTQ GYD HKD HNL HTG HUF IDR ILS INR IRR JMD KES KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL "
        "MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD PAB PEN "
        "PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP "
        "SZL THB TJS TMT TOP TRY TTD TWD TZS UAH USD UYU UZS VED VES WST XCD XCG YER ZAR ZMW ZWG"
    ),
    3: "BHD IQD JOD KWD LYD OMR TND",
}
EXPONENTS: Final = {code: exp for exp, codes in _EXPONENTS.items() for code in codes.split()}
"""ISO 4217 currencies that money comes in, with the digits after the point; no metals, no funds."""


class CurrencyMismatch(TypeError):
    """Two amounts in different currencies were added, subtracted or compared."""


class Money(msgspec.Struct, frozen=True):
    """An amount in minor units of one currency.

    Attributes:
        minor: integer minor units; may be negative or zero in sums.
        currency: upper-case ISO 4217 code, one of `EXPONENTS`.
    """

    minor: int
    currency: str

    def __post_init__(self) -> None:
        """Refuse a fraction, and a currency that does not exist."""
        if type(self.minor) is not int:
            raise TypeError(f"minor units are whole: {self.minor!r}")
        if self.currency not in EXPONENTS:
            raise ValueError(f"unknown currency {self.currency!r}")

    def _same(self, other: "Money") -> int:
        if self.currency != other.currency:
            raise CurrencyMismatch(f"{self.currency} and {other.currency} do not mix")
        return other.minor

    def __add__(self, other: "Money") -> "Money":
        return Money(self.minor + self._same(other), self.currency)

    def __sub__(self, other: "Money") -> "Money":
        return Money(self.minor - self._same(other), self.currency)

    def __lt__(self, other: "Money") -> bool:
        return self.minor < self._same(other)

    def __le__(self, other: "Money") -> bool:
        return self.minor <= self._same(other)

    def __str__(self) -> str:
        exponent = EXPONENTS[self.currency]
        sign, digits = ("-" if self.minor < 0 else ""), str(abs(self.minor)).zfill(exponent + 1)
        point = len(digits) - exponent
        text = digits if exponent == 0 else f"{digits[:point]}.{digits[point:]}"
        return f"{sign}{text} {self.currency}"
