"""Workers that die by SIGKILL in the middle of moving money; the bank's own books judge."""

import asyncio
import random

from adapters.sandbox.books import Books
from domain.order.state import Order
from projections import PROJECTIONS
from replay.compare import compare
from tests.chaos.conftest import Log, WorkerProcess
from tests.shop import Shop
from tests.waiting import until

SEED = 20
KILLS = 20
ORDERS = 200
GOOD = (
    "sbx_approve", "sbx_approve", "sbx_approve", "sbx_error_after", "sbx_capture_error_after",
    "sbx_pending",
)  # fmt: skip
BAD = ("sbx_decline", "sbx_decline_lost_card")


def _token(rng: random.Random) -> str:
    return rng.choice(GOOD if rng.random() < 0.85 else BAD)


async def _begin(shop: Shop, rng: random.Random, count: int) -> dict[str, str]:
    """Begin orders without waiting for them; return their tokens by id."""
    tokens = [_token(rng) for _ in range(count)]
    orders = await asyncio.gather(*(shop.order(token, wait_s=0) for token in tokens))
    return {order.id: token for order, token in zip(orders, tokens, strict=True)}


async def _orders(shop: Shop, ids: list[str]) -> list[Order]:
    return list(await asyncio.gather(*(shop.read(order_id) for order_id in ids)))


async def test_a_worker_killed_at_twenty_random_moments_charges_every_good_order_once(
    shop: Shop, worker: WorkerProcess, log: Log
) -> None:
    rng = random.Random(SEED)
    tokens: dict[str, str] = {}
    between = 0
    for _ in range(KILLS):
        tokens |= await _begin(shop, rng, ORDERS // KILLS)
        worker.start()
        await until(log.acting, 90)
        await asyncio.sleep(rng.uniform(0, 0.25))
        worker.kill()
        acting = log.acting()
        if acting:
            between += 1
            assert all(tag != "order.captured.v1" for tag in log.last_tags(acting))
    worker.start()
    await until(lambda: not log.waiting(), 180)
    print(f"{between} of {KILLS} kills fell between an intent and its outcome")
    assert between >= KILLS / 3

    orders = await _orders(shop, list(tokens))
    assert len(orders) == ORDERS
    _judge(orders, tokens, shop.app.sandbox.bank.books())
    await _read_models_equal_the_log(shop, log)


def _judge(orders: list[Order], tokens: dict[str, str], books: Books) -> None:
    assert books.violations == ()
    for order in orders:
        book = books.orders[order.id]
        good = tokens[order.id] in GOOD
        assert order.status == ("captured" if good else "failed"), order
        assert book.captured == order.amount_captured == (1000 if good else 0), order
        assert sum(1 for payment in book.payments if payment.captured) == int(good)
        assert book.held == 0, order


async def _read_models_equal_the_log(shop: Shop, log: Log) -> None:
    url = shop.app.settings.database_url
    (head,) = log.column("SELECT max(notification_id) FROM events")
    for projection in PROJECTIONS.values():

        def level(name: str = projection.name) -> bool:
            found = log.column(f"SELECT position FROM projection_positions WHERE name = '{name}'")  # noqa: S608
            return found == [head]

        await until(level, 90)
        comparison = await compare(url, projection)
        assert (comparison.position, comparison.differences) == (head, ())


async def test_refunds_and_voids_survive_kills_too(
    shop: Shop, worker: WorkerProcess, log: Log
) -> None:
    rng = random.Random(SEED)
    captured = [await shop.order(wait_s=0) for _ in range(10)]
    held = [await shop.order(wait_s=0, capture_method="manual") for _ in range(10)]
    worker.start()
    await until(lambda: not log.waiting_now(), 120)
    worker.kill()
    for order in captured:
        await shop.refund(order, 400)
        await shop.refund(order, 600)
    for order in held:
        await shop.cancel(order, wait_s=0)
    for _ in range(5):
        worker.start()
        await until(lambda: log.acting() or not log.waiting_now(), 90)
        await asyncio.sleep(rng.uniform(0, 0.1))
        worker.kill()
    worker.start()
    await until(lambda: not log.waiting_now(), 120)

    books = shop.app.sandbox.bank.books()
    assert books.violations == ()
    for order in await _orders(shop, [order.id for order in captured]):
        assert order.status == "refunded"
        assert books.orders[order.id].refunded == 1000
    for order in await _orders(shop, [order.id for order in held]):
        assert order.status == "cancelled"
        assert (books.orders[order.id].held, books.orders[order.id].captured) == (0, 0)
