"""Each amount code and each test token, at both vendors: status, events and everybody's books.

The tables name what the sandbox knows, all of it: a code or a token without a row fails.
"""

from datetime import timedelta
from typing import Final

from adapters.sandbox_server.outcomes import AMOUNTS
from adapters.sandbox_server.razorpay_dialect.errors import REASONS
from adapters.sandbox_server.razorpay_dialect.instruments import ADDRESSES
from adapters.sandbox_server.razorpay_dialect.instruments import CARDS as RAZORPAYS_CARDS
from adapters.sandbox_server.razorpay_dialect.refunds import SLOW_AMOUNT
from adapters.sandbox_server.stripe_dialect.methods import CARDS
from tests.commands.clerk import clerk_of
from tests.commands.market import Market
from tests.commands.outcomes import BASE, PATIENT_S, End, Lives

PLAIN: Final = 0
HANGING: Final = (2001, 5006)
DEADLINE: Final = timedelta(minutes=16)
SOON: Final = timedelta(minutes=1)

HELD: Final = ("processor_referenced", "authorized")
ASKED: Final = ("processor_referenced", "challenged")
TAKEN: Final = ("capture_requested", "captured", "fee_recorded")
CLOSED: Final = ("attempt_fenced", "failed")
REFUNDED: Final = ("refund_requested", "refunded")
UNREACHED: Final = "processor_unavailable"
ABANDONED: Final = "authentication_timeout"


def taken(code: int | None = None, *more: str, after: tuple[str, ...] = HELD) -> End:
    """Return the end of an order whose money was taken, and nothing more or that much."""
    return End(status="captured", tags=(*after, *TAKEN, *more), captured=BASE + (code or 0))


def failed(code: str, *before: str) -> End:
    return End(status="failed", code=code, tags=(*before, *CLOSED))


def declined(code: str, *before: str) -> End:
    return failed(code, *(before or ("processor_referenced",)), "declined")


def returned(code: int, *, after: tuple[str, ...] = HELD) -> End:
    """Return the end of an order whose money was taken and given back."""
    tags, amount = (*after, *TAKEN, *REFUNDED), BASE + code
    return End(status="refunded", tags=tags, captured=amount, refunded=amount)


def withdrawn(end: End, amount: int) -> End:
    return End(status=end.status, tags=end.tags, captured=amount, disputed=amount)


STRIPES_AMOUNTS: Final = {
    **{n: taken(n) for n in (PLAIN, 2001, 2002, 4090, 4290)},
    **{n: taken(n) for n in (5002, 5004, 5006, 5007, 5008)},
    **{n: taken(n) for n in range(7001, 7009)},
    **{n: taken(n) for n in range(9001, 9004)},  # Razorpay's alone
    2003: declined("processing_error"),
    3001: taken(3001, after=(*ASKED, "authorized")),
    3002: declined("generic_decline", *ASKED),
    3003: failed(ABANDONED, *ASKED),
    4001: declined("generic_decline"),
    4002: declined("insufficient_funds"),
    4003: declined("fraudulent"),
    4004: declined("expired_card"),
    4005: declined("processing_error"),
    4006: declined("do_not_honor"),
    4007: declined("lost_card"),
    4010: failed(UNREACHED, "processor_referenced"),
    5001: failed(UNREACHED, "processor_referenced", "outcome_unknown"),
    5003: failed(UNREACHED, "processor_referenced", "outcome_unknown"),
    5005: failed(UNREACHED, "processor_referenced", "outcome_unknown"),
    8001: returned(8001),
    8002: taken(8002, *REFUNDED, "refund_reversed"),
    8003: withdrawn(
        taken(8003, "dispute_opened", "dispute_funds_withdrawn", "dispute_closed", "fee_recorded"),
        BASE + 8003,
    ),
    8004: taken(
        8004,
        *("dispute_opened", "dispute_funds_withdrawn", "dispute_funds_reinstated"),
        *("dispute_closed", "fee_recorded", "fee_recorded"),
    ),
}

