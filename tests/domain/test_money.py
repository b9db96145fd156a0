"""Money: whole minor units of one currency that exists."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.money import EXPONENTS, CurrencyMismatch, Money

# The list of 2026: no metals, funds, tests, or what was replaced (BGN by EUR, ANG by XCG).
_ISO_4217 = """
AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BHD BIF BMD BND BOB BRL BSD BTN BWP BYN BZD
CAD CDF CHF CLP CNY COP CRC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS
GIP GMD GNF GTQ GYD HKD HNL HTG HUF IDR ILS INR IQD IRR ISK JMD JOD JPY KES KGS KHR KMF KPW
KRW KWD KYD KZT LAK LBP LKR LRD LSL LYD MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MYR
MZN NAD NGN NIO NOK NPR NZD OMR PAB PEN PGK PHP PKR PLN PYG QAR RON RSD RUB RWF SAR SBD SCR
SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TND TOP TRY TTD TWD TZS UAH UGX
USD UYU UZS VED VES VND VUV WST XAF XCD XCG XOF XPF YER ZAR ZMW ZWG
"""
ISO_4217 = _ISO_4217.split()
NO_DIGITS = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX VND VUV XAF XOF XPF".split()  # noqa: SIM905 - a list to compare by eye
THREE_DIGITS = ("BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND")

_NO_MONEY = """
XXX XTS XAU XAG XPT XPD XDR XSU XUA XBA XBB XBC XBD BOV CHE CHW CLF COU MXV USN UYI UYW HRK
DEM FRF ZWL VEF SLL ANG CUC usd Usd US USDD EURO
"""
NO_MONEY = (*_NO_MONEY.split(), "", "USD\n", " USD")

CURRENCIES = st.sampled_from(sorted(EXPONENTS))


@pytest.mark.parametrize(
    ("minor", "currency", "text"),
    [
        (1000, "USD", "10.00 USD"),
        (5, "USD", "0.05 USD"),
        (-5, "EUR", "-0.05 EUR"),
        (0, "EUR", "0.00 EUR"),
        (1000, "JPY", "1000 JPY"),
        (0, "JPY", "0 JPY"),
        (5124, "KWD", "5.124 KWD"),
        (7, "KWD", "0.007 KWD"),
        (-123456, "BHD", "-123.456 BHD"),
    ],
)
def test_money_is_written_with_its_currencys_digits(minor: int, currency: str, text: str) -> None:
    assert str(Money(minor, currency)) == text


@pytest.mark.parametrize("minor", [1.0, 1.5, "1", None, True])
def test_money_is_never_a_fraction(minor: Any) -> None:
    with pytest.raises(TypeError):
        Money(minor, "USD")


@pytest.mark.parametrize("minor", ["1.5", '"1"', "true", "1e400"])
def test_stored_money_is_never_a_fraction(minor: str) -> None:
    with pytest.raises(msgspec.MsgspecError):
        msgspec.json.decode(f'{{"minor": {minor}, "currency": "USD"}}', type=Money)


@pytest.mark.parametrize("code", NO_MONEY)
def test_what_is_no_money_is_refused(code: str) -> None:
    with pytest.raises(ValueError, match="unknown currency"):
        Money(1, code)
    raw = msgspec.json.encode({"minor": 1, "currency": code})
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(raw, type=Money)


def test_the_table_is_the_list_of_iso_4217() -> None:
    assert set(ISO_4217) == set(EXPONENTS)
    odd = {code: exponent for code, exponent in EXPONENTS.items() if exponent != 2}
    assert odd == dict.fromkeys(NO_DIGITS, 0) | dict.fromkeys(THREE_DIGITS, 3)


@given(st.integers(), st.integers(), CURRENCIES, CURRENCIES)
def test_currencies_do_not_mix(a: int, b: int, first: str, second: str) -> None:
    one, other = Money(a, first), Money(b, second)
    if first == second:
        assert (one + other).minor == a + b
        assert (one - other).minor == a - b
        assert (one < other) == (a < b)
        assert (one <= other) == (a <= b)
        return
    for mix in ("__add__", "__sub__", "__lt__", "__le__"):
        with pytest.raises(CurrencyMismatch):
            getattr(one, mix)(other)
    assert one != other


@given(st.integers(-(2**62), 2**62), CURRENCIES)
def test_money_survives_json_and_text(minor: int, currency: str) -> None:
    money = Money(minor, currency)
    assert msgspec.json.decode(msgspec.json.encode(money), type=Money) == money
    number, code = str(money).split(" ")
    assert (int(number.replace(".", "")), code) == (minor, currency)


def test_money_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        Money(1, "USD").minor = 2  # type: ignore[misc]
