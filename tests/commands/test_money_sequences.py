"""The nasty sequences about money that is held, taken or sent back, by their ids: at the wire."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from adapters.wiring import application
from commands.ports import DueRow
from commands.sagas.payment import PaymentSaga
from domain.errors import Rejected
from domain.order.state import Order
from tests.commands.door import Door
from tests.commands.market import Market
from tests.commands.outcomes import PATIENT_S, check_ledger
from tests.shop import Shop
from tests.waiting import until

BASE = 10_000
CARD = "pm_card_visa"
DECLINED = "pm_card_visa_chargeDeclined"
CAPTURE = {"method": "POST", "path": "/capture$"}


async def held(market: Market, processor: str) -> Order:
    """Return a manual order whose money is held."""
    token, currency = (CARD, "USD") if processor == "stripe" else (None, "INR")
    order = await market.shop.order(
        token, wait_s=0, amount_minor=BASE, currency=currency, capture_method="manual"
    )
    (order,) = await market.round([order])
    if processor == "razorpay":
        market.pay(order)
        (order,) = await market.round([order])
    assert order.status == "authorized"
    await check_ledger(market, order, market.book(order))
    return order


async def ask_for_capture(market: Market, order: Order) -> Order:
    """Commit the intent of a capture that nobody has acted on yet."""
    waiting = asyncio.create_task(market.shop.capture(order))
    order = await market.shop.until(order.id, lambda o: bool(o.captures))
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    return order


def saga_of(market: Market) -> PaymentSaga:
    ports, worker = market.app.ports, market.app.due.worker
    return PaymentSaga(ports, worker=worker, call_limit_s=PATIENT_S)


def row_of(order: Order, operation: str, subject: str, *, tries: int = 1) -> DueRow:
    """A row as a worker holds it that took it some time ago."""
    return DueRow(order_id=order.id, subject=subject, operation=operation, tries=tries)


def calls(market: Market, path: str) -> list[Any]:
    """The journal's POSTs to a path, oldest first."""
    found = [row for row in market.server.journal() if row["method"] == "POST"]
    return sorted((row for row in found if row["path"].endswith(path)), key=lambda row: row["n"])


@pytest.mark.parametrize("tab", ["before the cancel", "after it"])
async def test_s4_the_old_tab_pays_nothing_where_razorpay_takes_the_money(
    market: Market, tab: str
) -> None:
    order = await market.shop.created(
        amount_minor=BASE, currency="USD", return_url="https://shop.example/thanks"
    )
    order = await market.shop.pay(order, DECLINED)
    (order,) = await market.round([order])
    old = order.attempts[0]
    assert (old.status, old.closed, len(order.attempts)) == ("declined", False, 1)
    if tab == "before the cancel":
        paid = market.server.page("POST", f"/pay/{old.reference}", payment_method=CARD)
        assert (paid.status_code, market.book(order)["held"]) == (200, BASE)
    for _ in range(4):
        (order,) = await market.round([order])
    assert [a.processor for a in order.attempts] == ["stripe", "razorpay"]
    market.pay(order)
    (order,) = await market.settle([order])
    if tab == "after it":
        paid = market.server.page("POST", f"/pay/{old.reference}", payment_method=CARD)
        assert paid.status_code >= 400
    book = market.book(order)
    assert (order.status, book["captured"], book["held"]) == ("captured", BASE, 0)
    await check_ledger(market, order, book)


@pytest.mark.parametrize(("processor", "days"), [("stripe", 8), ("razorpay", 6)])
async def test_s6_a_capture_of_a_hold_that_lapsed_in_an_outage_expires_the_order(
    market: Market, processor: str, days: int
) -> None:
    order = await held(market, processor)
    market.later(timedelta(days=days))
    order = await ask_for_capture(market, order)
    (order,) = await market.settle([order])
    assert (order.status, order.captures[0].status) == ("expired", "failed")
    book = market.book(order)
    assert (book["captured"], book["held"]) == (0, 0)
    await check_ledger(market, order, book)


