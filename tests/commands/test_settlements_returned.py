"""Payouts that fail, refunds that come after their payment's payout: explained to the cent."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from commands.import_settlement import Imported
from domain.order.state import Order
from domain.settlement import Settlement
from tests.commands.clerk import Clerk, clerk_of
from tests.commands.market import Market

TEN, TWENTY = 10_000, 20_000
NET_TEN, NET_TWENTY = TEN - 320, TWENTY - 610
"""At the sandbox's Stripe: 2.9 % and 0.30."""
RUPEES = 50_000
RUPEES_FEE = 1_180


@pytest.fixture
async def clerk(market: Market) -> AsyncIterator[Clerk]:
    async with clerk_of(market) as clerk:
        yield clerk


async def bought(clerk: Clerk, amount: int) -> Order:
    market = clerk.market
    (order,) = await market.settle([await market.order("pm_card_visa", amount, "USD")])
    assert order.status == "captured"
    return order


async def in_rupees(clerk: Clerk) -> Order:
    market = clerk.market
    (order,) = await market.round([await market.order(None, RUPEES, "INR")])
    market.pay(order)
    (order,) = await market.settle([order])
    assert order.status == "captured"
    return order


def fail(clerk: Clerk, payout: dict[str, Any]) -> None:
    clerk.market.server.trigger("payout_failed", payout=payout["id"])


def reasons(settlement: Settlement) -> dict[str, str | None]:
    return {line.line.kind: line.reason for line in settlement.lines}


def explained(*brought: Imported) -> bool:
    return all(line.match is not None for one in brought for line in one.settlement.lines)


async def available(clerk: Clerk, currency: str) -> tuple[int, int]:
    """What the books and the day's statement say is there, and what is not explained yet."""
    books, day = await clerk.books(), await clerk.today()
    (one,) = [x for x in day.statements if x.currency == currency]
    assert one.closing == books["payable", currency]
    return one.closing, one.unexplained


async def test_a_payout_that_failed_is_paid_out_with_the_next_one(clerk: Clerk) -> None:
    await bought(clerk, TEN)
    (failed,) = clerk.paid_out()
    assert explained(*await clerk.fetch("stripe"))
    assert (await clerk.balances())["USD"].paid_out == NET_TEN
    fail(clerk, failed)
    await bought(clerk, TWENTY)
    (payout,) = clerk.paid_out()
    assert payout["amount"] == NET_TEN + NET_TWENTY
    first, second = await clerk.fetch("stripe")
    assert (first.settlement.payout_id, first.added) == (failed["id"], 0)
    assert explained(first, second)

    books = await clerk.books()
    assert books["bank", "USD"] == books["bank_contra", "USD"] == payout["amount"]
    assert books["receivable", "USD"] == books["payable", "USD"] == 0
    assert (await clerk.balances())["USD"].paid_out == payout["amount"]
    assert await available(clerk, "USD") == (0, 0)
    assert await clerk.missing(days=-1) == []


async def test_what_explains_a_payout_that_came_back_can_be_taken_back(clerk: Clerk) -> None:
    await bought(clerk, TEN)
    (failed,) = clerk.paid_out()
    fail(clerk, failed)
    await bought(clerk, TWENTY)
    clerk.paid_out()
    _, second = await clerk.fetch("stripe")
    (line,) = [x.line for x in second.settlement.lines if x.line.kind == "payout_reversal"]
    assert (line.reference, line.net.minor) == (failed["id"], NET_TEN)
    undone = await clerk.unmatch(second.settlement, line.id)
    assert reasons(undone) == {"capture": None, "payout_reversal": "undone"}
    assert await available(clerk, "USD") == (0, NET_TEN)
    again = await clerk.again(undone)
    assert reasons(again) == {"capture": None, "payout_reversal": None}
    assert await available(clerk, "USD") == (0, 0)


