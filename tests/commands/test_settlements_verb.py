"""`loop settlements` as an operator uses it: files, lists, exit codes, JSON."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from gateway.cli import cli
from tests.commands.clerk import Clerk, clerk_of
from tests.commands.market import Market
from tests.commands.test_settlements import TEN, bought


@pytest.fixture
async def clerk(market: Market) -> AsyncIterator[Clerk]:
    async with clerk_of(market) as clerk:
        yield clerk


@pytest.fixture
def loop(market: Market) -> Callable[..., Any]:
    """Run a verb beside the test, whose projectors go on meanwhile."""
    settings = market.app.settings
    environment = {
        "LOOP_HOME": str(settings.home),
        "LOOP_DATABASE_URL": settings.database_url,
        "LOOP_NATS_URL": settings.nats_url,
        "LOOP_MASTER_KEYS": settings.master_keys,
        "LOOP_STRIPE_BASE_URL": settings.stripe_base_url,
        "LOOP_RAZORPAY_BASE_URL": settings.razorpay_base_url,
    }

    async def run(*arguments: str, code: int = 0) -> Any:
        made: Result = await asyncio.to_thread(
            CliRunner().invoke, cli, ["settlements", *arguments], env=environment
        )
        assert made.exit_code == code, made.output
        return json.loads(made.stdout) if "--json" in arguments else made.output

    return run


async def test_an_operator_takes_in_a_report_and_explains_the_day(
    clerk: Clerk, loop: Callable[..., Any], tmp_path: Path
) -> None:
    merchant = ("--merchant", clerk.merchant_id)
    await clerk.books()
    assert await loop("exceptions", *merchant) == "everything is explained\n"
    (order,) = await bought(clerk.market, TEN)
    (payout,) = clerk.paid_out()
    file = tmp_path / "payouts.csv"
    file.write_text(clerk.report(payout).replace("96.80", "96.8O"), encoding="utf-8")
    stripe = ("--processor", "stripe", *merchant)
    refused = await loop("import", str(file), *stripe, code=1)
    assert "line 2: net is no amount of USD: '96.8O'" in refused

    await clerk.books()
    assert await loop("exceptions", *merchant) == "everything is explained\n", "it is new"
    async with clerk.market.app.pool.connection() as db:
        await db.execute("UPDATE settlement_facts SET occurred_at = occurred_at - interval '11 d'")
    late = await loop("exceptions", *merchant, "--json", code=1)
    assert [gone["orderId"] for gone in late["missing"]] == [order.id]
    file.write_text(clerk.report(payout), encoding="utf-8")
    (taken,) = await loop("import", str(file), *stripe, "--json")
    assert (taken["new"], taken["added"], taken["matched"], taken["lines"]) == (True, 1, 1, 1)
    (again,) = await loop("fetch", *stripe, "--json")
    assert again == {**taken, "new": False, "added": 0}
    assert "1 of 1 lines explained, nothing new" in await loop("import", str(file), *stripe)

    await clerk.books()
    (row,) = await loop("list", *merchant, "--json")
    assert (row["payoutId"], row["amountMinor"], row["matched"]) == (payout["id"], 9_680, 1)
    shown = await loop("show", taken["settlementId"])
    assert order.id in shown
    (line,) = (await loop("show", taken["settlementId"], "--json"))["lines"]
    await loop("unmatch", taken["settlementId"], line["line"]["id"])
    await clerk.books()
    assert "undone" in await loop("exceptions", *merchant, code=1)
    await loop("match", taken["settlementId"], line["line"]["id"], code=2)
    assert "explained" in await loop("match", taken["settlementId"])
    await clerk.books()
    assert await loop("exceptions", *merchant) == "everything is explained\n"


async def test_the_statement_of_a_day_fails_loudly_where_the_ledger_says_something_else(
    clerk: Clerk, loop: Callable[..., Any]
) -> None:
    asked = ("statement", "--merchant", clerk.merchant_id)
    await clerk.books()
    assert "no books yet" in await loop(*asked)
    await bought(clerk.market, TEN)
    await clerk.books()
    (day,) = (await loop(*asked, "--json"))["statements"]
    assert (day["opening"], day["captures"], day["fees"], day["closing"]) == (0, TEN, -320, 9_680)
    shown = await loop(*asked)
    assert "explained to the cent" in shown
    today = f"{datetime.now(UTC):%Y-%m-%d}"
    assert "no books yet" in await loop(*asked, "--date", "2020-02-29")
    async with clerk.market.app.pool.connection() as db:
        await db.execute(
            "UPDATE ledger_entries SET credits = credits + 1 WHERE account_id ="
            " (SELECT account_id FROM ledger WHERE account LIKE 'payable:%%'"
            "  AND merchant_id = %s)",
            (clerk.merchant_id,),
        )
    wrong = await loop(*asked, "--date", today, "--json", code=1)
    assert wrong["ok"] is False
    assert wrong["statements"][0]["ledger"] == 9_681
    assert "the ledger says something else" in await loop(*asked, code=1)
    await loop("statement", "--date", "tomorrow", code=2)
