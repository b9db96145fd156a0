from collections.abc import AsyncIterator, Iterator
from random import Random
from typing import Any

import pytest
from psycopg import sql

from adapters.log import Connection, connect
from adapters.read_models import install
from domain import events as e
from projections import ledger
from projections.ledger import Filters, LedgerView
from tests.ledgers import SHOPS, Fold, random_log

VIEW = LedgerView()


@pytest.fixture
async def db(database_url: str) -> AsyncIterator[Connection]:
    await install(database_url, [VIEW])
    async with await connect(database_url, "test") as db:
        yield db


async def post(db: Connection, log: list[e.Recorded], sizes: Iterator[int], n: int = 1) -> None:
    """Apply a log in batches of these sizes."""
    rest = log
    while rest:
        size = next(sizes)
        async with db.transaction():
            await VIEW.apply(db, n, rest[:size])
        rest = rest[size:]


def constantly(size: int) -> Iterator[int]:
    while True:
        yield size


async def table(db: Connection, name: str) -> list[tuple[Any, ...]]:
    found = await db.execute(sql.SQL("SELECT * FROM {} ORDER BY 1, 2").format(sql.Identifier(name)))
    return await found.fetchall()


async def test_the_rows_are_the_same_however_they_were_batched(db: Connection) -> None:
    log, random = random_log(1, orders=40), Random(1)
    await db.execute(VIEW.schema(2))
    await db.execute(VIEW.schema(3))
    await post(db, log, constantly(len(log)))
    await post(db, log, iter(lambda: random.randint(1, 40), 0), n=2)
    await post(db, log, constantly(1), n=3)
    for name in VIEW.tables:
        assert await table(db, f"{name}_v1") == await table(db, f"{name}_v2") != []
        assert await table(db, f"{name}_v1") == await table(db, f"{name}_v3")


async def test_the_accounts_at_every_position_are_the_fold_up_to_it(db: Connection) -> None:
    log, fold = random_log(2, orders=25), Fold()
    await post(db, log, constantly(100))
    for row in log:
        fold.see(row)
        for merchant, mode in SHOPS:
            filters = Filters(merchant_id=merchant, mode=mode, upto=row.position)  # type: ignore[arg-type]
            shown = {
                (account.currency, account.account): account.balance
                for account in await ledger.accounts(db, filters)
            }
            assert shown == fold.of(merchant, mode)
    assert len(fold.debits) > 20
