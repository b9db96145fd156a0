"""Whole lives of orders: commands in, state and the bank's own books out."""

import asyncio
import secrets
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from msgspec.structs import replace

from adapters.embedded.nats import EmbeddedNats
from adapters.settings import load_settings
from adapters.wiring import Application, application
from adapters.worker import work
from commands.caller import Caller, Idempotency
from commands.create_order import NewOrder, create_order
from commands.pay_order import PayOrder, pay_order
from commands.register_merchant import register_merchant
from domain.errors import Conflict, Rejected
from domain.ids import new_id
from domain.metadata import Actor
from domain.order.state import Order
from tests.shop import Shop

pytestmark = pytest.mark.asyncio(loop_scope="module")
OPERATOR = Caller(actor=Actor("operator", "tests"), merchant_id="", mode="test", correlation_id="t")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def at_work(
    shared_database_url: str, nats_server: EmbeddedNats, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Application]:
    """A worker for all tests of this file."""
    settings = load_settings(
        {},
        home=str(tmp_path_factory.mktemp("home")),
        database_url=shared_database_url,
        nats_url=nats_server.url,
        master_keys=f"k1:{secrets.token_hex(32)}",
        sandbox_latency_s="0.001",
        lease_s="5",
        call_limit_s="1",
    )
    async with application(settings, name="test") as app:
        stop = asyncio.Event()
        working = asyncio.create_task(work(app, stop, ("relay", "saga")))
        yield app
        stop.set()
        await asyncio.wait_for(working, 90)


@pytest_asyncio.fixture(loop_scope="module")
async def shop(at_work: Application) -> Shop:
    """A new merchant, so that no circuit or order of another test is in the way."""
    merchant = await register_merchant(at_work.ports, OPERATOR, name="Test shop")
    caller = replace(OPERATOR, merchant_id=merchant.id, correlation_id=new_id("req"))
    return Shop(at_work, caller)


def refund_status(order: Order, refund_id: str) -> str | None:
    refund = order.refund(refund_id)
    return refund.status if refund else None


async def test_an_approved_order_is_captured_once(shop: Shop) -> None:
    order = await shop.order("sbx_approve")
    assert order.status == "captured"
    assert await shop.events(order.id) == [
        "created", "routed", "processor_referenced", "authorized", "capture_requested", "captured",
    ]  # fmt: skip
    book = shop.book(order.id)
    assert (book.captured, len(book.payments)) == (1000, 1)


@pytest.mark.parametrize(
    ("token", "code", "retry_class"),
    [
        ("sbx_decline", "generic_decline", "failover"),
        ("sbx_decline_insufficient_funds", "insufficient_funds", "later"),
        ("sbx_decline_lost_card", "lost_card", "stop"),
        ("sbx_decline_expired_card", "expired_card", "fix_input"),
    ],
)
async def test_a_declined_order_fails_after_its_payment_is_closed(
    shop: Shop, token: str, code: str, retry_class: str
) -> None:
    order = await shop.order(token)
    assert order.status == "failed"
    assert order.failure is not None
    assert (order.failure.code, order.failure.retry_class) == (code, retry_class)
    tags = await shop.events(order.id)
    assert tags.index("declined") < tags.index("attempt_fenced") < tags.index("failed")
    book = shop.book(order.id)
    assert [p.status for p in book.payments] == ["cancelled"]
    assert book.captured == 0


@pytest.mark.parametrize(
    "token",
    [
        "sbx_unavailable_once",
        "sbx_error_after",
        "sbx_hang_before",
        "sbx_hang_after",
        "sbx_pending",
        "sbx_capture_error_after",
        "sbx_capture_hang_after",
    ],
)
async def test_what_is_lost_on_the_way_ends_captured_exactly_once(shop: Shop, token: str) -> None:
    order = await shop.order(token)
    order = await shop.until(order.id, lambda o: o.status == "captured")
    book = shop.book(order.id)
    assert (book.captured, len(book.payments)) == (1000, 1)


async def test_a_processor_that_was_never_reached_fails_the_order_with_proof(shop: Shop) -> None:
    order = await shop.order("sbx_unavailable")
    assert order.status == "failed"
    assert order.failure is not None
    assert order.failure.code == "processor_unavailable"
    assert order.attempts[0].proof == "not_sent"


async def test_a_challenge_waits_for_the_customer_and_is_confirmed(shop: Shop) -> None:
    order = await shop.order("sbx_challenge")
    assert order.status == "requires_action"
    assert (await shop.confirm(order, wait_s=0.5)).status == "requires_action"
    assert order.live is not None
    assert order.live.reference is not None
    shop.app.sandbox.bank.challenge(order.live.reference, approve=True)
    assert (await shop.confirm(order)).status == "captured"
    assert shop.book(order.id).captured == 1000


async def test_a_failed_challenge_fails_the_order(shop: Shop) -> None:
    order = await shop.order("sbx_challenge")
    assert order.live is not None
    assert order.live.reference is not None
    shop.app.sandbox.bank.challenge(order.live.reference, approve=False)
    order = await shop.confirm(order)
    assert order.status == "failed"
    assert [p.status for p in shop.book(order.id).payments] == ["cancelled"]


