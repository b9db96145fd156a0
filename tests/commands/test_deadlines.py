"""What happens when time passes: the saga is run by hand, under a clock of the test's."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import get_args

import pytest
from msgspec.structs import replace

from adapters.sandbox.bank import now_us
from adapters.wiring import Application
from commands.caller import Caller
from commands.ports import DueRow
from commands.sagas.payment import PaymentSaga
from domain.order.state import Order
from domain.order.steps import StepKind
from tests.ledgers import Fold
from tests.shop import Shop


class Clockwork:
    """Acts on all due rows of an order as if it were some time later."""

    def __init__(self, shop: Shop) -> None:
        self.shop = shop

    async def act(self, order: Order, *, later: timedelta = timedelta(0)) -> Order:
        """Make the order's steps due, act once on each, and return the order then."""
        ports = replace(self.shop.app.ports, now=lambda: datetime.now(UTC) + later)
        due = self.shop.app.due
        saga = PaymentSaga(ports, worker=due.worker, call_limit_s=1)
        for attempt in order.attempts:
            await due.hint(order.id, attempt.id)
        for row in await due.claim(limit=10):
            await saga.act(row)
        return await self.shop.read(order.id)

    async def settle(
        self, order: Order, *, acts: int = 5, later: timedelta = timedelta(0)
    ) -> Order:
        for _ in range(acts):
            order = await self.act(order, later=later)
        return order


async def held_in_books(shop: Shop, order: Order) -> int:
    """Minor units that our books hold for an order."""
    fold = Fold()
    for row in (await shop.app.ports.store.load([order.id]))[order.id]:
        fold.see(row)
    return fold.of(order.merchant_id, "test").get(("USD", f"holds:{order.merchant_id}"), 0)


def eight_days_on(shop: Shop) -> None:
    """Put the bank's clock eight days ahead: what it holds has lapsed."""
    sandbox = shop.app.sandbox
    for bank in (sandbox.bank, sandbox._at_once):
        bank._clock = lambda: now_us() + 8 * 86_400_000_000


@pytest.fixture
async def clockwork(app: Application, register: Callable[[], Awaitable[Caller]]) -> Clockwork:
    """A shop without a worker."""
    return Clockwork(Shop(app, await register()))


async def test_m06_an_unfinished_challenge_is_closed_at_the_processor_before_the_order_fails(
    clockwork: Clockwork,
) -> None:
    shop = clockwork.shop
    order = await clockwork.act(await shop.order("sbx_challenge", wait_s=0))
    assert order.status == "requires_action"
    order = await clockwork.act(order, later=timedelta(minutes=14))
    assert order.status == "requires_action"
    order = await clockwork.act(order, later=timedelta(minutes=16))
    assert order.status == "failed"
    assert order.failure is not None
    assert order.failure.code == "authentication_timeout"
    assert order.attempts[0].proof == "cancelled_at_processor"
    reference = order.attempts[0].reference
    assert reference is not None
    assert shop.app.sandbox.bank.challenge(reference, approve=True).result == "refused"
    assert shop.book(order.id).captured == 0


async def test_s5_a_challenge_done_just_before_the_deadline_counts(clockwork: Clockwork) -> None:
    shop = clockwork.shop
    order = await clockwork.act(await shop.order("sbx_challenge", wait_s=0))
    reference = order.attempts[0].reference
    assert reference is not None
    shop.app.sandbox.bank.challenge(reference, approve=True)
    order = await clockwork.settle(order, later=timedelta(minutes=16))
    assert order.status == "captured"
    assert shop.book(order.id).captured == 1000


async def test_a_manual_order_is_warned_about_and_never_captured_unasked(
    clockwork: Clockwork,
) -> None:
    shop = clockwork.shop
    order = await clockwork.act(await shop.order(capture_method="manual", wait_s=0))
    assert order.status == "authorized"
    order = await clockwork.act(order, later=timedelta(days=6, hours=1))
    assert (await shop.events(order.id))[-1] == "authorization_expiring"
    order = await clockwork.settle(order, later=timedelta(days=8))
    assert order.status == "authorized"
    assert shop.book(order.id).captured == 0


async def test_s15_a_kept_remainder_that_lapses_leaves_the_order_captured(
    clockwork: Clockwork,
) -> None:
    shop = clockwork.shop
    order = await clockwork.act(await shop.order(capture_method="manual", wait_s=0))
    waiting = asyncio.create_task(shop.capture(order, 300, final=False))
    await shop.until(order.id, lambda o: bool(o.captures))
    order = await clockwork.act(order)
    await waiting
    assert (order.status, await held_in_books(shop, order)) == ("captured", 700)
    eight_days_on(shop)
    order = await clockwork.settle(order, later=timedelta(days=8))
    assert (order.status, order.amount_captured) == ("captured", 300)
    assert (await shop.events(order.id))[-1] == "authorization_expired"
    assert await held_in_books(shop, order) == 0
    assert (shop.book(order.id).held, shop.book(order.id).captured) == (0, 300)


async def test_s15_a_capture_that_was_lost_with_the_remainder_fails_and_the_first_one_stays(
    clockwork: Clockwork,
) -> None:
    shop = clockwork.shop
    order = await clockwork.act(await shop.order(capture_method="manual", wait_s=0))
    for amount in (300, 500):
        waiting = asyncio.create_task(shop.capture(order, amount, final=False))
        order = await shop.until(order.id, lambda o: o.pending_capture is not None)
        if amount == 300:
            order = await clockwork.act(order)
        waiting.cancel()
    eight_days_on(shop)
    lost = DueRow(order_id=order.id, subject=order.captures[1].id, operation="capture", tries=2)
    saga = PaymentSaga(shop.app.ports, worker=shop.app.due.worker, call_limit_s=10)
    await saga.act(lost)
    order = await shop.read(order.id)
    assert [capture.status for capture in order.captures] == ["succeeded", "failed"]
    assert (order.status, order.amount_captured) == ("captured", 300)
    assert await held_in_books(shop, order) == 0
    assert (shop.book(order.id).held, shop.book(order.id).captured) == (0, 300)


async def test_s12_a_hold_cancelled_in_the_dashboard_ends_the_order(clockwork: Clockwork) -> None:
    shop = clockwork.shop
    order = await clockwork.act(await shop.order(capture_method="manual", wait_s=0))
    reference = order.attempts[0].reference
    assert reference is not None
    shop.app.sandbox.bank.dashboard_cancel(reference)
    order = await clockwork.settle(order, later=timedelta(days=8))
    assert order.status == "cancelled"
    assert (await shop.events(order.id))[-2:] == ["voided", "cancelled"]


async def test_an_answer_that_never_comes_is_a_doubt_and_not_a_failure(
    clockwork: Clockwork,
) -> None:
    shop = clockwork.shop
    order = await clockwork.act(await shop.order("sbx_hang_after", wait_s=0))
    assert order.attempts[0].reference is not None
    await shop.app.sandbox.aclose()  # every call and every lookup fails from here
    order = await clockwork.settle(order, acts=6)
    assert order.status == "processing"
    assert order.attempts[0].status == "unknown"
    assert (await shop.events(order.id))[-1] == "outcome_unknown"


async def test_every_step_an_order_can_wait_for_has_somebody_who_does_it(app: Application) -> None:
    saga = PaymentSaga(app.ports, worker=1, call_limit_s=1)
    assert saga.operations == set(get_args(StepKind))
