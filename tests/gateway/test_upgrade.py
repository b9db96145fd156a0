"""An installation whose read model was filled by older code: whole, told of, and given way to."""

import asyncio
import json
import secrets
from collections.abc import Callable, Iterator
from copy import copy
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from psycopg import sql
from psycopg_pool import AsyncConnectionPool
from typing_extensions import override

from adapters.log import connect
from adapters.migrations import OPTIONS
from adapters.nats import Bus
from adapters.projector import Projector
from adapters.read_models import install, projections_status
from domain import events as e
from domain.money import Money
from gateway.cli import cli
from gateway.deps import Checks
from gateway.parts import EngineChecks
from projections import PROJECTIONS, ledger
from projections.base import Projection
from projections.ledger import LedgerView
from tests.history import START, History, life
from tests.waiting import running, until


class FirstLedger(LedgerView):
    """The ledger as its first version was: every entry of an order, nothing of payouts."""

    version = 1

    def __init__(self) -> None:
        vars(self)["streams"] = ("ord_",)

    @override
    def schema(self, n: int) -> sql.Composed:
        of_order = sql.SQL(" ALTER TABLE {} ALTER COLUMN order_id SET NOT NULL")
        return super().schema(n) + of_order.format(sql.Identifier(f"ledger_entries_v{n}"))


@pytest.fixture
def history(database_url: str) -> Iterator[History]:
    history = History(database_url)
    history.append([*life("ord_a"), *life("ord_b")])
    yield history
    history.close()


@pytest.fixture
def loop(database_url: str, tmp_path: Path) -> Callable[..., Result]:
    settings = {
        "LOOP_HOME": str(tmp_path),
        "LOOP_DATABASE_URL": database_url,
        "LOOP_NATS_URL": "nats://127.0.0.1:1",
        "LOOP_MASTER_KEYS": f"k1:{secrets.token_hex(32)}",
    }

    def run(*words: str) -> Result:
        return CliRunner().invoke(cli, list(words), env=settings)

    return run


def payout() -> list[tuple[str, e.AnyEvent]]:
    amount = Money(900, "USD")
    reported = e.SettlementReported(
        processor="stripe",
        account="acct_1",
        payout_id="po_1",
        amount=amount,
        arrived_at=START + timedelta(days=2),
        lines=0,
    )
    return [("set_1", reported)]


def filled(url: str, history: History, projection: Projection, n: int) -> None:
    """Have a worker fill the tables of generation `n` to the log's end."""

    async def level() -> bool:
        found = {s.version: s for s in await projections_status(url) if s.name == projection.name}
        return n in found and found[n].position == history.head

    async def work() -> None:
        async with running(Projector(url, None, projection)):
            await until(level)

    asyncio.run(work())


def shown(history: History, name: str) -> list[tuple[Any, ...]]:
    statement = sql.SQL("SELECT * FROM {} ORDER BY 1, 2").format(sql.Identifier(name))
    return history.db.execute(statement).fetchall()


def outdated(url: str) -> tuple[str, ...]:
    """Give what `/ready` tells of."""

    async def asked() -> Checks:
        kwargs = {"autocommit": True, "options": OPTIONS}
        async with AsyncConnectionPool(url, min_size=1, kwargs=kwargs, open=False) as pool:
            return await EngineChecks(pool, Bus("nats://127.0.0.1:1", name="test")).checks()

    checks = asyncio.run(asked())
    assert checks.postgres
    return checks.outdated


def books(url: str) -> tuple[int, dict[str, int]]:
    """Give the position that the ledger is at, and the balances of one merchant there."""

    async def read() -> tuple[int, dict[str, int]]:
        async with await connect(url, "test") as db:
            upto = await ledger.as_of_position(db)
            of = ledger.Filters(merchant_id="mer_a", mode="test", upto=upto)
            return upto, {one.account: one.balance for one in await ledger.accounts(db, of)}

    return asyncio.run(read())


def test_a_ledger_of_older_code_is_whole_and_old_until_an_operator_accepts_the_new_one(
    database_url: str,
    history: History,
    loop: Callable[..., Result],
) -> None:
    history.append(payout())
    asyncio.run(install(database_url, [FirstLedger()]))
    filled(database_url, history, FirstLedger(), 1)
    before, entries = books(database_url), shown(history, "ledger_entries")
    assert before[0] == history.head

    migrated = loop("migrate", "--json")
    assert json.loads(migrated.stdout) == {"ran": [], "outdated": ["ledger"]}
    assert "`loop projections swap ledger --accept`" in (loop("migrate")).stdout
    history.append([*life("ord_c"), *life("ord_d")])
    filled(database_url, history, LedgerView(), 2)

    assert (books(database_url), shown(history, "ledger_entries")) == (before, entries)
    assert outdated(database_url) == ("ledger",)
    status = loop("projections", "status")
    assert (status.exit_code, "swap --accept" in status.stdout) == (1, True)
    assert loop("audit", "books").exit_code == 1, "the older ledger knows of no payout"
    refused = loop("projections", "swap", "ledger")
    assert (refused.exit_code, "--accept" in refused.stdout) == (3, True), refused.output
    assert books(database_url) == before

    accepted = loop("projections", "swap", "ledger", "--accept")
    assert accepted.exit_code == 0, accepted.output
    position, accounts = books(database_url)
    assert position == history.head
    assert accounts["bank:stripe"] == 900
    assert outdated(database_url) == ()
    assert json.loads((loop("migrate", "--json")).stdout) == {"ran": []}
    assert (loop("audit", "books")).exit_code == 0


@pytest.mark.parametrize("name", ["orders", "audit_tree"])
def test_any_read_model_of_older_code_is_told_of_and_gives_way(
    database_url: str,
    history: History,
    loop: Callable[..., Result],
    name: str,
) -> None:
    projection, older = PROJECTIONS[name], copy(PROJECTIONS[name])
    vars(older)["version"] = projection.version - 1
    asyncio.run(install(database_url, [older]))
    filled(database_url, history, older, 1)
    asyncio.run(install(database_url))
    assert outdated(database_url) == (name,)
    before = shown(history, name)
    history.append(life("ord_c"))
    filled(database_url, history, projection, 2)
    assert shown(history, name) == before
    swapped = loop("projections", "swap", name, "--accept")
    assert swapped.exit_code == 0, swapped.output
    assert outdated(database_url) == ()
    assert len(shown(history, name)) > len(before)