AUTHENTICATED: Final = taken(after=(*ASKED, "authorized"))
DISPUTED: Final = ("dispute_opened", "dispute_funds_withdrawn", "fee_recorded")
STRIPES_CARDS: Final = {
    "pm_card_visa": taken(),
    "pm_card_mastercard": taken(),
    "pm_card_amex": taken(),
    "pm_card_in": taken(),
    "pm_card_de": taken(),
    "pm_card_gb": taken(),
    "pm_card_visa_chargeDeclined": declined("generic_decline"),
    "pm_card_chargeDeclined": declined("generic_decline"),
    "pm_card_visa_chargeDeclinedInsufficientFunds": declined("insufficient_funds"),
    "pm_card_chargeDeclinedInsufficientFunds": declined("insufficient_funds"),
    "pm_card_visa_chargeDeclinedLostCard": declined("lost_card"),
    "pm_card_chargeDeclinedLostCard": declined("lost_card"),
    "pm_card_visa_chargeDeclinedStolenCard": declined("stolen_card"),
    "pm_card_chargeDeclinedStolenCard": declined("stolen_card"),
    "pm_card_chargeDeclinedExpiredCard": declined("expired_card"),
    "pm_card_chargeDeclinedIncorrectCvc": declined("incorrect_cvc"),
    "pm_card_chargeDeclinedProcessingError": declined("processing_error"),
    "pm_card_visa_chargeDeclinedVelocityLimitExceeded": declined("card_velocity_exceeded"),
    "pm_card_chargeDeclinedFraudulent": declined("fraudulent"),
    "pm_card_chargeCustomerFail": declined("generic_decline"),
    "pm_card_radarBlock": declined("fraudulent"),
    "pm_card_threeDSecure2Required": AUTHENTICATED,
    "pm_card_threeDSecureRequired": AUTHENTICATED,
    "pm_card_threeDSecureRequiredChargeDeclined": declined("generic_decline", *ASKED),
    "pm_card_threeDSecureRequiredProcessingError": declined("processing_error", *ASKED),
    "pm_card_threeDSecureOptional": taken(),
    "pm_card_authenticationRequired": AUTHENTICATED,
    "pm_card_authenticationRequiredOnSetup": AUTHENTICATED,
    "pm_card_authenticationRequiredSetupForOffSession": AUTHENTICATED,
    "pm_card_createDispute": withdrawn(taken(None, *DISPUTED), BASE),
    "pm_card_createDisputeProductNotReceived": withdrawn(taken(None, *DISPUTED), BASE),
    "pm_card_createDisputeInquiry": taken(None, "dispute_opened"),
    "pm_card_pendingRefund": returned(0),
    "pm_card_refundFail": taken(None, *REFUNDED, "refund_reversed"),
}
STRIPES_TOKENS: Final = {
    "tok_visa": taken(),
    "tok_visa_chargeDeclined": declined("generic_decline"),
    "pm_nonsense": End(status="failed", code="invalid_token", tags=("declined", "failed")),
}

SHOWN: Final = (*ASKED, "authorized")
LEFT: Final = failed(ABANDONED, *ASKED)
"""A payment that failed at the checkout ends nothing: the customer never came back."""
LAPSED: Final = End(
    status="expired",
    tags=(*SHOWN, "capture_requested", "outcome_unknown", "capture_failed", "expired"),
)
NEVER_CAPTURED: Final = (4010, 5001, 5003, 5005)
RAZORPAYS_AMOUNTS: Final = {
    **{n: taken(n, after=SHOWN) for n in (PLAIN, 2001, 2002, 3001, 4090, 4290)},
    **{n: taken(n, after=SHOWN) for n in (5002, 5004, 5006, 5007, 5008)},
    **{n: taken(n, after=SHOWN) for n in range(7001, 7009)},
    **dict.fromkeys((2003, 3002, 3003, *range(4001, 4008)), LEFT),
    **dict.fromkeys(NEVER_CAPTURED, LAPSED),
    8001: returned(8001, after=SHOWN),
    8002: taken(8002, *REFUNDED, "refund_reversed", after=SHOWN),
    8003: withdrawn(
        taken(8003, "dispute_opened", "dispute_funds_withdrawn", "dispute_closed", after=SHOWN),
        BASE + 8003,
    ),
    8004: taken(8004, "dispute_opened", "dispute_closed", after=SHOWN),
    9001: taken(9001, after=SHOWN),
    9002: End(
        status="failed", code=ABANDONED, tags=(*ASKED, *CLOSED, "stray_payment_found", "voided")
    ),
    9003: taken(9003, after=SHOWN),
}
TOKEN: Final = "token_of_the_customer"
RAZORPAYS_GOOD: Final = {
    "success", "4100280000001007", "5500670000001002", "6527658900001005", "4111111111111111",
    "success@razorpay",
}  # fmt: skip


async def test_each_amount_code_of_stripe_ends_as_it_should(market: Market) -> None:
    assert set(STRIPES_AMOUNTS) == {PLAIN, *AMOUNTS}
    lives = Lives(
        market, {n: await market.order("pm_card_visa", BASE + n) for n in STRIPES_AMOUNTS}
    )
    await lives.hang(HANGING)
    await lives.go_on()
    lives.authenticate()
    await lives.go_on()
    market.later(DEADLINE)
    await lives.go_on()
    await lives.refund((8001, 8002))
    await lives.afterwards((8001, 8002, 8003, 8004), SOON, SOON)
    assert await lives.ends(hung=HANGING) == STRIPES_AMOUNTS
    await audited(market)


