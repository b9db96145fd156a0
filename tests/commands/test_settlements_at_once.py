"""Two people who explain payouts at the same moment: a capture explains one line, whoever is first.

They are two applications with a writer and connections of their own, as two processes are.
"""

import asyncio
from collections.abc import AsyncIterator, Collection

import psycopg
import pytest
from typing_extensions import override

from adapters.migrations import OPTIONS, migrations
from adapters.processors.reports import reporters
from adapters.rebuild_side_tables import check_side_tables
from adapters.settlement_index import PostgresSettlementIndex
from adapters.wiring import Application, application
from commands.import_settlement import Imported, import_settlement
from commands.settle_lines import match_again
from domain.errors import Rejected
from domain.metadata import Mode
from domain.settlement import Settlement
from domain.settlement_facts import Key
from tests.commands.clerk import Clerk, clerk_of
from tests.commands.market import Market

AMOUNTS = (10_000, 20_000, 30_000)
TOGETHER_S = 60


class Together(PostgresSettlementIndex):
    """What explains a line already, asked for the first time by both before either writes."""

    def __init__(self, app: Application, both: asyncio.Barrier) -> None:
        super().__init__(app.pool)
        self._both: asyncio.Barrier | None = both

    @override
    async def taken(self, *, merchant_id: str, mode: Mode, keys: Collection[Key]) -> set[Key]:
        found = await super().taken(merchant_id=merchant_id, mode=mode, keys=keys)
        if self._both is not None:
            both, self._both = self._both, None
            async with asyncio.timeout(TOGETHER_S):
                await both.wait()
        return found


@pytest.fixture
async def clerk(market: Market) -> AsyncIterator[Clerk]:
    async with clerk_of(market) as clerk:
        yield clerk


@pytest.fixture
async def other(market: Market) -> AsyncIterator[Application]:
    async with application(market.app.settings, name="other") as app:
        yield app


async def two_reports(clerk: Clerk) -> tuple[str, str]:
    """A payout's report, and one of a second payout with the same charges."""
    market = clerk.market
    orders = [await market.order("pm_card_visa", amount, "USD") for amount in AMOUNTS]
    assert {order.status for order in await market.settle(orders)} == {"captured"}
    (payout,) = clerk.paid_out()
    text = clerk.report(payout)
    return text, text.replace(payout["id"], "po_second").replace("txn_", "txn_2nd_")


async def take_in(clerk: Clerk, app: Application, index: Together, text: str) -> Imported:
    (report,) = reporters(app.ports.processors)["stripe"].parse(text)
    await index.level()
    caller, account = clerk.market.shop.caller, clerk.account("stripe")
    return await import_settlement(app.ports, caller, index, report, account=account)


def reasons(settlement: Settlement) -> list[str | None]:
    return [line.reason for line in settlement.lines]


def claims(clerk: Clerk) -> list[tuple[str, ...]]:
    with psycopg.connect(clerk.url, options=OPTIONS) as db:
        return db.execute("SELECT * FROM claims WHERE kind = 'settled' ORDER BY value").fetchall()


async def test_two_imports_at_one_moment_never_explain_two_lines_by_one_capture(
    clerk: Clerk, other: Application
) -> None:
    texts = await two_reports(clerk)
    apps, both = (clerk.market.app, other), asyncio.Barrier(2)
    imports = [
        take_in(clerk, app, Together(app, both), text)
        for app, text in zip(apps, texts, strict=True)
    ]
    first, second = [done.settlement for done in await asyncio.gather(*imports)]
    if any(reasons(first)):
        first, second = second, first
    assert reasons(first) == [None] * 3
    assert reasons(second) == ["duplicate"] * 3
    books = await clerk.books()
    assert books["bank_contra", "USD"] == first.amount.minor
    assert books["bank", "USD"] == 2 * first.amount.minor
    assert (await check_side_tables(clerk.url)).differences == {}


async def test_what_is_taken_back_explains_again_but_once(clerk: Clerk, other: Application) -> None:
    texts = await two_reports(clerk)
    (first,), (second,) = [await clerk.take_in("stripe", text) for text in texts]
    line_id = first.settlement.lines[0].line.id
    with pytest.raises(Rejected) as refused:
        await clerk.accept(second.settlement, f"txn_2nd_{line_id.removeprefix('txn_')}")
    assert refused.value.code == "duplicate"
    await clerk.unmatch(first.settlement, line_id)

    both = asyncio.Barrier(2)
    again = [
        match_again(app.ports, clerk.market.shop.caller, Together(app, both), one.settlement.id)
        for app, one in ((clerk.market.app, first), (other, second))
    ]
    found = await asyncio.gather(*again)
    matched = [reasons(one).count(None) for one in found]
    assert sorted(matched) in ([1, 2], [0, 3]), "the one line is explained in one payout"
    assert (await clerk.books())["bank_contra", "USD"] == first.settlement.amount.minor
    assert (await check_side_tables(clerk.url)).differences == {}


async def test_what_explains_lines_of_an_older_installation_is_claimed_by_the_migration(
    clerk: Clerk,
) -> None:
    texts = await two_reports(clerk)
    (first,) = await clerk.take_in("stripe", texts[0])
    undone = first.settlement.lines[1].line.id
    await clerk.unmatch(first.settlement, undone)
    before = claims(clerk)
    assert len(before) == 2
    (migration,) = [one for one in migrations() if one.name == "0009_settled.sql"]
    for mend in ("migration", "repair"):
        with psycopg.connect(clerk.url, options=OPTIONS) as db:
            db.execute("DELETE FROM claims WHERE kind = 'settled'")
            if mend == "migration":
                db.execute(migration.text.encode())
        if mend == "repair":
            report = await check_side_tables(clerk.url, repair=True)
            assert (report.differences, report.repaired) == ({"claims.missing": 2}, 2)
        assert claims(clerk) == before
