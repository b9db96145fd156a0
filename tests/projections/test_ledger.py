from collections.abc import AsyncIterator, Iterator
from random import Random
from typing import Any

import pytest
from msgspec.structs import replace
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


async def test_an_account_is_its_last_entry_and_began_with_its_first(db: Connection) -> None:
    await post(db, random_log(12, orders=30), constantly(50))
    found = await db.execute(
        "SELECT l.debits, l.credits, l.position, l.account_id, l.opened_at,"
        " last.debits, last.credits, last.position, first.position * 512 + first.n,"
        " first.occurred_at FROM ledger l"
        " CROSS JOIN LATERAL (SELECT * FROM ledger_entries WHERE account_id = l.account_id"
        " ORDER BY position DESC LIMIT 1) last"
        " CROSS JOIN LATERAL (SELECT * FROM ledger_entries WHERE account_id = l.account_id"
        " ORDER BY position LIMIT 1) first"
    )
    rows = await found.fetchall()
    assert len(rows) > 20
    assert [row[:5] for row in rows] == [row[5:] for row in rows]


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


@pytest.mark.parametrize("order_id", [None, "ord_0003"])
async def test_pages_of_every_size_at_every_moment_are_the_whole(
    db: Connection, order_id: str | None
) -> None:
    log, random = random_log(3, orders=30), Random(3)
    await post(db, log, constantly(64))
    for _ in range(40):
        merchant, mode = random.choice(SHOPS)
        filters = Filters(
            merchant_id=merchant,
            mode=mode,  # type: ignore[arg-type]
            upto=random.randint(1, len(log)),
            currency=random.choice([None, "USD", "EUR"]),
            order_id=order_id,
        )
        whole = (await ledger.page(db, filters, limit=10_000)).rows
        assert [(e.position, e.n) for e in whole] == sorted(
            ((e.position, e.n) for e in whole), reverse=True
        )
        assert all(e.position <= filters.upto for e in whole)
        if not whole:
            continue
        at, limit = random.randrange(len(whole)), random.randint(1, 9)
        place = (whole[at].position, whole[at].n)
        after = await ledger.page(db, filters, after=place, limit=limit)
        assert after.rows == whole[at + 1 :][:limit]
        assert after.has_more == (len(whole) - at - 1 > limit)
        before = await ledger.page(db, filters, before=place, limit=limit)
        assert before.rows == whole[:at][-limit:]
        assert before.has_more == (at > limit)


async def test_an_orders_accounts_hold_what_it_moved(db: Connection) -> None:
    log = random_log(4, orders=10)
    await post(db, log, constantly(64))
    for order_id in sorted({row.stream_id for row in log}):
        rows = [row for row in log if row.stream_id == order_id]
        fold = Fold()
        for row in rows:
            fold.see(row)
        metadata = rows[0].metadata
        mode = metadata.mode
        assert mode is not None
        filters = Filters(
            merchant_id=metadata.merchant_id, mode=mode, upto=len(log), order_id=order_id
        )
        shown = await ledger.accounts(db, filters)
        books = {(a.currency, a.account): a.balance for a in shown}
        assert books == fold.of(metadata.merchant_id, mode)
        other = "mer_b" if metadata.merchant_id == "mer_a" else "mer_a"
        for stranger in (replace(filters, merchant_id=other), replace(filters, mode="live")):
            if (stranger.merchant_id, stranger.mode) != (metadata.merchant_id, mode):
                assert await ledger.accounts(db, stranger) == []
                assert (await ledger.page(db, stranger)).rows == ()


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for inner in plan.get("Plans", []):
        yield from nodes(inner)


async def plan_of(db: Connection, statement: Any, params: dict[str, Any]) -> list[dict[str, Any]]:
    """Run a statement and return the nodes of its plan, with the rows that each one read."""
    query = statement if isinstance(statement, sql.Composed) else sql.SQL(statement)
    explained = sql.SQL("EXPLAIN (ANALYZE, FORMAT JSON) ") + query
    found = await (await db.execute(explained, params)).fetchone()
    assert found is not None
    return list(nodes(found[0][0]["Plan"]))


async def test_a_moment_of_the_past_is_found_in_an_index(db: Connection) -> None:
    """Of 40 000 entries of 2 000 merchants, the balances of one need one probe per account."""
    await db.execute(
        "INSERT INTO ledger_v1 SELECT n, 'mer_' || (n / 4), 'test', 'payable:' || n, 'USD', 0, 0,"
        " now(), 1 FROM generate_series(1, 8000) n"
    )
    await db.execute(
        "INSERT INTO ledger_entries_v1 SELECT n, p * 10000 + n, 0, 'evt', 'ord_' || n, true, 1, p,"
        " 0, now() FROM generate_series(1, 8000) n CROSS JOIN generate_series(1, 5) p"
    )
    await db.execute("ANALYZE ledger_v1, ledger_entries_v1")
    asked: dict[str, Any] = {"merchant_id": "mer_77", "mode": "test", "upto": 35_000}
    asked |= {"currency": None, "order_id": None, "limit": 3}
    asked |= {"below": 35_001, "below_n": 0, "above": 0, "above_n": 0}
    pages = [ledger.page_statement(of_order=False, backwards=way) for way in (True, False)]
    of_order = ledger.page_statement(of_order=True, backwards=False)
    for found, probes in (
        *[(await plan_of(db, statement, asked), 4) for statement in pages],
        (await plan_of(db, of_order, asked | {"order_id": "ord_77"}), 1),
        (await plan_of(db, ledger._ACCOUNTS, asked), 4),
        (await plan_of(db, ledger._ACCOUNTS_OF_ORDER, asked | {"order_id": "ord_77"}), 1),
    ):
        kinds = {node["Node Type"] for node in found}
        assert "Seq Scan" not in kinds
        entries = [n for n in found if str(n.get("Relation Name")) == "ledger_entries_v1"]
        assert entries
        assert {n["Actual Loops"] for n in entries} == {probes}
        assert all(n["Actual Rows"] <= 3 for n in entries)
