"""Growth: does POST /v1/orders stay as fast, and the memory as small, from 0 to many orders?

Orders are loaded through the append function; after each step the worker catches up, then the grown
installation and a fresh one (same machine, same minute) take turns at 64 connections.
"""

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass

from adapters.embedded.nats import EmbeddedNats
from adapters.settings import Settings
from adapters.wiring import Application
from tests.benchmarks import history
from tests.benchmarks.http_orders import BAR_AT, Target, post
from tests.benchmarks.measure import (
    Bar,
    Outcome,
    Plot,
    Point,
    Result,
    Size,
    absolute,
    compared,
    interleaved,
    ratios,
)
from tests.benchmarks.memory import pss_mib
from tests.benchmarks.stack import Servers, Shop, level, serving, shops, working

GROWS = 1.5
"""How much larger a process may be at the end than after the first step."""


@dataclass(frozen=True)
class Installation:
    """A gateway and a worker over a database that this process can append to."""

    app: Application
    shop: Shop
    settings: Settings
    gateway: int
    worker: int

    @property
    def target(self) -> Target:
        """What the load generator is sent to."""
        settings = self.settings
        return Target(settings.port, [post(self.shop.api_key)], settings.database_url)


@contextlib.asynccontextmanager
async def installation(settings: Settings) -> AsyncIterator[Installation]:
    async with (
        shops(settings, 1) as (app, made),
        serving(settings) as gateway,
        working(settings) as worker,
    ):
        await level(settings.database_url)
        yield Installation(app, made[0], settings, gateway, worker)


async def run(servers: Servers, size: Size) -> Outcome:
    """Grow one installation in steps beside one that does not grow."""
    # One NATS has one stream, so the small installation has a server of its own.
    with EmbeddedNats(servers.folder / "small") as nats:
        async with (
            installation(servers.settings()) as grown,
            installation(servers.settings(nats_url=nats.url)) as small,
        ):
            return await _grow(grown, small, size)


async def _grow(grown: Installation, small: Installation, size: Size) -> Outcome:
    speed: list[Point] = []
    memory: dict[str, list[Point]] = {"loop serve": [], "loop work": []}
    rates: tuple[list[float], list[float]] = ([], [])
    orders = 0
    for step in range(size.steps + 1):
        wanted = size.orders * step // size.steps
        await history.orders(grown.app, grown.shop, wanted - orders)
        orders = wanted
        await level(grown.settings.database_url)
        rates = await _rates(grown, small, size.pairs if step == size.steps else 3, size.seconds)
        speed.append(Point(x=orders, y=ratios(*rates).median))
        for name, pid in (("loop serve", grown.gateway), ("loop work", grown.worker)):
            memory[name].append(Point(x=orders, y=pss_mib(pid)))
    line = compared(
        f"POST /v1/orders with {orders:,} orders, {BAR_AT} connections",
        rates[0],
        "requests/s",
        "the same with none",
        rates[1],
        Bar(kind="band", limit=0.15),
    )
    results = [line, *(_memory(name, points) for name, points in memory.items())]
    return Outcome(results=results, plots=_plots(speed, memory))


async def _rates(
    grown: Installation, small: Installation, pairs: int, seconds: float
) -> tuple[list[float], list[float]]:
    a, b = await interleaved(
        pairs,
        lambda: grown.target.measured(BAR_AT, seconds),
        lambda: small.target.measured(BAR_AT, seconds),
    )
    return [report.per_second for report in a], [report.per_second for report in b]


def _memory(name: str, points: list[Point]) -> Result:
    first, last = points[1], points[-1]
    what = f"PSS of `{name}` at {last.x:,.0f} orders, to that at {first.x:,.0f}"
    return absolute(what, [last.y / first.y], "x", Bar(kind="maximum", limit=GROWS))


def _plots(speed: list[Point], memory: dict[str, list[Point]]) -> list[Plot]:
    return [
        Plot(
            file="growth_speed.svg",
            title="POST /v1/orders of a growing installation",
            x_label="orders",
            y_label="rate, to that of an empty one",
            lines={"Loop": speed},
        ),
        Plot(
            file="growth_memory.svg",
            title="Memory of a growing installation",
            x_label="orders",
            y_label="PSS, MiB",
            lines=memory,
        ),
    ]
