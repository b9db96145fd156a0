"""Who keeps a shop's books beside Loop: brings reports, reads the ledger, explains the day."""

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from adapters.log import connect
from adapters.processors.reports import reporters
from adapters.projector import Projector
from adapters.settlement_index import PostgresSettlementIndex
from commands.import_settlement import Imported, import_settlement
from commands.processor import Credentials
from commands.settle_lines import accept_line, match_again, unmatch_line
from domain.balances import Balance, balances
from domain.settlement import Settlement
from projections import PROJECTIONS, ledger, settlements
from replay.books import audit_books
from replay.statement import Day, statement
from tests.commands.market import Market
from tests.waiting import running

READ = ("ledger", "settlements")


@dataclass
class Clerk:
    """`index` is level whenever something is asked: the projectors run beside the test."""

    market: Market
    index: PostgresSettlementIndex

    @property
    def url(self) -> str:
        return self.market.app.settings.database_url

    @property
    def merchant_id(self) -> str:
        return self.market.shop.caller.merchant_id

    def account(self, processor: str) -> str:
        """The fingerprint under which the shop's account is known."""
        key = self.market.key
        ids = {"stripe": {"secret_key": f"sk_test_{key}"}}
        ids["razorpay"] = {"key_id": f"rzp_test_{key}", "key_secret": "secret"}
        made = self.market.app.ports.processors[processor]
        return made.account_of(Credentials(ids[processor]), "test")

    def paid_out(self) -> list[dict[str, Any]]:
        """Let both vendors pay out; give the payouts, as they are shown."""
        key = self.market.key
        mine = {f"acct_{key}", f"acc_{key}"}
        return [
            payout
            for account in sorted(mine)
            for payout in self.market.server.trigger("payout", account=account)["payouts"]
        ]

    def report(self, payout: dict[str, Any]) -> str:
        text: str = self.market.server.control("GET", f"reports/{payout['id']}")["csv"]
        return text

    async def take_in(self, processor: str, text: str) -> list[Imported]:
        """Import a file, as the verb does."""
        parsed = reporters(self.market.app.ports.processors)[processor].parse(text)
        return await self._take_in(processor, parsed)

    async def fetch(self, processor: str) -> list[Imported]:
        """Import what the API has."""
        key = self.market.key
        values = {"secret_key": f"sk_test_{key}"}
        if processor == "razorpay":
            values = {"key_id": f"rzp_test_{key}", "key_secret": "secret"}
        since = datetime.now(UTC) - timedelta(days=30)
        reader = reporters(self.market.app.ports.processors)[processor]
        return await self._take_in(processor, await reader.fetch(since, Credentials(values)))

    async def _take_in(self, processor: str, reports: Any) -> list[Imported]:
        found: list[Imported] = []
        for report in reports:
            await self.index.level()
            ports, caller = self.market.app.ports, self.market.shop.caller
            account = self.account(processor)
            found.append(
                await import_settlement(ports, caller, self.index, report, account=account)
            )
        return found

    async def again(self, settlement: Settlement) -> Settlement:
        await self.index.level()
        ports, caller = self.market.app.ports, self.market.shop.caller
        return await match_again(ports, caller, self.index, settlement.id)

    async def accept(
        self, settlement: Settlement, line_id: str, *, outside: bool = False
    ) -> Settlement:
        return await accept_line(
            self.market.app.ports,
            self.market.shop.caller,
            settlement_id=settlement.id,
            line_id=line_id,
            outside=outside,
        )

    async def unmatch(self, settlement: Settlement, line_id: str) -> Settlement:
        ports, caller = self.market.app.ports, self.market.shop.caller
        return await unmatch_line(ports, caller, settlement.id, line_id)

    async def books(self) -> dict[tuple[str, str], int]:
        """Return every balance by kind of account and currency; the audit finds nothing wrong."""
        await self._level()
        audit = await audit_books(self.url)
        assert audit.ok, audit
        assert audit.compared_at == audit.position
        sums: dict[tuple[str, str], int] = {}
        async with await connect(self.url, "test") as db:
            upto = await ledger.as_of_position(db)
            filters = ledger.Filters(merchant_id=self.merchant_id, mode="test", upto=upto)
            for account in await ledger.accounts(db, filters):
                kind = account.account.partition(":")[0]
                if account.account.startswith("fees:"):
                    kind = "income" if account.account == "fees:platform" else "fees"
                key = (kind, account.currency)
                sums[key] = sums.get(key, 0) + account.balance
        return sums

    async def balances(self) -> dict[str, Balance]:
        """Return what `GET /v1/balances` is made of."""
        await self._level()
        async with await connect(self.url, "test") as db:
            upto = await ledger.as_of_position(db)
            filters = ledger.Filters(merchant_id=self.merchant_id, mode="test", upto=upto)
            found = await ledger.accounts(db, filters)
        sums = balances((a.account, a.currency, a.debits, a.credits) for a in found)
        return {one.currency: one for one in sums}

    async def today(self) -> Day:
        """Return the statement of today; the ledger says the same."""
        await self._level()
        now = datetime.now(UTC)
        found = await statement(
            self.url, now.date(), merchant_id=self.merchant_id, mode="test", now=now
        )
        assert found.ok, found
        return found

    async def missing(self, days: float) -> list[settlements.MissingRow]:
        await self._level()
        before = datetime.now(UTC) + timedelta(seconds=self.market.now_s) - timedelta(days=days)
        async with await connect(self.url, "test") as db:
            return await settlements.missing(
                db,
                merchant_id=self.merchant_id,
                mode="test",
                processors=["stripe", "razorpay"],
                before=before,
                limit=100,
            )

    async def _level(self) -> None:
        for name in READ:
            await self.index.level_of(name)


@contextlib.asynccontextmanager
async def clerk_of(market: Market) -> AsyncIterator[Clerk]:
    """Run the read models beside the market."""
    url = market.app.settings.database_url
    projectors = [Projector(url, None, PROJECTIONS[name]) for name in READ]
    async with running(*projectors):
        yield Clerk(market, PostgresSettlementIndex(market.app.pool))