async def test_s7_a_cancel_while_the_confirmation_is_in_flight_is_kept(market: Market) -> None:
    order = await market.order(CARD, BASE + 5006)
    in_flight = asyncio.create_task(market.round([order]))
    await until(lambda: asyncio.to_thread(market_held, market, order))
    order = await market.shop.cancel(order, wait_s=0)
    assert order.cancel_requested
    await in_flight
    (order,) = await market.settle([order])
    book = market.book(order)
    assert (order.status, book["captured"], book["held"]) == ("cancelled", 0, 0)
    assert "capture_requested" not in await market.shop.events(order.id)
    await check_ledger(market, order, book)


def market_held(market: Market, order: Order) -> bool:
    return bool(market.book(order)["held"])


async def test_s8_another_process_repeats_the_call_to_the_letter(market: Market) -> None:
    for path in ("/payment_intents$", "/confirm$"):
        market.server.fault("close", "after", match={"method": "POST", "path": path}, limit=1)
    order = await market.order(CARD, BASE)
    await market.round([order])
    caller = replace(market.shop.caller, correlation_id="req_of_another_process")
    async with application(market.app.settings, name="other") as app:
        other = Market(Shop(app, caller), market.server, market.now_s, market.key)
        (order,) = await other.settle([order])
    made, confirmed = calls(market, "/payment_intents"), calls(market, "/confirm")
    assert [row["replayed"] for row in made] == [False, True]
    assert {row["status"] for row in (*made, *confirmed)} == {200}
    assert len(confirmed) == 1
    with market.server.stripe(f"sk_test_{market.key}") as dashboard:
        intent = dashboard.v1.payment_intents.retrieve(order.attempts[0].reference)
    assert intent.metadata["correlation_id"] == market.shop.caller.correlation_id
    book = market.book(order)
    assert (order.status, book["captured"], len(book["payments"])) == ("captured", BASE, 1)
    assert "outcome_unknown" not in await market.shop.events(order.id)


async def test_s10_a_refund_that_was_lost_is_not_made_again_when_its_key_is_gone(
    market: Market,
) -> None:
    (order,) = await market.settle([await market.order(CARD, 3 * BASE)])
    await market.shop.refund(order, BASE + 5006)
    (order,) = await market.round([order])
    assert (order.status, market.book(order)["refunded"]) == ("captured", BASE + 5006)
    market.later(timedelta(hours=25))
    (order,) = await market.settle([order])
    assert (order.status, order.amount_refunded) == ("partially_refunded", BASE + 5006)
    book = market.book(order)
    assert (book["refunded"], len(calls(market, "/refunds"))) == (BASE + 5006, 1)
    await check_ledger(market, order, book)


async def test_s11_what_a_dispute_withdrew_is_not_paid_back_on_top(market: Market) -> None:
    known, unknown = [await market.order("pm_card_createDispute", BASE) for _ in range(2)]
    known, unknown = await market.settle([known, unknown])
    market.later(timedelta(seconds=5))
    known = await market.look_at(known)
    assert known.refundable == 0
    for amount in (None, 1):
        with pytest.raises(Rejected) as refused:
            await market.shop.refund(known, amount)
        assert refused.value.code == "refund_exceeds_captured"
    # Of this one nobody has told us yet: the vendor's no is believed, and the dispute is seen.
    refund = await market.shop.refund(unknown)
    (unknown,) = await market.settle([unknown])
    found = (await market.look_at(unknown)).refund(refund)
    assert found is not None
    assert found.status == "failed"
    for order in (known, unknown):
        order = await market.shop.read(order.id)  # noqa: PLW2901 - as it is now
        book = market.book(order)
        assert (order.status, book["refunded"], book["disputed"]) == ("captured", 0, BASE)
        await check_ledger(market, order, book)


async def test_s14_a_succeeded_of_less_than_the_order_is_no_discrepancy(door: Door) -> None:
    market = door.market
    order = await held(market, "stripe")
    waiting = asyncio.create_task(market.shop.capture(order, 6_000))
    await market.shop.until(order.id, lambda o: bool(o.captures))
    (order,) = await market.settle([order])
    await waiting
    await door.apply()
    assert "payment_intent.succeeded" in {kind for kind, _, _ in await door.rows()}
    order = await market.look_at(order)
    assert (order.status, order.amount_captured, order.quarantine) == ("captured", 6_000, ())
    assert "discrepancy_found" not in await market.shop.events(order.id)
    await check_ledger(market, order, market.book(order))


