"""Payouts and their reports: explained by the orders to the cent, or it is said what is not."""

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from commands.settlement_reports import ReportError
from domain.errors import Rejected
from domain.order.state import Order
from domain.order.steps import steps
from domain.settlement import Settlement, fold
from tests.commands.clerk import Clerk, clerk_of
from tests.commands.market import Market

TEN = 10_000
FEE = 320
"""Of 100.00 at the sandbox's Stripe: 2.9 % and 0.30."""


@pytest.fixture
async def clerk(market: Market) -> AsyncIterator[Clerk]:
    async with clerk_of(market) as clerk:
        yield clerk


async def bought(market: Market, *amounts: int, currency: str = "USD") -> list[Order]:
    """Orders that are captured at Stripe."""
    made = [await market.order("pm_card_visa", n, currency) for n in amounts]
    done = await market.settle(made)
    assert {order.status for order in done} == {"captured"}
    return done


def open_lines(settlement: Settlement) -> dict[str, str | None]:
    """Why lines are not explained, by what they are about."""
    return {x.line.reference or x.line.id: x.reason for x in settlement.lines if x.match is None}


async def test_a_fee_is_recorded_with_the_capture_where_it_is_known(clerk: Clerk) -> None:
    (order,) = await bought(clerk.market, TEN)
    assert (await clerk.market.shop.events(order.id))[-2:] == ["captured", "fee_recorded"]
    assert order.fees == (("capture", order.captures[0].id),)
    books = await clerk.books()
    assert (books["fees", "USD"], books["income", "USD"]) == (FEE, FEE)
    assert (books["receivable", "USD"], books["payable", "USD"]) == (TEN - FEE, TEN - FEE)


async def test_s18_a_fee_known_a_day_later_and_a_payout_in_dollars_are_explained_to_the_cent(
    clerk: Clerk,
) -> None:
    market = clerk.market
    options = {"stripe_balance_after_s": 86_400, "stripe_settlement_currency": "usd"}
    market.server.control("POST", "options", **options)
    (order,) = await bought(market, TEN, currency="EUR")
    (order,) = await market.round([order])
    assert order.fees == (), "nobody knows it yet"
    market.later(timedelta(days=1, minutes=1))
    (order,) = await market.round([order])
    assert order.fees == (("capture", order.captures[0].id),)
    before = await clerk.books()
    assert (before["receivable", "EUR"], before["payable", "EUR"]) == (TEN, TEN)
    assert before["fees", "USD"] == -before["receivable", "USD"] > 0

    (payout,) = clerk.paid_out()
    (done,) = await clerk.take_in("stripe", clerk.report(payout))
    assert open_lines(done.settlement) == {}
    books = await clerk.books()
    for code in ("EUR", "USD"):
        for kind in ("receivable", "payable", "fx"):
            assert books.get((kind, code), 0) == 0, (kind, code)
    assert books["bank", "USD"] == books["bank_contra", "USD"] == payout["amount"]
    assert (await clerk.balances())["USD"].paid_out == payout["amount"]
    by_code = {one.currency: one for one in (await clerk.today()).statements}
    assert (by_code["EUR"].captures, by_code["EUR"].fx) == (TEN, -TEN)
    dollars = by_code["USD"]
    assert dollars.fx + dollars.fees == -dollars.payouts == payout["amount"]


async def test_refunds_disputes_and_fees_of_both_vendors_are_explained_line_by_line(
    clerk: Clerk,
) -> None:
    market = clerk.market
    plain, part, back, lost, won = await bought(market, TEN, 20_000, 30_000, 18_003, 18_004)
    for order, amount in ((part, 5_000), (back, 30_000)):
        await market.shop.refund(order, amount)
    (rupees,) = await market.round([await market.order(None, 50_000, "INR")])
    market.pay(rupees)
    part, back, rupees = await market.settle([part, back, rupees])
    assert rupees.status == "captured"
    market.later(timedelta(minutes=3))
    lost, won = [await market.look_at(order) for order in (lost, won)]
    assert [d.status for order in (lost, won) for d in order.disputes] == ["lost", "won"]

    payouts = {payout["id"]: payout["amount"] for payout in clerk.paid_out()}
    brought = [*await clerk.fetch("stripe"), *await clerk.fetch("razorpay")]
    assert {x.settlement.payout_id: x.settlement.amount.minor for x in brought} == payouts
    assert [open_lines(x.settlement) for x in brought] == [{}, {}]
    kinds = sorted(line.line.kind for x in brought for line in x.settlement.lines)
    assert kinds == [
        *["capture"] * 6, *["dispute"] * 2, "dispute_reversal", *["refund"] * 2,
    ]  # fmt: skip
    books = await clerk.books()
    for code in ("USD", "INR"):
        for kind in ("receivable", "payable", "disputed", "suspense"):
            assert books.get((kind, code), 0) == 0, (kind, code)
    assert books["bank", "USD"] + books["bank", "INR"] == sum(payouts.values())
    assert await clerk.missing(days=0) == []
    day = await clerk.today()
    assert sum(one.captures for one in day.statements) == sum(
        order.amount_captured for order in (plain, part, back, lost, won, rupees)
    )


