"""What an operator settles: with the processor's word, or by closing for ever."""

import msgspec
import pytest

from commands.sagas.by_hand import ByHand
from domain.errors import Rejected
from domain.events import AttemptFenced
from domain.order.state import Order
from tests.adapters.processors.wire import unused_url
from tests.commands.market import CALL_LIMIT_S, Market

BASE = 10_000
CARD = "pm_card_visa"
THREE_DS = "pm_card_threeDSecure2Required"


def hand(market: Market) -> ByHand:
    app = market.app
    return ByHand(app.ports, operator="ada", worker=app.due.worker, call_limit_s=CALL_LIMIT_S)


async def not_charged(market: Market, order: Order, *, fence: bool = False) -> Order:
    assert order.live is not None
    return await hand(market).not_charged(
        order.id, order.live.id, evidence="ticket 17", fence=fence
    )


async def fence_of(market: Market, order: Order) -> tuple[str, object, str]:
    """Who closed the attempt, the evidence opened, and the proof."""
    rows = (await market.app.ports.store.load([order.id]))[order.id]
    (row,) = [row for row in rows if isinstance(row.data, AttemptFenced)]
    assert isinstance(row.data, AttemptFenced)
    assert row.data.evidence is not None
    (opened,) = await market.app.ports.vault.open([row.data.evidence])
    assert opened is not None
    actor = f"{row.metadata.actor.kind} {row.metadata.actor.id}"
    return actor, msgspec.json.decode(opened), row.data.proof


async def test_not_charged_is_refused_where_the_processor_says_otherwise(market: Market) -> None:
    (order,) = await market.round([await market.order(CARD, BASE + 5006)])
    assert order.status == "processing"
    with pytest.raises(Rejected) as refused:
        await not_charged(market, order)
    assert refused.value.code == "charged"
    (order,) = await market.settle([order])
    assert (order.status, market.book(order)["captured"]) == ("captured", BASE + 5006)
    with pytest.raises(Rejected) as again:
        await not_charged(market, order, fence=True)
    assert again.value.code == "invalid_status"


async def test_what_is_still_open_is_closed_at_the_processor_first(market: Market) -> None:
    (order,) = await market.round([await market.order(THREE_DS, BASE)])
    order = await not_charged(market, order)
    assert (order.status, order.failure and order.failure.code) == ("failed", "closed_by_operator")
    proof = ("operator ada", "ticket 17", "cancelled_at_processor")
    assert await fence_of(market, order) == proof
    assert market.book(order)["held"] == 0


async def test_a_silent_processor_proves_nothing_and_a_fence_sends_late_money_back(
    market: Market,
) -> None:
    (order,) = await market.round([await market.order(THREE_DS, BASE)])
    stripe = market.app.ports.processors["stripe"]
    await stripe.aclose()
    stripe._line._base_url = unused_url()  # type: ignore[attr-defined]
    with pytest.raises(Rejected) as refused:
        await not_charged(market, order)
    assert refused.value.code == "still_in_doubt"
    order = await not_charged(market, order, fence=True)
    assert await fence_of(market, order) == ("operator ada", "ticket 17", "capture_withheld")
    await stripe.aclose()
    stripe._line._base_url = market.server.ready.stripe_url  # type: ignore[attr-defined]
    market.authenticate(order)
    order = await market.look_at(order)
    assert [stray.state for stray in order.strays] == ["held"]
    (order,) = await market.settle([order], rounds=2)
    book = market.book(order)
    assert (order.status, book["held"], book["captured"]) == ("failed", 0, 0)


async def test_as_found_records_what_was_done_in_the_dashboard_once(market: Market) -> None:
    (order,) = await market.settle([await market.order(CARD, BASE)])
    attempt = order.attempts[0]
    with market.server.stripe(f"sk_test_{market.key}") as dashboard:
        dashboard.v1.refunds.create({"payment_intent": str(attempt.reference), "amount": 300})
    order = await hand(market).as_found(order.id, attempt.id)
    assert order.amount_refunded == 300
    rows = (await market.app.ports.store.load([order.id]))[order.id]
    assert rows[-1].metadata.actor.id == "ada"
    with pytest.raises(Rejected) as refused:
        await hand(market).as_found(order.id, attempt.id)
    assert refused.value.code == "still_in_doubt"
