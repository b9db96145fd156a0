"""Whole lives of orders at Stripe and Razorpay, over HTTP to a sandbox with books of its own."""

import asyncio
from datetime import timedelta

import pytest

from domain.order.state import Order
from tests.commands.market import Market
from tests.commands.outcomes import check_ledger

BASE = 10_000


def code_of(order: Order) -> str | None:
    return order.failure.code if order.failure else None


@pytest.mark.parametrize(
    ("deed", "card", "status", "code"),
    [
        ("approve", "pm_card_threeDSecure2Required", "captured", None),
        ("fail", "pm_card_threeDSecure2Required", "failed", "authentication_failed"),
        ("approve", "pm_card_threeDSecureRequiredChargeDeclined", "failed", "generic_decline"),
    ],
)
async def test_3d_secure_ends_as_the_customer_and_the_bank_say(
    market: Market, deed: str, card: str, status: str, code: str | None
) -> None:
    (order,) = await market.round([await market.order(card, BASE)])
    assert order.status == "requires_action"
    market.authenticate(order, deed)
    (order,) = await market.settle([order])
    assert (order.status, code_of(order)) == (status, code)
    assert market.book(order)["captured"] == order.amount_captured


async def test_an_abandoned_3d_secure_page_is_cancelled_before_the_order_fails(
    market: Market,
) -> None:
    (order,) = await market.round([await market.order("pm_card_threeDSecure2Required", BASE)])
    market.later(timedelta(minutes=16))
    (order,) = await market.settle([order])
    assert (order.status, code_of(order)) == ("failed", "authentication_timeout")
    market.authenticate(order)
    assert market.book(order)["authorized"] == 0


async def test_s4_a_declined_intent_is_cancelled_so_that_an_old_tab_cannot_pay_it(
    market: Market,
) -> None:
    (order,) = await market.settle([await market.order("pm_card_chargeDeclined", BASE)])
    assert order.status == "failed"
    assert await market.shop.events(order.id) == [
        "created", "routed", "processor_referenced", "declined", "attempt_fenced", "failed",
    ]  # fmt: skip
    reference = order.attempts[0].reference
    paid = market.server.page("POST", f"/pay/{reference}", payment_method="pm_card_visa")
    assert paid.status_code >= 400
    assert market.book(order)["captured"] == 0


async def test_without_a_token_the_customer_gives_a_card_and_may_try_several(
    market: Market,
) -> None:
    (order,) = await market.round([await market.order(None, BASE)])
    assert order.status == "requires_action"
    live = order.live
    assert live is not None
    assert live.challenge == "collect_payment_method"
    for card, status in (
        ("pm_card_chargeDeclined", "requires_action"),
        ("pm_card_visa", "captured"),
    ):
        market.server.page("POST", f"/pay/{live.reference}", payment_method=card)
        (order,) = await market.settle([order], rounds=3)
        assert order.status == status
    assert market.book(order)["captured"] == BASE


async def test_a_manual_order_is_captured_in_part_and_refunded(market: Market) -> None:
    shop = market.shop
    order = await shop.order("pm_card_visa", wait_s=0, amount_minor=BASE, capture_method="manual")
    (order,) = await market.round([order])
    assert (order.status, market.book(order)["held"]) == ("authorized", BASE)
    capturing = asyncio.create_task(shop.capture(order, 4_000))
    await shop.until(order.id, lambda o: bool(o.captures))
    (order,) = await market.settle([order])
    assert (await capturing).amount_captured == 4_000
    refund = await shop.refund(order, 1_500)
    (order,) = await market.settle([order])
    assert order.status == "partially_refunded"
    found = order.refund(refund)
    assert found is not None
    assert found.status == "succeeded"
    book = market.book(order)
    assert (book["captured"], book["refunded"], book["held"]) == (4_000, 1_500, 0)


async def test_a_cancelled_order_gives_its_hold_back(market: Market) -> None:
    shop = market.shop
    order = await shop.order("pm_card_visa", wait_s=0, amount_minor=BASE, capture_method="manual")
    (order,) = await market.round([order])
    order = await shop.cancel(order, wait_s=0)
    (order,) = await market.settle([order])
    assert order.status == "cancelled"
    assert market.book(order)["held"] == 0


