"""What never arrived, and what the log does not know: found by comparing with the processors."""

import asyncio
import secrets
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Final, LiteralString

import pytest
from msgspec.structs import replace

from adapters import log
from adapters.orphans import Orphan, orphans
from adapters.reconciler import Reconciler
from commands.outcomes import Referenced, Succeeded
from commands.processor import AttemptCall, Credentials, MoneyCall
from commands.sagas.payment import PaymentSaga
from domain.errors import Rejected
from domain.ids import new_id
from domain.money import Money
from tests.commands.market import CALL_LIMIT_S, Market
from tests.sandbox_server import SandboxServer, sandbox_server

BASE = 10_000
HOURS_PASS: Final = "UPDATE orphans SET looked_at = looked_at - interval '2 hours'"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxServer]:
    """A sandbox of this file's own: its clock is not yet months ahead."""
    with sandbox_server(tmp_path_factory.mktemp("reconciler")) as running:
        yield running


async def reconcile(market: Market) -> None:
    """Run one round of a reconciler that was just started, by the sandbox's clock."""
    now = datetime.fromtimestamp(market.server.control("GET", "clock")["now"], UTC)
    ports = replace(market.app.ports, now=lambda: now)
    saga = PaymentSaga(ports, worker=market.app.due.worker, call_limit_s=CALL_LIMIT_S)
    url = market.app.settings.database_url
    reconciler = Reconciler(ports, saga.look_at, url, every_s=300, call_limit_s=20)
    async with await log.connect(url, "test") as db:
        await reconciler.round(db, asyncio.Event())


async def found(market: Market) -> list[Orphan]:
    return await orphans(market.app.pool)


async def execute(market: Market, statement: LiteralString, *values: str) -> None:
    async with market.app.pool.connection() as db:
        await db.execute(statement, values)


def keys(market: Market) -> Credentials:
    return Credentials({"secret_key": f"sk_test_{market.key}"})


async def made(market: Market, *, merchant_id: str | None = None, hold: bool = True) -> str:
    """Make a payment at Stripe as if we had forgotten it; return its reference."""
    stripe = market.app.ports.processors["stripe"]
    call = AttemptCall(
        order_id=new_id("ord"),
        attempt_id=new_id("att"),
        merchant_id=merchant_id or market.shop.caller.merchant_id,
        mode="test",
        amount=Money(BASE, "USD"),
        idempotency_key=secrets.token_hex(8),
        correlation_id="corr",
        token="pm_card_visa",
    )
    referenced = await stripe.prepare(call, keys(market))
    assert isinstance(referenced, Referenced)
    if hold:
        done = await stripe.authorize(call, referenced.reference, keys(market))
        assert isinstance(done, Succeeded)
    return referenced.reference


async def test_r16_what_came_while_the_endpoint_was_disabled_is_found_by_comparing(
    market: Market,
) -> None:
    refunded = await market.order("pm_card_visa", BASE)
    held = await market.shop.order(
        "pm_card_visa", wait_s=0, amount_minor=BASE, capture_method="manual"
    )
    paid = await market.order(None, BASE, "INR")
    refunded, held, paid = await market.settle([refunded, held, paid], rounds=3)
    market.server.trigger("dashboard_refund", payment=refunded.attempts[0].reference, amount=4_000)
    market.server.trigger("dashboard_cancel", payment=held.attempts[0].reference)
    market.pay(paid)
    orphan = await made(market)
    market.later(timedelta(minutes=3))
    await reconcile(market)
    states = [await market.shop.read(order.id) for order in (refunded, held, paid)]
    assert [order.status for order in states][:2] == ["partially_refunded", "cancelled"]
    assert states[0].amount_refunded == 4_000
    assert states[2].amount_authorized == BASE
    assert [(one.reference, one.held_minor) for one in await found(market)] == [(orphan, BASE)]


