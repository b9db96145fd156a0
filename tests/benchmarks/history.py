"""Many orders, written through the append function as the commands would."""

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from adapters.wiring import Application
from commands.append import Append, Claim, NewEvent, Write
from commands.execute import due_changes
from domain import events as e
from domain.ids import new_id
from domain.money import Money
from domain.order.evolve import evolve
from domain.order.state import Order
from tests.benchmarks.stack import Shop
from tests.history import created, life

AT_A_TIME = 512
LIFE_EVENTS = 5
"""Created, routed, authorized, capture requested, captured."""


async def orders(app: Application, shop: Shop, number: int) -> None:
    """Append orders that were just created, each with its external id claimed and its due row."""

    def one() -> Append:
        order_id = new_id("ord")
        external = f"grown-{order_id}"
        scope = f"{shop.caller.merchant_id}:{shop.caller.mode}"
        claim = Claim(kind="external_id", scope=scope, value=external, owner=order_id)
        event = e.OrderCreated(amount=Money(1999, "USD"), external_id=external)
        return _append(shop, order_id, [event], (claim,))

    await _all(app, number, one)


async def lives(app: Application, shop: Shop, events: int) -> int:
    """Append whole lives, at least so many events; return the last position."""

    def one() -> Append:
        order_id = new_id("ord")
        facts = [fact for _, fact in life(order_id)][:LIFE_EVENTS]
        facts[0] = created(1000, external_id=f"x-{order_id}")
        return _append(shop, order_id, facts, ())

    await _all(app, -(-events // LIFE_EVENTS), one)
    rows = 0
    while page := await app.ports.store.read(rows, 10_000):
        rows = page[-1].position
    return rows


async def _all(app: Application, number: int, one: Callable[[], Append]) -> None:
    left = iter(range(number))

    async def work() -> None:
        for _ in left:
            await app.ports.store.append(one())

    async with asyncio.TaskGroup() as tasks:
        for _ in range(AT_A_TIME):
            tasks.create_task(work())


def _append(
    shop: Shop, order_id: str, facts: Sequence[e.OrderEvent], claims: tuple[Claim, ...]
) -> Append:
    now = datetime.now(UTC)
    new = tuple(
        NewEvent(metadata=shop.caller.metadata(now, mode=shop.caller.mode), data=fact)
        for fact in facts
    )
    order: Order | None = None
    for event in new:
        order = evolve(order, event.data, event.metadata, stream_id=order_id)
    assert order is not None, "there is at least one event"
    write = Write(stream_id=order_id, expected_version=0, events=new)
    return Append(writes=(write,), claims=claims, due=due_changes(None, order))
