"""POST /v1/orders against a bare uvicorn handler: same run, same PostgreSQL, same load generator.

Ours is `loop serve` as `loop up` starts it, with a `loop work` (relay, projections, saga) beside
it on the same two cores; before the other one is measured, the worker has caught up.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace

import msgspec

from adapters.settings import Settings
from tests.benchmarks import load
from tests.benchmarks.load import Job, Report
from tests.benchmarks.measure import (
    Bar,
    Outcome,
    Plot,
    Point,
    Result,
    Size,
    compared,
    interleaved,
    interval,
)
from tests.benchmarks.memory import family_cpu_s
from tests.benchmarks.stack import Servers, free_port, level, process, serving, shops, working

CONNECTIONS = (1, 16, 64, 256)
BAR_AT = 64
BODY = b'{"amount": 1999, "currency": "USD"}'
WARM_UP_S = 0.3


def post(api_key: str, *, idempotent: bool = False) -> bytes:
    """Return the bytes of one request."""
    body, more = BODY, b""
    if idempotent:
        body = BODY.replace(b"}", b', "externalId": "cart-' + load.SERIAL + b'"}')
        more = b"Idempotency-Key: " + load.SERIAL + b"\r\n"
    return (
        b"POST /v1/orders HTTP/1.1\r\nHost: bench\r\nX-API-Key: "
        + api_key.encode()
        + b"\r\nContent-Type: application/json\r\n"
        + more
        + b"Content-Length: %d\r\n\r\n" % len(body)
        + body
    )


@dataclass(frozen=True)
class Target:
    """A server that answers `requests`.

    Attributes:
        pids: all that work for it; their CPU time is that of the requests.
    """

    port: int
    requests: list[bytes]
    database_url: str | None = None
    pids: tuple[int, ...] = ()

    async def measured(self, connections: int, seconds: float, rate: float | None = None) -> Report:
        """Measure once; a target with a worker is waited for afterwards."""
        before_s = family_cpu_s(self.pids)
        report = await load.loaded(
            Job(
                host="127.0.0.1",
                port=self.port,
                connections=connections,
                seconds=seconds,
                warm_up_s=WARM_UP_S,
                requests=self.requests,
                rate=rate,
            )
        )
        if self.database_url is not None:
            await level(self.database_url)
        used_s = family_cpu_s(self.pids) - before_s
        return msgspec.structs.replace(report, cpu_us=used_s / report.answered * 1e6)


@contextlib.asynccontextmanager
async def ours(servers: Servers, *, merchants: int = 1) -> AsyncIterator[tuple[Settings, Target]]:
    """Run gateway and worker on a fresh database."""
    settings = servers.settings()
    async with shops(settings, merchants) as (_, made):
        requests = [post(shop.api_key) for shop in made]
    async with serving(settings) as gateway, working(settings) as worker:
        await level(settings.database_url)
        pids = gateway, worker, *servers.pids
        yield settings, Target(settings.port, requests, settings.database_url, pids)


@contextlib.asynccontextmanager
async def bare(servers: Servers) -> AsyncIterator[Target]:
    """Run the bare handler on a fresh database."""
    port = free_port()
    url = servers.database(migrated=False)
    async with process("tests.benchmarks.bare", url, str(port)) as running:
        while True:
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.close()
                break
            await asyncio.sleep(0.05)
        pids = running.pid, *servers.pids
        yield Target(port, [post("sk_test_bare")], None, pids)


async def run(servers: Servers, size: Size) -> Outcome:
    """Measure at each number of connections."""
    results: list[Result] = []
    lines: dict[str, list[Point]] = {"Loop": [], "bare": []}
    async with ours(servers) as (_, loop), bare(servers) as plain:
        for connections in CONNECTIONS:
            a, b = await interleaved(
                size.pairs,
                lambda: loop.measured(connections, size.seconds),  # noqa: B023 - awaited here
                lambda: plain.measured(connections, size.seconds),  # noqa: B023 - as above
            )
            results += _lines(connections, a, b)
            if connections == BAR_AT:
                results.append(await _at_one_rate(loop, plain, size, results[-3].value / 2))
            for name, reports in (("Loop", a), ("bare", b)):
                rate = interval([report.per_second for report in reports]).median
                lines[name].append(Point(x=connections, y=rate))
        keyed = replace(loop, requests=[_keyed(loop.requests[0])])
        a, b = await interleaved(
            size.pairs,
            lambda: keyed.measured(BAR_AT, size.seconds),
            lambda: plain.measured(BAR_AT, size.seconds),
        )
        results.append(_rate("with Idempotency-Key and externalId, ", BAR_AT, a, b, None))
    plot = Plot(
        file="http_orders.svg",
        title="POST /v1/orders",
        x_label="connections",
        y_label="requests/s",
        lines=lines,
        log_x=True,
    )
    return Outcome(results=results, plots=[plot])


async def _at_one_rate(loop: Target, plain: Target, size: Size, rate: float) -> Result:
    """Compare the latencies while both do the same work: half of what ours can do."""
    a, b = await interleaved(
        size.pairs,
        lambda: loop.measured(BAR_AT, size.seconds, rate),
        lambda: plain.measured(BAR_AT, size.seconds, rate),
    )
    return compared(
        f"POST /v1/orders, {BAR_AT} connections, both at {rate:,.0f} requests/s, p99",
        [report.p99_ms for report in a],
        "ms",
        "bare uvicorn handler",
        [report.p99_ms for report in b],
    )


def _keyed(request: bytes) -> bytes:
    api_key = request.split(b"X-API-Key: ", 1)[1].split(b"\r\n", 1)[0]
    return post(api_key.decode(), idempotent=True)


def _lines(connections: int, a: list[Report], b: list[Report]) -> list[Result]:
    at_bar = connections == BAR_AT
    return [
        _rate("", connections, a, b, Bar(kind="minimum", limit=0.25) if at_bar else None),
        compared(
            f"POST /v1/orders, {connections} connections, p99",
            [report.p99_ms for report in a],
            "ms",
            "bare uvicorn handler",
            [report.p99_ms for report in b],
            Bar(kind="maximum", limit=2) if at_bar else None,
        ),
        compared(
            f"POST /v1/orders, {connections} connections, CPU time of all processes",
            [report.cpu_us for report in a],
            "us/request",
            "bare uvicorn handler",
            [report.cpu_us for report in b],
        ),
    ]


def _rate(what: str, connections: int, a: list[Report], b: list[Report], bar: Bar | None) -> Result:
    return compared(
        f"POST /v1/orders, {what}{connections} connections",
        [report.per_second for report in a],
        "requests/s",
        "bare uvicorn handler",
        [report.per_second for report in b],
        bar,
    )
