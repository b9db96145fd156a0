"""The nasty sequences that only a vendor can play, by their ids."""

import asyncio
import secrets
from datetime import timedelta

import pytest

from commands.observed import Observed
from commands.outcomes import Referenced, Succeeded
from commands.ports import DueRow
from commands.remove_processor import remove_processor
from commands.sagas.calls import attempt_call
from commands.sagas.payment import PaymentSaga
from domain.errors import Rejected
from domain.order.commands import RecordReference
from domain.order.state import Order
from gateway.views import render_payment
from tests.adapters.processors.wire import unused_url
from tests.commands.market import CALL_LIMIT_S, Market
from tests.commands.outcomes import check_ledger

BASE = 10_000
CARD = "pm_card_visa"


async def test_s1_a_worker_that_cannot_reach_stripe_knows_nothing_of_one_that_died(
    market: Market,
) -> None:
    order = await market.order(CARD, BASE)
    ports, attempt = market.app.ports, order.attempts[0]
    (row,) = await market.app.due.claim(limit=1)
    stripe = ports.processors["stripe"]
    credentials = await ports.vault.credentials(order.merchant_id, "test", "stripe", 1)
    call = attempt_call(order, attempt)
    made = await stripe.prepare(call, credentials)
    assert isinstance(made, Referenced)
    saga = PaymentSaga(ports, worker=market.app.due.worker, call_limit_s=CALL_LIMIT_S)
    act = await saga.prepared(row, order, "evt_1")
    known = RecordReference(attempt_id=attempt.id, reference=made.reference)
    await saga.record(act, known, None)
    assert isinstance(await stripe.authorize(call, made.reference, credentials), Succeeded)
    # Worker A is dead now: what it was told, nobody knows. B has no way to Stripe.
    await market.app.due.again(row, in_s=0)
    await stripe.aclose()
    home, stripe._line._base_url = stripe._line._base_url, unused_url()  # type: ignore[attr-defined]
    (order,) = await market.round([order])
    assert (order.status, len(order.attempts)) == ("processing", 1)
    assert "attempt_fenced" not in await market.shop.events(order.id)
    await stripe.aclose()
    stripe._line._base_url = home  # type: ignore[attr-defined]
    (order,) = await market.settle([order])
    book = market.book(order)
    assert (order.status, book["captured"], len(book["payments"])) == ("captured", BASE, 1)


@pytest.mark.parametrize("lost", ["/payment_intents$", "/confirm$", "/capture$"])
async def test_s3_what_was_lost_before_an_outage_of_thirty_hours_is_charged_once(
    market: Market, lost: str
) -> None:
    market.server.fault("close", "after", match={"method": "POST", "path": lost}, limit=1)
    order = await market.order(CARD, BASE)
    for _ in range(2 if lost == "/capture$" else 1):
        (order,) = await market.round([order])
    assert order.status in {"processing", "authorized"}
    market.later(timedelta(hours=30))
    (order,) = await market.settle([order])
    book = market.book(order)
    # Of a PaymentIntent that nobody heard of, nothing was ever confirmed.
    assert len([one for one in book["payments"] if one["authorized"]]) == 1
    assert (order.status, book["captured"], book["held"]) == ("captured", BASE, 0)


async def test_s5_who_is_done_when_the_deadline_has_passed_has_paid(market: Market) -> None:
    (order,) = await market.round([await market.order("pm_card_threeDSecure2Required", BASE)])
    market.later(timedelta(minutes=16))
    market.authenticate(order)
    (order,) = await market.settle([order])
    assert (order.status, market.book(order)["captured"]) == ("captured", BASE)


async def test_s9_an_attempt_goes_on_with_the_account_that_it_began_with(market: Market) -> None:
    (order,) = await market.round([await market.order(CARD, BASE + 5004)])
    await market.configure(secrets.token_hex(6))
    (order,) = await market.settle([order])
    assert order.status == "captured"
    assert order.attempts[0].credential_version == 1
    refund = await market.shop.refund(order)
    (order,) = await market.settle([order])
    assert order.refund(refund) is not None
    assert (order.status, len(market.book(order)["payments"])) == ("refunded", 1)