async def test_a_report_brought_again_changes_nothing_by_whatever_way(clerk: Clerk) -> None:
    await bought(clerk.market, TEN, 20_000)
    (payout,) = clerk.paid_out()
    text = clerk.report(payout)
    (first,) = await clerk.take_in("stripe", text)
    assert (first.new, first.added) == (True, 2)
    before = await clerk.books()
    (again,) = await clerk.take_in("stripe", text)
    (fetched,) = await clerk.fetch("stripe")
    assert [(x.new, x.added) for x in (again, fetched)] == [(False, 0)] * 2
    assert again.settlement == fetched.settlement == first.settlement
    assert await clerk.books() == before
    with pytest.raises(Rejected) as refused:
        await clerk.take_in("stripe", text.replace("96.80", "96.81").replace(",3.20", ",3.19"))
    assert refused.value.code == "settlement_differs"


async def test_an_import_that_was_cut_off_is_finished_by_the_next(clerk: Clerk) -> None:
    await bought(clerk.market, TEN, 20_000, 30_000)
    (payout,) = clerk.paid_out()
    text = clerk.report(payout)
    (done,) = await clerk.take_in("stripe", text)
    rows = (await clerk.market.app.ports.store.load([done.settlement.id]))[done.settlement.id]
    assert [row.version for row in rows] == [1, 2, 3, 4]
    cut = fold(rows[:2])
    assert cut is not None
    assert (cut.count, len(cut.lines)) == (3, 1)


async def test_a_file_with_one_bad_line_is_not_taken_in_at_all(clerk: Clerk) -> None:
    await bought(clerk.market, TEN, 20_000)
    (payout,) = clerk.paid_out()
    broken = clerk.report(payout).replace("193.90", "193.91")
    with pytest.raises(ReportError, match=r"^line \d: gross 200\.00 USD less fee 6\.10 USD is not"):
        await clerk.take_in("stripe", broken)
    assert len(await clerk.missing(days=-1)) == 2, "nothing of it was taken in"


async def test_what_is_not_explained_says_why_and_stays_in_the_bank(clerk: Clerk) -> None:
    market = clerk.market
    orders = await bought(market, TEN, 20_000, 30_000, 40_000)
    with market.server.stripe(f"sk_test_{market.key}") as stripe:
        foreign = stripe.v1.payment_intents.create(
            {"amount": 700, "currency": "usd", "payment_method": "pm_card_visa", "confirm": True,
             "payment_method_types": ["card"]}
        )  # fmt: skip
    (payout,) = clerk.paid_out()
    charges = [order.captures[0].processor_id for order in orders]
    lines = clerk.report(payout).splitlines()

    def changed(charge: str | None, old: str, new: str) -> None:
        at = next(n for n, line in enumerate(lines) if charge and f",{charge}," in line)
        assert old in lines[at]
        lines[at] = lines[at].replace(old, new, 1)

    changed(charges[1], ",200.00,6.10,193.90,", ",190.00,6.10,183.90,")
    changed(charges[2], ",300.00,9.00,291.00,", ",300.00,9.50,290.50,")
    changed(charges[3], ",400.00,usd,", ",400.00,eur,")
    twice = next(line for line in lines if f",{charges[0]}," in line)
    txn = twice.split(",")[2]
    lines.append(twice.replace(txn, "txn_twice"))
    (done,) = await clerk.take_in("stripe", "\n".join(lines) + "\n")
    found = {x.line.id if x.line.id == "txn_twice" else x.line.reference: x.reason
             for x in done.settlement.lines if x.match is None}  # fmt: skip
    assert found == {
        charges[1]: "amount_differs",
        charges[2]: "fee_differs",
        charges[3]: "currency_differs",
        foreign.latest_charge: "unknown_payment",
        "txn_twice": "duplicate",
    }
    books = await clerk.books()
    explained = TEN - FEE
    assert books["bank_contra", "USD"] == explained
    assert books["bank", "USD"] == done.settlement.amount.minor
    day = await clerk.today()
    assert day.statements[-1].unexplained == books["bank", "USD"] - explained