async def test_each_test_card_of_stripe_ends_as_it_should(market: Market) -> None:
    table = STRIPES_CARDS | STRIPES_TOKENS
    assert set(STRIPES_CARDS) == set(CARDS)
    lives = Lives(market, {token: await market.order(token, BASE) for token in table})
    await lives.hang(())
    lives.authenticate()
    await lives.go_on()
    refunded = ("pm_card_pendingRefund", "pm_card_refundFail")
    await lives.refund(refunded)
    disputed = [token for token in CARDS if "Dispute" in token]
    await lives.afterwards((*refunded, *disputed), SOON, SOON)
    assert await lives.ends() == table


async def test_each_amount_code_of_razorpay_ends_as_it_should(market: Market) -> None:
    assert set(RAZORPAYS_AMOUNTS) == {PLAIN, *AMOUNTS}
    orders = {n: await market.order(None, BASE + n, "INR") for n in RAZORPAYS_AMOUNTS}
    lives = Lives(market, orders)
    market.call_limit_s = PATIENT_S
    await lives.go_on(rounds=1)
    for code in lives.orders:
        lives.pay(code)
    await lives.hang(HANGING)
    await lives.go_on(rounds=8)
    market.later(DEADLINE)
    await lives.go_on([n for n in lives.orders if n not in NEVER_CAPTURED])
    await lives.refund((8001, 8002))
    await lives.afterwards((8001, 8002, 8003, 8004), SOON, SOON)
    await lives.afterwards((9002,), timedelta(days=2))
    assert [stray.state for stray in lives.orders[9002].strays] == ["held"]
    await lives.afterwards((9002,), timedelta(days=6))
    await lives.go_on(NEVER_CAPTURED)
    assert await lives.ends(hung=HANGING) == RAZORPAYS_AMOUNTS
    await audited(market)


async def test_each_test_card_and_address_of_razorpay_ends_as_it_should(market: Market) -> None:
    named = [*REASONS, *RAZORPAYS_CARDS, *ADDRESSES, "success", "pending"]
    orders = {name: await market.order(None, BASE, "INR") for name in named}
    # A saved token is for the checkout, too: whom it belongs to is there.
    lives = Lives(market, orders | {TOKEN: await market.order(TOKEN, BASE, "INR")})
    await lives.hang(())
    for name in named:
        field = "card[number]" if name in RAZORPAYS_CARDS else "outcome"
        lives.pay(name, **{"vpa" if name in ADDRESSES else field: name})
    lives.pay(TOKEN)
    await lives.go_on()
    market.later(DEADLINE)
    await lives.go_on()
    good = dict.fromkeys((*RAZORPAYS_GOOD, TOKEN), taken(after=SHOWN))
    assert await lives.ends() == dict.fromkeys(named, LEFT) | good


async def test_a_refund_that_razorpay_makes_slowly_is_a_refund(market: Market) -> None:
    lives = Lives(market, {SLOW_AMOUNT: await market.order(None, BASE, "INR")})
    await lives.hang(())
    lives.pay(SLOW_AMOUNT)
    await lives.go_on()
    await market.shop.refund(lives.orders[SLOW_AMOUNT], SLOW_AMOUNT)
    await lives.go_on()
    assert await lives.ends() == {
        SLOW_AMOUNT: End(
            status="partially_refunded",
            tags=(*SHOWN, *TAKEN, *REFUNDED),
            captured=BASE,
            refunded=SLOW_AMOUNT,
        )
    }


async def test_a_hold_that_razorpay_gives_back_by_itself_ends_the_order_uncharged(
    market: Market,
) -> None:
    order = await market.shop.order(
        None, wait_s=0, amount_minor=BASE + 9003, currency="INR", capture_method="manual"
    )
    lives = Lives(market, {9003: order})
    await lives.hang(())
    lives.pay(9003)
    await lives.go_on(rounds=1)
    assert lives.orders[9003].status == "authorized"
    await lives.afterwards((9003,), timedelta(minutes=11))
    ((_, end),) = (await lives.ends()).items()
    assert end == End(status="cancelled", tags=(*SHOWN, "voided", "cancelled"))


async def audited(market: Market) -> None:
    """See that the ledger, kept by its projector, is what the log says."""
    async with clerk_of(market) as clerk:
        await clerk.books()
