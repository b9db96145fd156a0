"""R13: a processor is disabled, removed or removed by force while orders still need it."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

import pytest

from commands.configure_processor import ProcessorAccount, configure_processor
from commands.remove_processor import remove_processor
from domain.errors import Rejected
from domain.events import OutcomeUnknown
from domain.order.people import cases
from domain.order.rules import CREDENTIALS_DESTROYED
from domain.order.state import Order
from tests.commands.market import Market

BASE = 20_000
CARD = "pm_card_visa"
CHALLENGE = "pm_card_threeDSecure2Required"
TIMED_OUT = BASE + 5004
"""The confirmation takes effect, and its answer is lost."""

Going = Callable[[Market], Awaitable[object]]


async def disabled(market: Market) -> None:
    for name in ("stripe", "razorpay"):
        account = ProcessorAccount(processor=name, enabled=False)
        await configure_processor(market.app.ports, market.shop.caller, account)


async def removed(market: Market) -> None:
    for name in ("stripe", "razorpay"):
        await remove_processor(market.app.ports, market.shop.caller, name)


async def removed_by_force(market: Market) -> None:
    for name in ("stripe", "razorpay"):
        await remove_processor(market.app.ports, market.shop.caller, name, force=True)


async def causes(market: Market, order: Order) -> list[tuple[str, str]]:
    rows = (await market.app.ports.store.load([order.id]))[order.id]
    return [(r.data.operation, r.data.cause) for r in rows if isinstance(r.data, OutcomeUnknown)]


def for_people(order: Order) -> list[tuple[str, bool]]:
    """What a person is told at once, although the processor could be asked for a year."""
    year = {"stripe": 366 * 86_400.0}
    found = cases(order, {}, now=datetime.now(UTC), windows_s=year)
    return [(case.kind, case.urgent) for case in found]


@pytest.mark.parametrize("gone", [disabled, removed])
async def test_r13_what_was_begun_goes_on_and_nothing_new_begins(
    market: Market, gone: Going
) -> None:
    (taken,) = await market.settle([await market.order(CARD, BASE)])
    begun = [await market.order(CHALLENGE, BASE), await market.order(CARD, TIMED_OUT)]
    late, doubted = await market.round(begun)
    await gone(market)
    refund = await market.shop.refund(taken)
    market.authenticate(late)
    taken, late, doubted = await market.settle([taken, late, doubted])
    found = taken.refund(refund)
    assert found is not None
    assert (found.status, market.book(taken)["refunded"]) == ("succeeded", BASE)
    assert (late.status, market.book(late)["captured"]) == ("captured", BASE)
    assert (doubted.status, market.book(doubted)["captured"]) == ("captured", TIMED_OUT)
    assert len(market.book(doubted)["payments"]) == 1
    with pytest.raises(Rejected, match="rocessor"):
        await market.order(CARD, BASE)


async def test_r13_after_a_removal_by_force_a_refund_waits_for_a_person(market: Market) -> None:
    (taken,) = await market.settle([await market.order(CARD, BASE)])
    await removed_by_force(market)
    refund = await market.shop.refund(taken)
    for _ in range(3):
        (taken,) = await market.round([taken])
    found = taken.refund(refund)
    assert found is not None
    assert (taken.status, found.status) == ("captured", "unknown")
    assert market.book(taken)["refunded"] == 0
    assert await causes(market, taken) == [("refund", CREDENTIALS_DESTROYED)]
    assert for_people(taken) == [("outcome_unknown", True)]


async def test_r13_after_a_removal_by_force_nobody_is_charged_and_no_doubt_is_guessed(
    market: Market,
) -> None:
    begun = [await market.order(CHALLENGE, BASE), await market.order(CARD, TIMED_OUT)]
    late, doubted = await market.round(begun)
    unsent = await market.order(CARD, BASE)
    await removed_by_force(market)
    market.authenticate(late)
    for _ in range(3):
        late, doubted, unsent = await market.round([late, doubted, unsent])
    # Never sent is proven, so this one ends; the others may have money at the processor.
    assert (unsent.status, market.book(unsent)["payments"]) == ("failed", [])
    assert [a.proof for a in unsent.attempts] == ["not_sent"]
    assert (late.status, doubted.status) == ("requires_action", "processing")
    market.later(timedelta(minutes=16))
    for _ in range(3):
        late, doubted = await market.round([late, doubted])
    for order in (late, doubted):
        assert (order.status, order.amount_captured) == ("processing", 0)
        assert (await causes(market, order)).count(("authorize", CREDENTIALS_DESTROYED)) == 1
        assert for_people(order) == [("outcome_unknown", True)]