async def test_manual_capture_takes_a_part_and_releases_the_rest(shop: Shop) -> None:
    order = await shop.order(capture_method="manual")
    assert (order.status, order.amount_authorized, order.amount_captured) == ("authorized", 1000, 0)
    with pytest.raises(Rejected, match="At most 1000"):
        await shop.capture(order, 1001)
    order = await shop.capture(order, 600)
    assert (order.status, order.amount_captured) == ("captured", 600)
    book = shop.book(order.id)
    assert (book.captured, book.held) == (600, 0)


async def test_the_rest_of_a_hold_can_be_kept_and_captured_later(shop: Shop) -> None:
    order = await shop.order(capture_method="manual")
    order = await shop.capture(order, 300, final=False)
    assert (order.status, order.amount_captured) == ("captured", 300)
    order = await shop.capture(order, 500)
    assert order.amount_captured == 800
    book = shop.book(order.id)
    assert (book.captured, book.held, len(book.payments)) == (800, 0, 1)


async def test_a_refused_capture_leaves_the_order_authorized(shop: Shop) -> None:
    order = await shop.order("sbx_capture_decline", capture_method="manual")
    order = await shop.capture(order)
    assert order.status == "authorized"
    assert order.captures[0].status == "failed"
    assert shop.book(order.id).captured == 0


async def test_s6_a_capture_after_the_hold_lapsed_expires_the_order(shop: Shop) -> None:
    order = await shop.order("sbx_expire")
    order = await shop.until(order.id, lambda o: o.ended is not None)
    assert order.status == "expired"
    assert shop.book(order.id).captured == 0


async def test_cancelling_an_authorized_order_gives_the_hold_back(shop: Shop) -> None:
    order = await shop.cancel(await shop.order(capture_method="manual"))
    assert order.status == "cancelled"
    book = shop.book(order.id)
    assert (book.held, book.captured) == (0, 0)


async def test_cancelling_a_challenged_order_closes_its_payment(shop: Shop) -> None:
    order = await shop.cancel(await shop.order("sbx_challenge"))
    assert order.status == "cancelled"
    assert [p.status for p in shop.book(order.id).payments] == ["cancelled"]


async def test_a_void_that_is_refused_withholds_the_capture(shop: Shop) -> None:
    order = await shop.cancel(await shop.order("sbx_void_decline", capture_method="manual"))
    assert order.status == "cancelled"
    assert order.attempts[0].proof == "capture_withheld"
    assert shop.book(order.id).captured == 0


async def test_a_captured_order_is_refunded_in_parts_up_to_what_was_captured(shop: Shop) -> None:
    order = await shop.order()
    first = await shop.refund(order, 400)
    order = await shop.until(order.id, lambda o: refund_status(o, first) == "succeeded")
    assert order.status == "partially_refunded"
    with pytest.raises(Rejected, match="At most 600"):
        await shop.refund(order, 601)
    second = await shop.refund(order)
    order = await shop.until(order.id, lambda o: refund_status(o, second) == "succeeded")
    assert (order.status, order.amount_refunded) == ("refunded", 1000)
    assert shop.book(order.id).refunded == 1000


@pytest.mark.parametrize("token", ["sbx_refund_pending", "sbx_refund_error_after"])
async def test_a_refund_whose_answer_is_late_or_lost_is_sent_once(shop: Shop, token: str) -> None:
    order = await shop.order(token)
    refund = await shop.refund(order)
    order = await shop.until(order.id, lambda o: refund_status(o, refund) == "succeeded")
    assert order.status == "refunded"
    assert shop.book(order.id).refunded == 1000


async def test_a_refused_refund_fails_and_may_be_asked_for_again(shop: Shop) -> None:
    order = await shop.order("sbx_refund_decline")
    refund = await shop.refund(order)
    order = await shop.until(order.id, lambda o: refund_status(o, refund) == "failed")
    assert (order.status, order.refundable) == ("captured", 1000)


async def test_an_amount_that_is_not_ours_is_quarantined_and_never_captured(shop: Shop) -> None:
    order = await shop.order("sbx_wrong_amount")
    order = await shop.until(order.id, lambda o: bool(o.quarantine))
    assert order.status == "processing"
    with pytest.raises(Rejected) as refused:
        await shop.cancel(order)
    assert refused.value.code == "order_quarantined"
    assert shop.book(order.id).captured == 0


async def test_only_what_is_configured_and_known_takes_an_order(shop: Shop) -> None:
    with pytest.raises(Rejected) as refused:
        await shop.order("tok_visa")
    assert refused.value.code == "no_processor"
    assert refused.value.extra["candidates"] == [
        {"processor": "sandbox", "reason": "foreign token"},
        {"processor": "stripe", "reason": "not configured"},
        {"processor": "razorpay", "reason": "not configured"},
    ]


async def test_a_repetition_of_a_pay_that_is_still_under_way_is_told_so(shop: Shop) -> None:
    ports, caller = shop.app.ports, shop.caller
    order = (
        await create_order(ports, caller, NewOrder(amount_minor=1000, currency="USD"), None)
    ).order
    key = Idempotency(key="k", scope="tests", fingerprint=b"same")
    request = PayOrder(token="sbx_hang_after")
    first = await pay_order(ports, caller, order.id, request, key, wait_s=0)
    assert first.order.status == "processing"
    with pytest.raises(Conflict) as told:
        await pay_order(ports, caller, order.id, request, key, wait_s=0)
    assert told.value.code == "idempotency_in_progress"
    again = await pay_order(ports, caller, order.id, request, key, wait_s=20)
    assert (again.order.status, again.replayed) == ("captured", True)
    assert shop.book(order.id).captured == 1000