async def test_an_operators_word_explains_a_line_and_posts_what_is_off(clerk: Clerk) -> None:
    market = clerk.market
    first, second = await bought(market, TEN, 20_000)
    with market.server.stripe(f"sk_test_{market.key}") as stripe:
        stripe.v1.payment_intents.create(
            {"amount": 700, "currency": "usd", "payment_method": "pm_card_visa", "confirm": True,
             "payment_method_types": ["card"]}
        )  # fmt: skip
    (payout,) = clerk.paid_out()
    text = clerk.report(payout).replace(",100.00,3.20,96.80,", ",99.00,3.30,95.70,", 1)
    (done,) = await clerk.take_in("stripe", text)
    settlement = done.settlement
    off = next(x.line.id for x in settlement.lines if x.reason == "amount_differs")
    foreign = next(x.line.id for x in settlement.lines if x.reason == "unknown_payment")
    with pytest.raises(Rejected, match="--outside"):
        await clerk.accept(settlement, foreign)
    settlement = await clerk.accept(settlement, off)
    settlement = await clerk.accept(settlement, foreign, outside=True)
    assert open_lines(settlement) == {}
    with pytest.raises(Rejected) as refused:
        await clerk.accept(settlement, off)
    assert refused.value.code == "already_matched"
    books = await clerk.books()
    assert books["payable", "USD"] == books["receivable", "USD"] == 0
    assert books["bank", "USD"] == books["bank_contra", "USD"]
    day = (await clerk.today()).statements[-1]
    assert (day.corrections, day.fees, day.closing) == (-100, -(330 + 610), 0)
    settlement = await clerk.unmatch(settlement, off)
    assert open_lines(settlement) == {first.captures[0].processor_id: "undone"}
    books = await clerk.books()
    assert books["payable", "USD"] == TEN - FEE
    assert (await clerk.today()).statements[-1].unexplained == 9_570
    assert second.amount_captured == 20_000


async def test_a_line_is_explained_once_the_order_knows_what_it_is_about(clerk: Clerk) -> None:
    market = clerk.market
    (order,) = await bought(market, TEN)
    market.server.trigger("dashboard_refund", payment=order.attempts[0].reference, amount=2_500)
    (payout,) = clerk.paid_out()
    (done,) = await clerk.take_in("stripe", clerk.report(payout))
    assert list(open_lines(done.settlement).values()) == ["unknown_payment"]
    order = await market.look_at(order)
    assert order.amount_refunded == 2_500
    settlement = await clerk.again(done.settlement)
    assert open_lines(settlement) == {}
    books = await clerk.books()
    assert books["payable", "USD"] == books["receivable", "USD"] == 0
    assert await clerk.again(settlement) == settlement


async def test_payouts_of_currencies_with_no_and_with_three_decimals_are_explained(
    clerk: Clerk,
) -> None:
    amounts = {"JPY": 5_000, "KWD": 12_340, "ISK": 1_000}
    for code, amount in amounts.items():
        await bought(clerk.market, amount, currency=code)
    payouts = clerk.paid_out()
    assert len(payouts) == len(amounts)
    for payout in payouts:
        (done,) = await clerk.take_in("stripe", clerk.report(payout))
        assert open_lines(done.settlement) == {}
    assert [done.added for done in await clerk.fetch("stripe")] == [0, 0, 0]
    books, balances = await clerk.books(), await clerk.balances()
    for code, amount in amounts.items():
        assert books["receivable", code] == books["payable", code] == 0
        assert balances[code].paid_out == amount - books["fees", code]
        assert 0 < books["fees", code] < amount


async def test_what_no_report_brings_is_missing_after_some_days(clerk: Clerk) -> None:
    (order,) = await bought(clerk.market, TEN)
    assert await clerk.missing(days=2) == []
    clerk.market.later(timedelta(days=3))
    (gone,) = await clerk.missing(days=2)
    assert (gone.order_id, gone.kind, gone.amount_minor) == (order.id, "capture", TEN)
    (payout,) = clerk.paid_out()
    await clerk.take_in("stripe", clerk.report(payout))
    assert await clerk.missing(days=2) == []


async def test_a_report_tells_an_order_its_fee_and_ends_the_looking(clerk: Clerk) -> None:
    market = clerk.market
    market.server.control("POST", "options", stripe_balance_after_s=30)
    (order,) = await bought(market, TEN)
    assert order.fees == ()
    market.later(timedelta(seconds=31))
    (payout,) = clerk.paid_out()
    (done,) = await clerk.take_in("stripe", clerk.report(payout))
    assert open_lines(done.settlement) == {}
    order = await market.shop.read(order.id)
    assert order.fees == (("capture", order.captures[0].id),)
    assert steps(order) == ()
    assert (await clerk.books())["fees", "USD"] == FEE


async def test_razorpays_file_says_what_its_api_says(clerk: Clerk) -> None:
    market = clerk.market
    (order,) = await market.round([await market.order(None, 50_000, "INR")])
    market.pay(order)
    (order,) = await market.settle([order])
    await market.shop.refund(order, 20_000)
    (order,) = await market.settle([order])
    (payout,) = clerk.paid_out()
    text = clerk.report(payout)
    (done,) = await clerk.take_in("razorpay", text)
    assert open_lines(done.settlement) == {}
    (fetched,) = await clerk.fetch("razorpay")
    assert (fetched.added, fetched.settlement) == (0, done.settlement)
    assert done.settlement.amount.minor == payout["amount"] == 50_000 - 1_180 - 20_000
    with pytest.raises(ReportError, match="do not fit together"):
        await clerk.take_in("razorpay", text.replace(",488.20,", ",488.21,", 1))
    books = await clerk.books()
    assert books["payable", "INR"] == books["receivable", "INR"] == 0