async def test_files_are_explained_in_whatever_order_they_come(clerk: Clerk) -> None:
    await bought(clerk, TEN)
    (failed,) = clerk.paid_out()
    fail(clerk, failed)
    await bought(clerk, TWENTY)
    (payout,) = clerk.paid_out()
    (second,) = await clerk.take_in("stripe", clerk.report(payout))
    assert reasons(second.settlement) == {"capture": None, "payout_reversal": "unknown_payment"}
    assert await available(clerk, "USD") == (NET_TEN, NET_TEN)
    assert explained(*await clerk.take_in("stripe", clerk.report(failed)))
    assert set(reasons(await clerk.again(second.settlement)).values()) == {None}
    assert await available(clerk, "USD") == (0, 0)


async def test_a_refund_after_its_payments_settlement_makes_a_negative_one(clerk: Clerk) -> None:
    order = await in_rupees(clerk)
    clerk.paid_out()
    (first,) = await clerk.fetch("razorpay")
    assert first.settlement.amount.minor == RUPEES - RUPEES_FEE
    await clerk.market.shop.refund(order, RUPEES)
    await clerk.market.settle([order])
    assert await available(clerk, "INR") == (-RUPEES, 0)
    (payout,) = clerk.paid_out()
    assert payout["amount"] == -RUPEES
    (second,) = await clerk.take_in("razorpay", clerk.report(payout))
    assert explained(first, second)
    brought = await clerk.fetch("razorpay")
    assert [one.added for one in brought] == [0, 0]
    assert (await clerk.balances())["INR"].paid_out == -RUPEES_FEE
    books = await clerk.books()
    assert books["receivable", "INR"] == books["payable", "INR"] == 0
    assert await available(clerk, "INR") == (0, 0)


async def test_a_refund_that_comes_back_after_its_settlement_is_explained_by_its_payment(
    clerk: Clerk,
) -> None:
    market, order = clerk.market, await in_rupees(clerk)
    for amount in (20_000, 5_000):
        await market.shop.refund(order, amount)
        (order,) = await market.settle([order])
    clerk.paid_out()
    assert explained(*await clerk.fetch("razorpay"))
    market.server.trigger("refund_failed", refund=order.refunds[0].processor_id)
    order = await market.look_at(order)
    assert order.amount_refunded == 5_000
    assert await available(clerk, "INR") == (20_000, 0)
    (payout,) = clerk.paid_out()
    (done,) = await clerk.take_in("razorpay", clerk.report(payout))
    assert reasons(done.settlement) == {"refund_reversal": None}
    assert (await clerk.books())["receivable", "INR"] == 0
    assert await available(clerk, "INR") == (0, 0)
    assert await clerk.missing(days=-1) == []


async def test_a_refund_that_comes_back_before_any_settlement_is_not_missing(
    clerk: Clerk,
) -> None:
    market, order = clerk.market, await in_rupees(clerk)
    await market.shop.refund(order, 20_000)
    (order,) = await market.settle([order])
    market.server.trigger("refund_failed", refund=order.refunds[0].processor_id)
    order = await market.look_at(order)
    assert order.amount_refunded == 0
    assert [row.kind for row in await clerk.missing(days=-1)] == ["capture"]
    clerk.paid_out()
    (done,) = await clerk.fetch("razorpay")
    assert reasons(done.settlement) == {"capture": None}
    assert await clerk.missing(days=-1) == []
    assert await available(clerk, "INR") == (0, 0)


async def test_a_settlement_that_failed_is_at_the_processor_until_it_is_tried_again(
    clerk: Clerk,
) -> None:
    await in_rupees(clerk)
    (payout,) = clerk.paid_out()
    fail(clerk, payout)
    assert await clerk.fetch("razorpay") == []
    net = RUPEES - RUPEES_FEE
    assert (await clerk.balances())["INR"].paid_out == 0
    assert await available(clerk, "INR") == (net, 0)
    (again,) = clerk.paid_out()
    assert again == payout | {"status": "processed"}
    (done,) = await clerk.fetch("razorpay")
    assert explained(done)
    assert (await clerk.balances())["INR"].paid_out == net
    assert await available(clerk, "INR") == (0, 0)
