"""Webhook deliveries to a sink on loopback: from being due to the sink's 200, and their outcome.

One `loop work` with the role `dispatcher` sends; the sink is this process. Each delivery is the
`order.created` of another order, with a sealed customer, which is rendered from the log for every
attempt. They are made once, and become due again for every figure.
"""

import asyncio
import time
from typing import NamedTuple

import psycopg

from commands.add_endpoint import NewEndpoint, add_endpoint
from commands.create_order import NewOrder, create_order
from tests.benchmarks.measure import Bar, Outcome, Size, absolute
from tests.benchmarks.memory import family_cpu_s
from tests.benchmarks.sink import Sink, sink
from tests.benchmarks.stack import Servers, level, query_until, shops, working

AT_A_TIME = 64
AGAIN = "UPDATE webhook_deliveries SET status = 'pending', due_at = clock_timestamp()"


class Measured(NamedTuple):
    """Deliveries/s, and the CPU time of one in the dispatcher and in PostgreSQL."""

    rate: float
    dispatcher_us: float
    postgres_us: float


async def measured(url: str, receiver: Sink, deliveries: int, pids: tuple[int, int]) -> Measured:
    """Make all deliveries due at once; wait for the last outcome."""
    before = [family_cpu_s([pid]) for pid in pids]
    wanted = receiver.taken + deliveries
    async with await psycopg.AsyncConnection.connect(
        url, autocommit=True, options="-c search_path=loop"
    ) as db:
        await db.execute(AGAIN)
        start = time.perf_counter()
        await db.execute("NOTIFY loop_webhooks")
    await receiver.until(wanted)
    query = "SELECT count(*) FROM webhook_deliveries WHERE status = 'delivered'"
    await query_until(url, query, deliveries)
    rate = deliveries / (time.perf_counter() - start)
    used = [family_cpu_s([pid]) - was for pid, was in zip(pids, before, strict=True)]
    return Measured(rate, *(spent / deliveries * 1e6 for spent in used))


async def run(servers: Servers, size: Size) -> Outcome:
    """Measure as often as there are pairs."""
    settings = servers.settings()
    url = settings.database_url
    postgres = servers.postgres.pid
    assert postgres is not None, "PostgreSQL runs"
    async with shops(settings, 1) as (app, made), sink() as receiver:
        caller = made[0].caller
        await add_endpoint(app.ports, caller, NewEndpoint(url=receiver.url))
        slots = asyncio.Semaphore(AT_A_TIME)

        async def order() -> None:
            async with slots:
                new = NewOrder(amount_minor=1999, currency="USD", customer_email="a@example.com")
                await create_order(app.ports, caller, new, None)

        await asyncio.gather(*(order() for _ in range(size.lives)))
        async with working(settings, "projections"):
            await level(url)
        async with working(settings, "dispatcher") as pid:
            await receiver.until(size.lives)
            found = [
                await measured(url, receiver, size.lives, (pid, postgres))
                for _ in range(size.pairs)
            ]
    return Outcome(
        results=[
            absolute(
                "webhook deliveries, one dispatcher, one endpoint",
                [one.rate for one in found],
                "deliveries/s",
                Bar(kind="minimum", limit=300),
            ),
            absolute(
                "webhook delivery, CPU time of the dispatcher",
                [one.dispatcher_us for one in found],
                "us/delivery",
            ),
            absolute(
                "webhook delivery, CPU time of PostgreSQL",
                [one.postgres_us for one in found],
                "us/delivery",
            ),
        ]
    )