async def test_s19_three_workers_on_one_capture_and_one_refund_move_money_once(
    market: Market,
) -> None:
    order = await ask_for_capture(market, await held(market, "razorpay"))
    capture = order.captures[0]
    rows = [row_of(order, "capture", capture.id, tries=tries) for tries in (1, 2, 2)]
    await asyncio.gather(*(saga_of(market).act(row) for row in rows))
    (order,) = await market.settle([order])
    refund = await market.shop.refund(order, 4_000)
    rows = [row_of(order, "refund", refund, tries=tries) for tries in (1, 2, 2)]
    await asyncio.gather(*(saga_of(market).act(row) for row in rows))
    (order,) = await market.settle([order])
    tags = await market.shop.events(order.id)
    assert not {"capture_failed", "refund_failed"} & set(tags)
    assert (order.status, order.amount_refunded) == ("partially_refunded", 4_000)
    book = market.book(order)
    assert (book["captured"], book["refunded"]) == (BASE, 4_000)
    await check_ledger(market, order, book)


async def test_r3_what_is_authorized_after_the_order_failed_is_never_captured(
    market: Market,
) -> None:
    (order,) = await market.round([await market.order(None, BASE + 9001, "INR")])
    market.later(timedelta(minutes=12))
    market.pay(order)
    market.later(timedelta(minutes=4))
    (order,) = await market.settle([order])
    assert order.status == "failed"
    market.later(timedelta(minutes=3))
    order = await market.look_at(order)
    assert (order.status, [s.state for s in order.strays]) == ("failed", ["held"])
    market.later(timedelta(days=6))
    (order,) = await market.settle([order], rounds=2)
    book = market.book(order)
    assert (order.status, book["captured"], book["held"]) == ("failed", 0, 0)
    assert calls(market, "/capture") == []


async def test_r7_a_capture_that_is_repeated_has_happened(market: Market) -> None:
    order = await ask_for_capture(market, await held(market, "razorpay"))
    row = row_of(order, "capture", order.captures[0].id)
    market.server.fault("close", "after", match=CAPTURE, limit=1)
    for _ in range(2):
        await saga_of(market).act(row)
    assert [call["status"] for call in calls(market, "/capture")] == [200, 400]
    order = await market.shop.read(order.id)
    book = market.book(order)
    assert (order.status, book["captured"]) == ("captured", BASE)
    assert "capture_failed" not in await market.shop.events(order.id)
    await check_ledger(market, order, book)


async def test_r15_a_worker_that_wakes_captures_nothing_that_was_fenced(market: Market) -> None:
    """Fence first: nothing captures. Capture asked for first: nothing fences."""
    fenced, asked = [await held(market, "razorpay") for _ in range(2)]
    fenced = await market.shop.cancel(fenced, wait_s=0)
    (fenced,) = await market.settle([fenced])
    assert fenced.attempts[0].proof == "capture_withheld"
    asked = await ask_for_capture(market, asked)
    with pytest.raises(Rejected) as refused:
        await market.shop.cancel(asked, wait_s=0)
    assert refused.value.code == "invalid_status"
    saga = saga_of(market)
    for order in (fenced, asked):
        attempt = order.attempts[0].id
        for operation in ("authorize", "challenge", "fence", "withhold", "capture"):
            await saga.act(row_of(order, operation, attempt))
        await saga.act(row_of(order, "capture", "cap_of_the_sleeper"))
        assert (await market.shop.read(order.id)).version == order.version
    assert calls(market, "/capture") == []
    await saga.act(row_of(asked, "capture", asked.captures[0].id))
    fenced, asked = [await market.shop.read(order.id) for order in (fenced, asked)]
    books = [market.book(order) for order in (fenced, asked)]
    assert [(fenced.status, books[0]["captured"]), (asked.status, books[1]["captured"])] == [
        ("cancelled", 0),
        ("captured", BASE),
    ]
    for order, book in zip((fenced, asked), books, strict=True):
        await check_ledger(market, order, book)
