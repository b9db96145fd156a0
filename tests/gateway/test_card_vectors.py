"""Card numbers against the test numbers that brands and processors publish, and what is none."""

import secrets
from itertools import chain

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.ids import PREFIXES, new_api_key, new_id
from gateway.card_data import holds_pan, refuse_card_data
from gateway.card_numbers import is_card_number, passes_luhn
from gateway.errors import Refused

# Stripe's, Razorpay's, Adyen's and PayPal's lists of test cards.
PUBLISHED = {
    "Visa": ("4242424242424242", "4111111111111111", "4012888888881881", "4917610000000000003"),
    "Visa debit": ("4000056655665556", "4000000760000002"),
    "Mastercard": ("5555555555554444", "2223003122003222", "5200828282828210", "5105105105105100"),
    "American Express": ("378282246310005", "371449635398431"),
    "Discover": ("6011111111111117", "6011000990139424", "6011981111111113"),
    "Diners Club": ("3056930009020004", "36227206271667", "30569309025904", "38520000023237"),
    "JCB": ("3566002020360505", "3530111333300000"),
    "UnionPay": ("6200000000000005", "6200000000000047", "6205500000000000004"),
    "BCcard": ("6555900000604105",),
    "Maestro": ("6759649826438453", "6304000000000000", "5018000000000009", "6799990100000000019"),
    "Dankort": ("5019717010103742",),
    "RuPay": ("6082015309577308", "8171999927660000"),
    "Mir": ("2200000000000004",),
    "Elo, Hipercard": ("5066991111111118", "6062826786276634", "6362970000457013"),
    "Verve": ("5060990580000217499", "5061460410120223210"),
    "Troy": ("9792020000000001",),
    "Bancontact, Bankaxept": ("6703444444444449", "5610591081018250"),
}
NUMBERS = sorted(set(chain.from_iterable(PUBLISHED.values())))
# Of 13 digits were Visa's once; a time in milliseconds looks the same, so only a payment method
# may not hold one.
OLD = "4222222222222"

PHONES = (
    "+1 415 555 2671", "+44 20 7946 0958", "+49 (0)30 901820", "+91 98765 43210",
    "+8613800138000", "00442079460958", "+1-800-555-0199 ext. 1234", "+919876543210",
)  # fmt: skip


def written(number: str) -> list[str]:
    """The ways that people write a card's number."""
    groups = [number[n : n + 4] for n in range(0, len(number), 4)]
    if len(number) in {14, 15}:
        groups = [number[:4], number[4:10], number[10:]]
    return [
        number,
        f"card {number}.",
        *(
            mark.join(groups)
            for mark in (" ", "-", "\u00a0", "\u2007", "\u2010", "\u2011", "\u2013")
        ),
    ]


@pytest.mark.parametrize("number", NUMBERS)
def test_a_published_number_passes_luhn_and_is_seen_however_it_is_written(number: str) -> None:
    assert passes_luhn(number)
    for text in written(number):
        assert is_card_number(text), text
        assert holds_pan(text), text


@pytest.mark.parametrize("number", NUMBERS)
def test_digits_of_other_scripts_are_digits(number: str) -> None:
    for zero in ("\u0660", "\u0966", "\uff10"):
        other = "".join(chr(ord(zero) + int(digit)) for digit in number)
        assert is_card_number(other)
        assert holds_pan(other)


def test_what_follows_a_number_does_not_hide_it() -> None:
    for behind in (" 123", " 12/30", "-123", " 12 30", ", exp 12/30", " 1234"):
        text = f"4242 4242 4242 4242{behind}"
        assert is_card_number(text), text
        assert holds_pan(text), text


def test_the_old_numbers_of_thirteen_digits_are_refused_in_a_payment_method_only() -> None:
    assert holds_pan(OLD)
    assert not is_card_number(OLD)
    with pytest.raises(Refused):
        refuse_card_data({"paymentMethod": {"type": "card", "token": OLD}})


@pytest.mark.parametrize("number", NUMBERS)
def test_one_digit_changed_or_two_neighbours_swapped_is_no_number(number: str) -> None:
    """What ISO/IEC 7812-1, annex B is for; only 09 and 90 swapped go unseen."""
    for place, digit in enumerate(number):
        other = f"{number[:place]}{(int(digit) + 3) % 10}{number[place + 1 :]}"
        assert not is_card_number(other)
        pair = number[place : place + 2]
        if len(set(pair)) == 2 and pair not in {"09", "90"}:
            assert not passes_luhn(number[:place] + pair[::-1] + number[place + 2 :])


@pytest.mark.parametrize("prefix", PREFIXES)
def test_no_id_of_ours_looks_like_a_card(prefix: str) -> None:
    for _ in range(500):
        made = new_id(prefix)
        assert not is_card_number(made)
        refuse_card_data({"externalId": made, "paymentMethod": {"type": "card", "token": "pm_1"}})


def test_no_key_token_or_digest_of_ours_looks_like_a_card() -> None:
    for _ in range(500):
        for text in (new_api_key("test"), secrets.token_urlsafe(24), f"rt_{secrets.token_hex(16)}"):
            assert not is_card_number(text)


@pytest.mark.parametrize("phone", PHONES)
def test_a_phone_number_is_none(phone: str) -> None:
    assert not is_card_number(phone)


@given(st.datetimes(), st.integers(0, 99))
def test_times_and_dates_are_none(at: object, n: int) -> None:
    text = str(at)
    assert not is_card_number(text)
    assert not is_card_number(f"{text.replace(' ', 'T')}Z-{n}")
