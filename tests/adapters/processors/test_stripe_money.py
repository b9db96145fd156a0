"""Stripe's unit of every currency: what it cannot take exactly is never sent."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.processors.stripe import StripeProcessor
from adapters.processors.stripe_money import STRIPE_MAX, from_stripe, to_stripe
from domain.money import AMOUNT_MAX, EXPONENTS, Money

amounts = st.builds(Money, st.integers(1, AMOUNT_MAX), st.sampled_from(sorted(EXPONENTS)))
small = st.builds(Money, st.integers(1, 10**6), st.sampled_from(sorted(EXPONENTS)))


@pytest.mark.parametrize(
    ("minor", "currency", "theirs"),
    [
        (1999, "USD", 1999),
        (500, "JPY", 500),
        (5_120, "KWD", 5_120),
        (7, "ISK", 700),
        (7, "UGX", 700),
        (300, "MGA", 3),
        (1000, "HUF", 1000),
        (STRIPE_MAX, "EUR", STRIPE_MAX),
    ],
)
def test_an_amount_becomes_stripes(minor: int, currency: str, theirs: int) -> None:
    assert to_stripe(Money(minor, currency)) == theirs
    assert from_stripe(theirs, currency.lower()) == Money(minor, currency)


@pytest.mark.parametrize(
    ("minor", "currency"),
    [(5_124, "KWD"), (1, "BHD"), (301, "MGA"), (100, "IQD"), (100, "LYD"), (STRIPE_MAX + 1, "USD"),
     (STRIPE_MAX // 100 + 1, "ISK"), (0, "USD"), (-1, "USD")],
)  # fmt: skip
def test_r18_what_stripe_cannot_take_exactly_makes_it_no_candidate(
    minor: int, currency: str
) -> None:
    amount = Money(minor, currency)
    assert StripeProcessor().takes(amount) == "amount not representable"
    with pytest.raises(ValueError, match="Stripe"):
        to_stripe(amount)


@given(amounts | small)
def test_what_is_taken_comes_back_as_it_was(amount: Money) -> None:
    if StripeProcessor().takes(amount) is None:
        theirs = to_stripe(amount)
        assert 0 < theirs <= STRIPE_MAX
        assert from_stripe(theirs, amount.currency.lower()) == amount


@given(small)
def test_stripes_own_rules_hold_for_what_is_sent(amount: Money) -> None:
    if StripeProcessor().takes(amount) is not None:
        return
    theirs = to_stripe(amount)
    if amount.currency in {"BHD", "JOD", "KWD", "OMR", "TND"}:
        assert theirs % 10 == 0
    if amount.currency in {"ISK", "UGX"}:
        assert theirs % 100 == 0


@given(st.integers(0, STRIPE_MAX), st.sampled_from(["isk", "ugx"]))
def test_a_fraction_of_a_minor_unit_is_never_rounded(theirs: int, currency: str) -> None:
    if theirs % 100:
        with pytest.raises(ValueError, match="fraction"):
            from_stripe(theirs, currency)
    else:
        assert from_stripe(theirs, currency).minor * 100 == theirs


@pytest.mark.parametrize("currency", ["xxx", "lyd", ""])
def test_a_currency_that_is_not_known_is_not_guessed(currency: str) -> None:
    with pytest.raises(ValueError, match="not known"):
        from_stripe(100, currency)
