"""Where money once could stay for ever: what had no way out has one, through the real SDKs."""

from datetime import UTC, datetime, timedelta

import pytest
from msgspec.structs import replace

from adapters.saga_worker import pause_s
from commands.pay_order import PayOrder, pay_order
from commands.sagas.act import Act, Later
from commands.sagas.payment import PaymentSaga
from domain.order.state import Order
from domain.order.steps import steps
from tests.commands.market import Market
from tests.commands.outcomes import PATIENT_S, check_ledger
from tests.commands.test_money_sequences import CAPTURE, ask_for_capture, calls, held, row_of

BASE = 10_000
CARD = "pm_card_visa"
REFUND = {"method": "POST", "path": "/refund"}


def captured_elsewhere(market: Market, order: Order) -> None:
    """Capture as we did in a log that a restore has lost."""
    with market.server.stripe(f"sk_test_{market.key}") as stripe:
        reference = str(order.attempts[0].reference)
        lost = {"metadata": {"capture_id": "cap_of_a_lost_log"}}
        stripe.v1.payment_intents.capture(reference, lost)


async def looked_now(market: Market, order: Order) -> None:
    """Record what a lookup shows, by the clock of the market."""
    ahead = timedelta(seconds=market.now_s)
    ports = replace(market.app.ports, now=lambda: datetime.now(UTC) + ahead)
    saga = PaymentSaga(ports, worker=market.app.due.worker, call_limit_s=PATIENT_S)
    assert await saga.look_at(order.id, order.attempts[0].id) == "changed"


@pytest.mark.parametrize("seen", ["by our own capture", "before it is sent", "after a lost try"])
async def test_a_capture_that_a_restore_has_lost_answers_the_one_that_is_asked_for(
    market: Market, seen: str
) -> None:
    order = await ask_for_capture(market, await held(market, "stripe"))
    captured_elsewhere(market, order)
    if seen == "before it is sent":
        order = await market.look_at(order)
    if seen == "after a lost try":
        market.server.fault("close", "before", match=CAPTURE, limit=1)
    (order,) = await market.settle([order])
    assert (order.status, order.amount_captured) == ("captured", BASE)
    assert [capture.status for capture in order.captures] == ["succeeded"]
    assert steps(order) == () or {step.operation for step in steps(order)} == {"lookup_fee"}
    assert "capture_failed" not in await market.shop.events(order.id)
    await check_ledger(market, order, market.book(order))


async def test_stray_money_that_is_found_late_goes_back_although_the_first_try_is_lost(
    market: Market,
) -> None:
    market.server.control("POST", "options", razorpay_late_capture=True)
    (order,) = await market.round([await market.order(None, BASE + 9002, "INR")])
    market.pay(order)
    market.later(timedelta(minutes=16))
    (order,) = await market.settle([order])
    assert order.status == "failed"
    # Captured after two days; nobody told us for another five.
    market.later(timedelta(days=7))
    market.server.fault("close", "before", match=REFUND, limit=1)
    await looked_now(market, order)
    (order,) = await market.settle([order])
    assert [stray.open for stray in order.strays] == [False]
    book = market.book(order)
    assert (book["captured"], book["refunded"]) == (BASE + 9002, BASE + 9002)
    assert len(calls(market, "/refund")) == 2


async def test_a_refund_that_never_arrived_is_free_again_when_its_key_is_gone(
    market: Market,
) -> None:
    (order,) = await market.settle([await market.order(CARD, BASE)])
    refund = await market.shop.refund(order)
    market.server.fault("close", "before", match=REFUND, limit=1)
    (order,) = await market.round([order])
    market.later(timedelta(hours=26))
    (order,) = await market.settle([order])
    found = order.refund(refund)
    assert found is not None
    assert (found.status, found.error_code, order.refundable) == ("failed", "not_found", BASE)
    again = await market.shop.refund(order)
    (order,) = await market.settle([order])
    found = order.refund(again)
    assert found is not None
    assert (found.status, market.book(order)["refunded"]) == ("succeeded", BASE)


async def test_a_first_try_that_comes_late_asks_first_whether_it_is_the_first(
    market: Market,
) -> None:
    (order,) = await market.settle([await market.order(CARD, BASE)])
    refund = await market.shop.refund(order, BASE // 2)
    (order,) = await market.round([order])
    made = order.refund(refund)
    assert made is not None
    assert made.status == "succeeded"
    # A log that was restored to before its outcome has it as something to do.
    asked = await market.shop.refund(order, BASE // 2)
    with market.server.stripe(f"sk_test_{market.key}") as stripe:
        lost = {"refund_id": asked}
        reference = str(order.attempts[0].reference)
        params = {"payment_intent": reference, "amount": BASE // 2, "metadata": lost}
        stripe.v1.refunds.create(params)  # type: ignore[arg-type]
    before = len(calls(market, "/refunds"))
    market.later(timedelta(days=2))
    (order,) = await market.settle([order])
    assert (order.status, len(calls(market, "/refunds"))) == ("refunded", before)
    await check_ledger(market, order, market.book(order))


async def test_the_fee_of_foreign_money_at_razorpay_is_not_asked_for(market: Market) -> None:
    made = await market.shop.created(amount_minor=BASE, currency="EUR")
    asked = PayOrder(processor="razorpay")
    done = await pay_order(market.app.ports, market.shop.caller, made.id, asked, None, wait_s=0)
    (order,) = await market.round([done.order])
    market.pay(order)
    (order,) = await market.settle([order])
    assert (order.status, steps(order)) == ("captured", ())


@pytest.mark.parametrize("wait", ["retry", "pending", "doubt"])
async def test_whatever_is_tried_for_a_year_is_tried_seldom(market: Market, wait: str) -> None:
    order = await market.order(CARD, BASE)
    act = Act(row=row_of(order, "fence", order.id), order=order, caller=market.shop.caller)
    waited_s = 0.0
    while waited_s < timedelta(days=365).total_seconds():
        waited: Later = getattr(act, wait)
        waited_s += waited.in_s
        act.row = replace(act.row, tries=act.row.tries + 1)
    assert act.row.tries < 1_000
    act.row = replace(act.row, tries=1_000_000)
    assert getattr(act, wait).in_s >= timedelta(hours=12).total_seconds()


def test_a_step_that_fails_for_ever_is_given_back_for_ever() -> None:
    assert [pause_s(tries) for tries in (1, 6, 1_024, 1_000_000)] == [2.0, 60.0, 60.0, 60.0]
