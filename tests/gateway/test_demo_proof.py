import sqlite3
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest

from adapters.settings import load_settings
from adapters.wiring import Application, application
from gateway.verbs.demo_proof import Proof, prove
from gateway.verbs.sandbox_control import Control
from tests.gateway.loops import Up, folder, up

CARD = {"paymentMethod": {"type": "card", "token": "sbx_approve"}}


@pytest.fixture(scope="module")
def running() -> Iterator[Up]:
    with folder() as data, up(data) as started:
        yield started


@pytest.fixture
async def app(running: Up) -> AsyncIterator[Application]:
    settings = load_settings({}, home=str(running.ready["data"]))
    async with application(settings, name="test") as parts:
        yield parts


@pytest.fixture
def order_id(running: Up) -> str:
    with httpx.Client(base_url=running.url, headers=running.headers, timeout=90) as http:
        order = http.post("/v1/orders", json={"amount": 4999}).raise_for_status().json()
        path = f"/v1/orders/{order['id']}/pay"
        paid = http.post(path, json=CARD, headers={"Prefer": "wait=20"}).raise_for_status().json()
    assert paid["status"] == "captured"
    return str(order["id"])


async def proven(app: Application, order_ids: list[str]) -> Proof:
    """Compare with the books of the running sandbox, too."""
    control = Control.of(app.settings.home)
    return await prove(app, order_ids, lambda: control.ask("GET", "books"))


async def test_the_proof_compares_log_read_model_and_bank(app: Application, order_id: str) -> None:
    proof = await proven(app, [order_id])

    assert proof.ok
    assert proof.read_rows[order_id].captured_minor == 4999
    assert proof.bank[order_id] == (4999, 0)


async def test_a_row_that_is_not_the_fold_is_found(app: Application, order_id: str) -> None:
    await proven(app, [order_id])  # once it is level, nobody writes the row again
    async with app.pool.connection() as db:
        change = "UPDATE orders SET captured_minor = 5000 WHERE order_id = %s"
        assert (await db.execute(change, [order_id])).rowcount == 1

    proof = await proven(app, [order_id])

    assert not proof.ok
    assert proof.read_model_differs == (order_id,)
    assert proof.bank_differs == ()


async def test_a_missing_row_is_found(app: Application, order_id: str) -> None:
    await proven(app, [order_id])
    async with app.pool.connection() as db:
        await db.execute("DELETE FROM orders WHERE order_id = %s", [order_id])

    assert (await proven(app, [order_id])).read_model_differs == (order_id,)


async def test_money_that_the_bank_took_otherwise_is_found(
    app: Application, order_id: str, running: Up
) -> None:
    books = Path(running.ready["data"], "sandbox", "books.sqlite3")
    with sqlite3.connect(books, timeout=90) as bank:
        (reference,) = bank.execute(
            "SELECT reference FROM payments WHERE order_id = ?", [order_id]
        ).fetchone()
        bank.execute("UPDATE captures SET amount = 9998 WHERE reference = ?", [reference])
    bank.close()

    proof = await proven(app, [order_id])

    assert proof.bank_differs == (order_id,)
    assert proof.violations == (f"captured_above_amount of {order_id}",)
    assert proof.read_model_differs == ()
