"""The verbs that look at a running Loop: keys, migrate, projections, replay."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from adapters.embedded.stack import find_stack
from tests.gateway.loops import Up, folder, loop, up
from tests.waiting import until

CARD = {"paymentMethod": {"type": "card", "token": "sbx_approve"}}


@pytest.fixture(scope="module")
def running() -> Iterator[Up]:
    with folder() as data, up(data) as started:
        yield started


@pytest.fixture
def data(running: Up) -> Path:
    return Path(running.ready["data"])


def post(running: Up, path: str, body: dict[str, Any], key: str | None = None) -> dict[str, Any]:
    headers = {"X-API-Key": key or running.ready["apiKey"], "Prefer": "wait=20"}
    answer = httpx.post(f"{running.url}{path}", json=body, headers=headers, timeout=90)
    found: dict[str, Any] = answer.raise_for_status().json()
    return found


@pytest.fixture
def order(running: Up) -> dict[str, Any]:
    body = {"amount": 4999, "currency": "USD", "customerEmail": "ada@example.com"}
    made = post(running, "/v1/orders", body)
    post(running, f"/v1/orders/{made['id']}/pay", CARD)
    return made


def database(data: Path) -> "psycopg.Connection[Any]":
    stack = find_stack(data)
    assert stack is not None
    return psycopg.connect(stack.database_url, options="-c search_path=loop", autocommit=True)


def as_json(*arguments: str | Path) -> Any:
    done = loop(*arguments, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_new_merchant_gets_a_key_that_works(running: Up, data: Path) -> None:
    made = as_json("keys", "create", "--data", data, "--new-merchant", "Tea shop")

    assert made["mode"] == "test"
    assert post(running, "/v1/orders", {"amount": 1}, made["apiKey"])["status"] == "pending"


def test_a_second_key_of_a_merchant_sees_the_same_orders(
    running: Up, data: Path, order: dict[str, Any]
) -> None:
    merchant = running.ready["merchantId"]
    shown = loop(
        "keys", "create", "--data", data, "--merchant", merchant, "--scope", "payments:read"
    )
    secret = re.search(r"secret +(sk_test_\S+)", shown.stdout)
    assert secret is not None

    found = httpx.get(
        f"{running.url}/v1/orders/{order['id']}", headers={"X-API-Key": secret[1]}, timeout=90
    )
    assert found.status_code == 200
    with pytest.raises(httpx.HTTPStatusError, match="403"):
        post(running, "/v1/orders", {"amount": 1}, secret[1])


def test_a_key_for_nobody_or_for_nothing_is_refused(running: Up, data: Path) -> None:
    nobody = loop("keys", "create", "--data", data, "--merchant", "mer_nobody")
    merchant = running.ready["merchantId"]
    nothing = loop("keys", "create", "--data", data, "--merchant", merchant, "--scope", "world")

    assert (nobody.returncode, nothing.returncode) == (1, 1)
    assert "no such merchant" in nobody.stderr
    assert nobody.stdout == nothing.stdout == ""


def test_migrate_says_what_ran(data: Path, running: Up) -> None:
    assert as_json("migrate", "--data", running.ready["data"]) == {"ran": []}
    assert loop("migrate", "--data", data).stdout == "the schema is up to date\n"


async def test_projections_become_level(data: Path, order: dict[str, Any]) -> None:
    def level() -> bool:
        found = as_json("projections", "status", "--data", data)
        return {"orders", "transactions"} <= {one["name"] for one in found} and all(
            one["lag_events"] == 0 and one["error"] is None for one in found
        )

    await until(level, 60)
    shown = loop("projections", "status", "--data", data).stdout
    assert "orders_v1 live" in shown
    assert order["id"] not in shown


async def test_a_history_is_what_the_log_has(data: Path, order: dict[str, Any]) -> None:
    select = (
        "SELECT notification_id, originator_version, topic, state FROM events"
        " WHERE originator_id = %s ORDER BY originator_version"
    )
    history = as_json("replay", "order", order["id"], "--data", data)

    with database(data) as db:
        rows = db.execute(select, [order["id"]]).fetchall()
    assert [(h["position"], h["version"], h["tag"]) for h in history] == [r[:3] for r in rows]
    assert [h["tag"] for h in history][-1] == "order.captured.v1"
    for told, row in zip(history, rows, strict=True):
        stored = json.loads(bytes(row[3]))
        assert told["metadata"]["event_id"] == stored["metadata"]["event_id"]
        assert told["data"].keys() == stored["data"].keys() - {"tag"}
    assert history[0]["data"]["personal"] == {"customer_email": "ada@example.com"}
    assert history[0]["data"]["amount"] == {"minor": 4999, "currency": "USD"}


def test_erased_data_reads_null(data: Path, order: dict[str, Any]) -> None:
    assert "ada@example.com" in loop("replay", "order", order["id"], "--data", data).stdout
    with database(data) as db:
        state = db.execute(
            "SELECT state FROM events WHERE originator_id = %s AND originator_version = 1",
            [order["id"]],
        ).fetchone()
        assert state is not None
        sealed = json.loads(bytes(state[0]))["data"]["personal"]
        assert db.execute("DELETE FROM data_keys WHERE key_id = %s", [sealed["key"]]).rowcount == 1

    history = as_json("replay", "order", order["id"], "--data", data)

    assert history[0]["data"]["personal"] is None
    shown = loop("replay", "order", order["id"], "--data", data).stdout
    assert "personal data: erased" in shown
    assert "49.99 USD" in shown


@pytest.mark.parametrize("order_id", ["ord_nothing", "ord_01jd3v8x2sfy3t6q9m4n7p0r5w", "mer_1"])
def test_an_unknown_order_ends_with_one(order_id: str, data: Path) -> None:
    done = loop("replay", "order", order_id, "--data", data)

    assert done.returncode == 1
    assert done.stderr == f"Error: there is no order {order_id} in this log\n"
    assert done.stdout == ""


def test_the_check_finds_a_lost_row_and_repairs_it(running: Up, data: Path) -> None:
    body = {"amount": 4999, "externalId": "order-17"}
    made = post(running, "/v1/orders", body)
    assert as_json("migrate", "--check", "--data", data)["differences"] == {}
    with database(data) as db:
        lost = db.execute("DELETE FROM claims WHERE owner = %s", [made["id"]])
        assert lost.rowcount == 1

    found = loop("migrate", "--check", "--json", "--data", data)
    shown = loop("migrate", "--check", "--data", data)
    mended = as_json("migrate", "--check", "--repair", "--data", data)

    assert (found.returncode, shown.returncode) == (1, 1)
    assert json.loads(found.stdout)["differences"] == {"claims.missing": 1}
    assert f"claims missing  {made['id']}" in shown.stdout
    assert "1 differences from the log" in shown.stdout
    assert (mended["differences"], mended["repaired"]) == ({}, 1)


def test_repair_alone_is_wrong_usage(data: Path) -> None:
    assert loop("migrate", "--repair", "--data", data).returncode == 2


async def test_the_books_balance_and_are_what_the_ledger_shows(
    data: Path, order: dict[str, Any]
) -> None:
    last = as_json("replay", "order", order["id"], "--data", data)[-1]["position"]

    def compared() -> bool:
        books = as_json("audit", "books", "--data", data)
        return books["ok"] is True and books["comparedAt"] >= last

    await until(compared, 60)
    then = as_json("replay", "books", "--data", data, "--as-of", str(last))
    shown = loop("audit", "books", "--data", data)

    assert then["position"] == last
    (usd,) = [t for t in then["trialBalances"] if t["currency"] == "USD"]
    assert (usd["mode"], usd["difference"]) == ("test", 0)
    balances = {line["account"]: line["balance"] for line in usd["lines"]}
    assert balances["payable"] == balances["receivable:sandbox"] >= 4999
    assert shown.returncode == 0
    assert "the books balance, the ledger shows the same" in shown.stdout
    with database(data) as db:
        db.execute("UPDATE ledger_entries_v1 SET debits = debits + 1")
    wrong = loop("audit", "books", "--data", data)
    with database(data) as db:
        db.execute("UPDATE ledger_entries_v1 SET debits = debits - 1")
    assert wrong.returncode == 1
    assert "the books are wrong" in wrong.stdout
    assert "the log says" in wrong.stdout


def test_an_order_as_it_was(data: Path, order: dict[str, Any]) -> None:
    whole = as_json("replay", "order", order["id"], "--data", data)
    moment = whole[1]
    by_position = as_json(
        "replay", "order", order["id"], "--data", data, "--as-of", str(moment["position"])
    )
    by_time = as_json(
        "replay", "order", order["id"], "--data", data, "--as-of", moment["recordedAt"]
    )

    assert by_position == whole[:2]
    assert by_time[:2] == whole[:2]
    assert all(event["recordedAt"] == moment["recordedAt"] for event in by_time[2:])
    early = loop(
        "replay", "order", order["id"], "--data", data, "--as-of", str(whole[0]["position"] - 1)
    )
    assert early.returncode == 1
    assert f"there was no order {order['id']} yet" in early.stderr
    wrong = loop("replay", "order", order["id"], "--data", data, "--as-of", "2026-01-01")
    assert wrong.returncode == 2
    assert "neither a position nor a time" in wrong.stderr


def test_what_changed_in_an_order(data: Path, order: dict[str, Any]) -> None:
    whole = as_json("replay", "order", order["id"], "--data", data)
    first = str(whole[0]["position"])
    found = as_json("replay", "diff", order["id"], "--from", first, "--data", data)

    assert found["events"] == whole[1:]
    assert (found["before"]["status"], found["after"]["status"]) == ("pending", "captured")
    assert found["after"]["position"] == whole[-1]["position"]
    changes = {change["path"]: (change["before"], change["after"]) for change in found["changes"]}
    assert changes["status"] == ("pending", "captured")
    assert changes["amount_captured"] == (0, 4999)
    assert "personal" not in changes
    shown = loop("replay", "diff", order["id"], "--from", "0", "--to", first, "--data", data).stdout
    assert "before its creation" in shown
    captured = loop("replay", "diff", order["id"], "--from", first, "--data", data).stdout
    attempt = whole[1]["data"]["attempt_id"]
    assert f"attempts[{attempt}].status" in captured
    assert "49.99 USD" in shown
    early = loop("replay", "diff", order["id"], "--from", "0", "--to", "0", "--data", data)
    assert early.returncode == 1