async def test_s12_refund_and_cancel_in_stripes_dashboard_are_taken_as_facts(
    market: Market,
) -> None:
    (taken,) = await market.settle([await market.order(CARD, BASE)])
    held = await market.shop.order(CARD, wait_s=0, amount_minor=BASE, capture_method="manual")
    (held,) = await market.round([held])
    with market.server.stripe(f"sk_test_{market.key}") as dashboard:
        dashboard.v1.refunds.create({"payment_intent": reference(taken), "amount": 300})
        dashboard.v1.payment_intents.cancel(reference(held))
    taken, held = await market.look_at(taken), await market.look_at(held)
    assert (taken.status, taken.amount_refunded) == ("partially_refunded", 300)
    assert held.status == "cancelled"
    for order in (taken, held):
        await check_ledger(market, order, market.book(order))


async def test_s19_two_workers_on_one_intent_charge_once(market: Market) -> None:
    order = await market.order(CARD, BASE)
    row = DueRow(order_id=order.id, subject=order.attempts[0].id, operation="authorize", tries=1)
    due = market.app.due
    sagas = [
        PaymentSaga(market.app.ports, worker=due.worker, call_limit_s=CALL_LIMIT_S)
        for _ in range(3)
    ]
    await asyncio.gather(*(saga.act(row) for saga in sagas))
    (order,) = await market.settle([order])
    book = market.book(order)
    assert (order.status, book["captured"], len(book["payments"])) == ("captured", BASE, 1)


async def test_s22_what_takes_thirty_seconds_raises_no_alarm(market: Market) -> None:
    orders = [await market.order(CARD, BASE + code) for code in (2002, 2003)]
    orders = await market.round(orders)
    orders = await market.round(orders)
    assert [order.status for order in orders] == ["processing"] * 2
    market.later(timedelta(seconds=31))
    orders = await market.settle(orders)
    assert [order.status for order in orders] == ["captured", "failed"]
    for order in orders:
        assert "outcome_unknown" not in await market.shop.events(order.id)


async def test_r5_an_account_that_captures_late_payments_gets_them_refunded(
    market: Market,
) -> None:
    market.server.control("POST", "options", razorpay_late_capture=True)
    (order,) = await market.round([await market.order(None, BASE + 9002, "INR")])
    market.pay(order)
    market.later(timedelta(minutes=16))
    (order,) = await market.settle([order])
    assert order.status == "failed"
    market.later(timedelta(days=2))
    order = await market.look_at(order)
    assert [stray.state for stray in order.strays] == ["captured"]
    (order,) = await market.settle([order])
    book = market.book(order)
    assert order.status == "failed"
    assert (book["captured"], book["refunded"]) == (BASE + 9002, BASE + 9002)
    assert [stray.open for stray in order.strays] == [False]


async def test_r6_the_second_of_two_payments_in_flight_is_no_refund_of_the_first(
    market: Market,
) -> None:
    (order,) = await market.round([await market.order(None, BASE + 9001, "INR")])
    market.pay(order)
    market.later(timedelta(minutes=1))
    market.pay(order)
    market.later(timedelta(minutes=8))
    (order,) = await market.settle([order])
    order = await market.look_at(order)
    assert (order.status, order.amount_refunded) == ("captured", 0)
    book = market.book(order)
    assert (book["captured"], book["held"], len(book["payments"])) == (BASE + 9001, 0, 2)


async def test_r8_a_part_of_razorpays_hold_is_refused_before_anything_is_sent(
    market: Market,
) -> None:
    order = await market.shop.order(
        None, wait_s=0, amount_minor=BASE, currency="INR", capture_method="manual"
    )
    (order,) = await market.round([order])
    market.pay(order)
    (order,) = await market.round([order])
    with pytest.raises(Rejected) as refused:
        await market.shop.capture(order, 4_000)
    assert refused.value.code == "partial_capture_unsupported"


async def test_r10_a_lost_refund_whose_key_is_not_honoured_is_made_once(market: Market) -> None:
    market.server.control("POST", "options", razorpay_refund_idempotency=False)
    (order,) = await market.round([await market.order(None, 2 * BASE, "INR")])
    market.pay(order)
    (order,) = await market.settle([order])
    refund = await market.shop.refund(order, BASE + 5004)
    (order,) = await market.settle([order])
    found = order.refund(refund)
    assert found is not None
    assert found.status == "succeeded"
    assert market.book(order)["refunded"] == BASE + 5004


