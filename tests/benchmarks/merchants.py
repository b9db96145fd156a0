"""One hot merchant against a hundred: POST /v1/orders at 64 connections."""

from dataclasses import replace

from tests.benchmarks.http_orders import BAR_AT, ours
from tests.benchmarks.measure import Bar, Outcome, Size, compared, interleaved
from tests.benchmarks.stack import Servers

MERCHANTS = 100


async def run(servers: Servers, size: Size) -> Outcome:
    """Measure one gateway with one key and with a hundred, in turn."""
    async with ours(servers, merchants=MERCHANTS) as (_, spread):
        hot = replace(spread, requests=spread.requests[:1])
        a, b = await interleaved(
            size.pairs,
            lambda: hot.measured(BAR_AT, size.seconds),
            lambda: spread.measured(BAR_AT, size.seconds),
        )
    line = compared(
        f"POST /v1/orders, all to one merchant, {BAR_AT} connections",
        [report.per_second for report in a],
        "requests/s",
        f"spread over {MERCHANTS} merchants",
        [report.per_second for report in b],
        Bar(kind="band", limit=0.1),
    )
    return Outcome(results=[line])
