"""Orders at both vendors while three calls in ten go wrong, and what the vendors' books say."""

from collections import Counter
from datetime import timedelta

import pytest

from domain.order.state import Order
from tests.commands.market import Market

BASE = 10_000
ORDERS = 30
STORM_ROUNDS = 6
CALM_ROUNDS = 20
EVERY_WINDOW = timedelta(hours=2)
"""Later than any customer's time to pay."""


@pytest.mark.parametrize("seed", [1, 2])
async def test_nobody_is_charged_twice_in_a_storm_and_almost_everybody_is_charged(
    market: Market, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    monkeypatch.setattr("tests.commands.market.CALL_LIMIT_S", 0.5)
    market.server.control("POST", "profile", name="hostile", seed=seed)
    orders = [
        await market.order("pm_card_visa" if n % 3 else None, BASE + n, "USD" if n % 3 else "INR")
        for n in range(ORDERS)
    ]
    paid: set[str] = set()
    for _ in range(STORM_ROUNDS):
        orders = await market.round(orders)
        customers_pay(market, orders, paid)
        market.later(timedelta(seconds=5))
    assert len(market.server.journal()) > ORDERS
    market.server.control("POST", "profile", name="calm")
    for _ in range(3):
        orders = await market.settle(orders, rounds=CALM_ROUNDS)
        customers_pay(market, orders, paid)
    orders = await market.settle(orders, rounds=CALM_ROUNDS)
    market.later(EVERY_WINDOW)
    orders = await market.settle(orders, rounds=CALM_ROUNDS)
    for order in orders:
        book = market.book(order)
        assert (book["captured"], book["held"]) == (order.amount_captured, 0), order
    came_to = Counter(order.status for order in orders)
    assert set(came_to) <= {"captured", "failed"}, came_to
    assert came_to["captured"] >= ORDERS * 0.8, came_to


def customers_pay(market: Market, orders: list[Order], paid: set[str]) -> None:
    """Every customer who is shown the checkout pays there, once."""
    for order in orders:
        live = order.live
        if live and live.challenge == "razorpay_checkout" and live.id not in paid:
            paid.add(live.id)
            market.pay(order)