async def test_r13_a_removed_processor_still_refunds_what_it_took(market: Market) -> None:
    (order,) = await market.settle([await market.order(CARD, BASE)])
    await remove_processor(market.app.ports, market.shop.caller, "stripe")
    await market.shop.refund(order)
    (order,) = await market.settle([order])
    assert (order.status, market.book(order)["refunded"]) == ("refunded", BASE)
    with pytest.raises(Rejected):
        await market.order(CARD, BASE)


async def test_r14_a_token_goes_to_its_own_processor_whatever_the_currency(
    market: Market,
) -> None:
    (order,) = await market.settle([await market.order(CARD, BASE, "INR")])
    assert (order.status, order.attempts[0].processor) == ("captured", "stripe")


async def test_r17_two_orders_at_razorpay_without_unique_receipts_are_harmless(
    market: Market,
) -> None:
    (order,) = await market.round([await market.order(None, BASE, "INR")])
    attempt = order.attempts[0]
    with market.server.razorpay((f"rzp_test_{market.key}", "secret")) as client:
        client.order.create({"amount": BASE, "currency": "INR", "receipt": attempt.id})
    market.pay(order)
    (order,) = await market.settle([order])
    assert (order.status, market.book(order)["captured"]) == ("captured", BASE)


async def test_r18_an_amount_that_stripe_cannot_take_goes_elsewhere_with_the_reason(
    market: Market,
) -> None:
    order = await market.order(None, 5_124, "KWD")
    decision = order.attempts[0].decision
    reasons = {c.processor: c.reason for c in decision.candidates}
    assert reasons["stripe"] == reasons["razorpay"] == "amount not representable"
    assert decision.chosen == "sandbox"
    (order,) = await market.settle([await market.order(CARD, 5_120, "KWD")])
    assert (order.status, market.book(order)["captured"]) == ("captured", 5_120)


async def test_a_processor_that_is_not_there_is_followed_by_the_next(market: Market) -> None:
    stripe = market.app.ports.processors["stripe"]
    stripe._line._base_url = unused_url()  # type: ignore[attr-defined]
    (order,) = await market.settle([await market.order(None, BASE)])
    assert [(a.processor, a.proof) for a in order.attempts] == [
        ("stripe", "not_sent"),
        ("razorpay", None),
    ]
    market.pay(order)
    (order,) = await market.settle([order])
    assert (order.status, market.book(order)["captured"]) == ("captured", BASE)


async def test_the_customers_page_gets_what_it_needs_and_nothing_of_the_account(
    market: Market,
) -> None:
    ports = market.app.ports
    given, paid, asked = await market.round(
        [
            await market.order(None, BASE),
            await market.order(None, BASE, "INR"),
            await market.order("pm_card_threeDSecure2Required", BASE),
        ]
    )
    actions = [(await render_payment(ports, order)).next_action for order in (given, paid, asked)]
    collect, checkout, redirect = actions
    assert collect
    assert (collect.type, collect.publishable_key) == ("collect_payment_method", "pk_test_1")
    assert str(collect.client_secret).startswith(f"{reference(given)}_secret_")
    assert checkout
    assert (checkout.type, checkout.key_id) == ("razorpay_checkout", f"rzp_test_{market.key}")
    assert (checkout.order_id, checkout.amount, checkout.currency) == (
        reference(paid), BASE, "INR",
    )  # fmt: skip
    assert redirect
    assert "/3ds/" in redirect.redirect_url
    assert market.key not in str([collect, redirect])


async def test_a_lookup_reads_and_changes_nothing(market: Market) -> None:
    (order,) = await market.settle([await market.order(CARD, BASE)])
    stripe = market.app.ports.processors["stripe"]
    keys = await market.app.ports.vault.credentials(order.merchant_id, "test", "stripe", 1)
    before = market.book(order)
    seen = [await stripe.lookup(reference(order), "refund", keys) for _ in range(2)]
    assert isinstance(seen[0], Observed)
    assert seen[0] == seen[1]
    assert market.book(order) == before


def reference(order: Order) -> str:
    assert order.live is not None
    assert order.live.reference is not None
    return order.live.reference