async def test_a_late_payment_that_was_captured_against_our_will_is_found_and_goes_back(
    market: Market,
) -> None:
    market.server.control("POST", "options", razorpay_late_capture=True)
    (order,) = await market.round([await market.order(None, BASE + 9002, "INR")])
    market.pay(order)
    market.later(timedelta(minutes=16))
    (order,) = await market.settle([order])
    assert order.status == "failed"
    await reconcile(market)
    market.later(timedelta(days=2))
    await reconcile(market)
    order = await market.shop.read(order.id)
    assert [stray.state for stray in order.strays] == ["captured"]
    (order,) = await market.settle([order])
    book = market.book(order)
    assert (book["captured"], book["refunded"]) == (BASE + 9002, BASE + 9002)


async def test_an_orphan_is_listed_until_nothing_is_left_of_it(market: Market) -> None:
    reference = await made(market)
    await made(market, merchant_id=new_id("mer"))
    await reconcile(market)
    (orphan,) = await found(market)
    assert (orphan.reference, orphan.processor, orphan.status) == (
        reference, "stripe", "authorized",
    )  # fmt: skip
    assert (orphan.currency, orphan.held_minor, orphan.attempt_known) == ("USD", BASE, False)
    void = MoneyCall(
        order_id=str(orphan.order_id),
        attempt_id=str(orphan.attempt_id),
        merchant_id=orphan.merchant_id,
        mode="test",
        subject="by hand",
        reference=reference,
        payment_id=reference,
        amount=Money(BASE, "USD"),
        idempotency_key="by hand",
        correlation_id="corr",
    )
    await market.app.ports.processors["stripe"].void(void, keys(market))
    await execute(market, HOURS_PASS)
    await reconcile(market)
    assert await found(market) == []


async def test_what_the_log_is_about_to_know_is_no_orphan(market: Market) -> None:
    order = await market.order("pm_card_visa", BASE)
    live = order.live
    assert live is not None
    stripe = market.app.ports.processors["stripe"]
    call = AttemptCall(
        order_id=order.id,
        attempt_id=live.id,
        merchant_id=order.merchant_id,
        mode="test",
        amount=order.amount,
        idempotency_key=live.idempotency_key,
        correlation_id=live.correlation_id,
        token=live.token,
    )
    await stripe.prepare(call, keys(market))
    await reconcile(market)
    assert await found(market) == []
    (order,) = await market.settle([order])
    assert order.status == "captured"
    await reconcile(market)
    assert await found(market) == []


async def test_an_order_whose_money_is_an_orphan_gets_no_second_attempt(market: Market) -> None:
    order = await market.shop.created(amount_minor=BASE)
    reference = await made(market)
    await reconcile(market)
    await execute(market, "UPDATE orphans SET order_id = %s", order.id)
    with pytest.raises(Rejected, match="the log does not know"):
        await market.shop.pay(order, "pm_card_visa")
    market.server.trigger("dashboard_cancel", payment=reference)
    await execute(market, HOURS_PASS)
    await reconcile(market)
    (order,) = await market.settle([await market.shop.pay(order, "pm_card_visa")])
    assert order.status == "captured"


async def test_an_account_that_cannot_be_listed_is_listed_from_there_the_next_time(
    market: Market,
) -> None:
    await reconcile(market)
    rule = market.server.fault("status:500", match={"method": "GET"})
    market.later(timedelta(hours=1))
    await reconcile(market)
    reference = await made(market)
    market.server.control("DELETE", f"faults/{rule}")
    market.later(timedelta(hours=1))
    await reconcile(market)
    assert [one.reference for one in await found(market)] == [reference]


async def test_a_settled_order_differs_in_nothing(market: Market) -> None:
    (order,) = await market.settle([await market.order("pm_card_visa", BASE)])
    await market.shop.refund(order, 4_000)
    (order,) = await market.settle([order])
    version = order.version
    looks = len(market.server.journal())
    market.later(timedelta(minutes=3))
    await reconcile(market)
    assert (await market.shop.read(order.id)).version == version
    asked = [entry["path"] for entry in market.server.journal()[looks:]]
    assert not [path for path in asked if str(order.attempts[0].reference) in path]