async def test_s13_a_refund_that_comes_back_is_reversed(market: Market) -> None:
    (order,) = await market.settle([await market.order("pm_card_refundFail", BASE)])
    refund = await market.shop.refund(order)
    (order,) = await market.round([order])
    assert order.status == "refunded"
    market.later(timedelta(seconds=40))
    order = await market.look_at(order)
    assert order.status == "captured"
    found = order.refund(refund)
    assert found is not None
    assert found.status == "failed"


async def test_r2_a_failed_payment_in_the_checkout_ends_nothing(market: Market) -> None:
    (order,) = await market.round([await market.order(None, BASE, "INR")])
    market.pay(order, "card_declined")
    (order,) = await market.round([order])
    assert order.status == "requires_action"
    market.pay(order)
    (order,) = await market.settle([order])
    assert (order.status, market.book(order)["captured"]) == ("captured", BASE)


async def test_r1_an_abandoned_checkout_is_closed_by_withholding_the_capture(
    market: Market,
) -> None:
    (order,) = await market.round([await market.order(None, BASE, "INR")])
    market.later(timedelta(minutes=16))
    (order,) = await market.settle([order])
    assert (order.status, code_of(order)) == ("failed", "authentication_timeout")
    assert order.attempts[0].proof == "capture_withheld"
    market.pay(order)
    order = await market.look_at(order)
    assert (order.status, [stray.state for stray in order.strays]) == ("failed", ["held"])
    market.later(timedelta(days=6))
    (order,) = await market.settle([order], rounds=2)
    assert [stray.open for stray in order.strays] == [False]
    book = market.book(order)
    assert (book["captured"], book["held"]) == (0, 0)


async def test_r3_a_payment_that_comes_late_into_an_open_checkout_counts(market: Market) -> None:
    (order,) = await market.round([await market.order(None, BASE + 9001, "INR")])
    market.pay(order)
    (order,) = await market.round([order])
    assert order.status == "requires_action"
    market.later(timedelta(minutes=7))
    (order,) = await market.settle([order])
    assert (order.status, market.book(order)["captured"]) == ("captured", BASE + 9001)


async def test_r9_r19_a_cancelled_hold_stays_in_our_books_until_razorpay_gives_it_back(
    market: Market,
) -> None:
    shop = market.shop
    order = await shop.order(
        None, wait_s=0, amount_minor=BASE, currency="INR", capture_method="manual"
    )
    (order,) = await market.round([order])
    market.pay(order)
    (order,) = await market.round([order])
    assert order.status == "authorized"
    order = await shop.cancel(order, wait_s=0)
    (order,) = await market.settle([order])
    assert order.status == "cancelled"
    book = market.book(order)
    assert book["held"] == BASE
    await check_ledger(market, order, book)
    market.later(timedelta(days=6))
    (order,) = await market.settle([order], rounds=2)
    book = market.book(order)
    assert (book["held"], (await market.shop.events(order.id))[-1]) == (0, "voided")
    await check_ledger(market, order, book)


@pytest.mark.parametrize(
    ("amount", "card", "status", "withdrawn"),
    [
        (BASE + 8003, "pm_card_visa", "lost", BASE + 8003),
        (BASE + 8004, "pm_card_visa", "won", 0),
        (BASE, "pm_card_createDispute", "open", BASE),
        (BASE, "pm_card_createDisputeInquiry", "open", 0),
    ],
)
async def test_a_dispute_is_recorded_as_stripe_shows_it(
    market: Market, amount: int, card: str, status: str, withdrawn: int
) -> None:
    (order,) = await market.settle([await market.order(card, amount)])
    for wait in (5, 120, 0):
        market.later(timedelta(seconds=wait))
        order = await market.look_at(order)
    assert [(d.status, d.withdrawn.minor) for d in order.disputes] == [(status, withdrawn)]
    assert market.book(order)["disputed"] == withdrawn


@pytest.mark.parametrize(
    ("amount", "status", "withdrawn"), [(BASE + 8003, "lost", BASE + 8003), (BASE + 8004, "won", 0)]
)
async def test_a_dispute_is_recorded_as_razorpay_shows_it(
    market: Market, amount: int, status: str, withdrawn: int
) -> None:
    (order,) = await market.round([await market.order(None, amount, "INR")])
    market.pay(order)
    (order,) = await market.settle([order])
    for wait in (5, 120, 0):
        market.later(timedelta(seconds=wait))
        order = await market.look_at(order)
    assert [(d.status, d.withdrawn.minor) for d in order.disputes] == [(status, withdrawn)]
    assert market.book(order)["disputed"] == withdrawn
    assert order.refundable == amount - withdrawn
