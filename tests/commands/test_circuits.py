"""An open circuit guards new attempts at one account, and nothing else."""

import pytest

from adapters.circuits import PostgresCircuits
from adapters.processors.stripe import StripeProcessor
from commands.circuit import Limits
from commands.ports import CircuitKey
from domain.order.state import Order
from tests.adapters.processors.wire import unused_url
from tests.commands.market import Market

BASE = 10_000
CARD = "pm_card_visa"
BAD = 3


@pytest.fixture
async def busy(market: Market) -> Market:
    """A market whose circuits open after three calls that went wrong."""
    circuits_of(market)._limits = Limits(bad_min=BAD)
    return market


def circuits_of(market: Market) -> PostgresCircuits:
    circuits = market.app.ports.circuits
    assert isinstance(circuits, PostgresCircuits)
    return circuits


async def move(market: Market, url: str) -> None:
    """Have Stripe at another address from now on."""
    stripe = market.app.ports.processors["stripe"]
    assert isinstance(stripe, StripeProcessor)
    await stripe.aclose()
    stripe._line._base_url = url


async def key_of(market: Market) -> CircuitKey:
    order = await market.order(CARD, BASE)
    (order,) = await market.settle([order])
    attempt = order.attempts[0]
    return CircuitKey(
        merchant_id=order.merchant_id, processor=attempt.processor, account=attempt.account
    )


async def open_it(market: Market) -> CircuitKey:
    """Let three calls of Stripe go wrong."""
    key = await key_of(market)
    for _ in range(4 * BAD):
        await market.app.ports.circuits.record(key, "att_x", "timeout", decides=True)
    assert await market.app.ports.circuits.shut(key.merchant_id) == {key: False}
    return key


async def ripen(market: Market) -> None:
    """Let the time until the next probe pass."""
    async with market.app.pool.connection() as db:
        await db.execute("UPDATE circuits SET until = clock_timestamp()")
    circuits_of(market)._read_at = float("-inf")


def reasons(order: Order) -> dict[str, str]:
    return {c.processor: c.reason for c in order.attempts[0].decision.candidates}


async def test_new_orders_go_elsewhere_while_it_is_open_and_come_back_with_one_probe(
    busy: Market,
) -> None:
    home = busy.server.ready.stripe_url
    await move(busy, unused_url())
    failed = await busy.settle([await busy.order(None, BASE) for _ in range(BAD)], rounds=2)
    assert {len(order.attempts) for order in failed} == {2}
    away = await busy.order(None, BASE)
    assert away.attempts[0].processor == "razorpay"
    assert reasons(away)["stripe"] == "circuit_open"
    assert dict(away.attempts[0].decision.inputs.unfit) == {"stripe": "circuit_open"}

    await ripen(busy)
    probe, other = await busy.order(None, BASE), await busy.order(None, BASE)
    assert [o.attempts[0].processor for o in (probe, other)] == ["stripe", "razorpay"]
    await busy.round([probe])
    assert (await busy.order(None, BASE)).attempts[0].processor == "razorpay"

    await move(busy, home)
    await ripen(busy)
    probe = await busy.order(CARD, BASE)
    (probe,) = await busy.settle([probe])
    assert (probe.status, busy.book(probe)["captured"]) == ("captured", BASE)
    assert await busy.app.ports.circuits.shut(probe.merchant_id) == {}
    back = await busy.order(None, BASE)
    assert (back.attempts[0].processor, reasons(back)["stripe"]) == ("stripe", "eligible")


async def test_s2_what_hangs_after_its_effect_is_charged_once_though_the_circuit_opens(
    busy: Market,
) -> None:
    home = busy.server.ready.stripe_url
    order = await busy.order(CARD, BASE + 5006)
    (order,) = await busy.round([order])
    assert order.status == "processing"
    await open_it(busy)
    await move(busy, unused_url())
    (order,) = await busy.round([order])
    assert (order.status, len(order.attempts)) == ("processing", 1)
    await move(busy, home)
    (order,) = await busy.settle([order])
    book = busy.book(order)
    assert (order.status, book["captured"], len(book["payments"])) == ("captured", BASE + 5006, 1)
    assert [attempt.processor for attempt in order.attempts] == ["stripe"]


async def test_s21_an_open_circuit_stops_no_capture_refund_or_cancel(busy: Market) -> None:
    shop = busy.shop
    taken = await busy.order(CARD, BASE)
    (taken,) = await busy.settle([taken])
    held, kept = [
        await shop.order(CARD, wait_s=0, amount_minor=BASE, capture_method="manual")
        for _ in range(2)
    ]
    held, kept = await busy.round([held, kept])
    await open_it(busy)
    refund = await shop.refund(taken)
    held = await shop.capture(held)
    kept = await shop.cancel(kept, wait_s=0)
    taken, held, kept = await busy.settle([taken, held, kept])
    found = taken.refund(refund)
    assert found is not None
    assert (found.status, taken.status) == ("succeeded", "refunded")
    assert (held.status, kept.status) == ("captured", "cancelled")
    assert "refund_failed" not in await shop.events(taken.id)


async def test_every_process_reads_one_table_and_one_of_them_probes(busy: Market) -> None:
    key = await open_it(busy)
    others = [PostgresCircuits(busy.app.pool, Limits(bad_min=BAD)) for _ in range(3)]
    assert [await one.shut(key.merchant_id) for one in others] == [{key: False}] * 3
    await ripen(busy)
    claims = [await one.probe(key, f"att_{n}") for n, one in enumerate(others)]
    assert sorted(claims) == [False, False, True]
    assert await others[0].shut("mer_of_somebody_else") == {}


async def test_declines_and_a_few_errors_open_nothing(busy: Market) -> None:
    key = await key_of(busy)
    circuits = busy.app.ports.circuits
    for outcome in ["declined", "succeeded"] * 10 + ["unknown"] * (BAD - 1):
        await circuits.record(key, "att_x", outcome, decides=False)
    assert await circuits.shut(key.merchant_id) == {}
    for outcome in ["observed"] * 20 + ["unknown"] * BAD:
        await circuits.record(key, "att_x", outcome, decides=False)
    assert await circuits.shut(key.merchant_id) == {}
