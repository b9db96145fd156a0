"""The books over HTTP, and an auditor who keeps his own from the answers and the bank's books."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from random import Random
from typing import Any, Self

import pytest

from commands.caller import Caller
from commands.execute import commit, load_order
from domain.ids import new_id
from domain.money import Money
from domain.order.commands import RecordCaptured, RecordDispute, RecordFee
from domain.order.decide import decide
from tests.gateway.conftest import Service
from tests.gateway.problems import is_problem
from tests.waiting import until

SCOPES = ("payments:read", "payments:write", "ledger:read")
WAIT = {"Prefer": "wait=20"}
TOKENS = (
    "sbx_approve", "sbx_approve", "sbx_decline", "sbx_challenge_auto", "sbx_pending",
    "sbx_capture_error_after", "sbx_refund_decline", "sbx_refund_pending", "sbx_lapses",
)  # fmt: skip


class Shop:
    """A merchant's client, and what he remembers of the answers."""

    def __init__(self, service: Service, mode: Any = "test", caller: Caller | None = None) -> None:
        self.service = service
        self.caller = caller or service.merchant()
        key, _ = service.key(self.caller, mode=mode, scopes=SCOPES)
        self.http = service.client(key)
        self.orders: list[str] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.http.close()

    def post(self, path: str, **body: Any) -> dict[str, Any]:
        answer = self.http.post(path, json=body, headers=WAIT)
        assert answer.status_code in {200, 201, 422}, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def get(self, path: str, **params: Any) -> Any:
        answer = self.http.get(path, params=params)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def paid(self, token: str = "sbx_approve", **fields: Any) -> str:  # noqa: S107 - a test token
        order = self.post("/v1/orders", **{"amount": 1000, "currency": "USD", **fields})["id"]
        self.orders.append(order)
        self.post(f"/v1/orders/{order}/pay", paymentMethod={"type": "card", "token": token})
        return order

    def is_settled(self) -> bool:
        """Whether no order and no refund is under way any more."""
        orders = [self.get(f"/v1/orders/{order}") for order in self.orders]
        refunds = [r for order in self.orders for r in self.get(f"/v1/orders/{order}/refunds")]
        return not any(o["status"] == "processing" for o in orders) and not any(
            r["status"] == "pending" for r in refunds
        )

    def level(self) -> int:
        """Wait until the books have all that is in the log now; return up to where they go."""

        async def head() -> int:
            async with self.service.app.pool.connection() as db:
                found = await db.execute("SELECT max(notification_id) FROM events")
                row = await found.fetchone()
                assert row is not None
                return int(row[0])

        wanted = self.service.call(head())
        asyncio.run(until(lambda: self.get("/v1/balances")["asOfPosition"] >= wanted))
        return wanted

    def entries(self, **params: Any) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        cursor: dict[str, Any] = {}
        while True:
            page = self.get("/v1/ledger/entries", **{"limit": 7} | params | cursor)
            found += page["data"]
            if not page["hasMore"]:
                return found
            cursor = {"after": page["nextCursor"]}


@pytest.fixture(scope="module")
def shop(service: Service) -> Iterator[Shop]:
    """A merchant with one captured order of which 300 went back, and one that is held."""
    with Shop(service) as shop:
        first = shop.paid()
        shop.post(f"/v1/orders/{first}/refund", amount=300)
        shop.paid(captureMethod="manual", amount=450)
        asyncio.run(until(shop.is_settled))
        shop.level()
        yield shop


def test_balances_are_what_is_left_held_and_disputed(shop: Shop) -> None:
    answer = shop.get("/v1/balances")
    assert set(answer) == {"asOfPosition", "asOf", "livemode", "balances"}
    assert answer["asOf"].endswith("Z")
    assert answer["balances"] == [
        {
            "currency": "USD",
            "available": 700,
            "pending": 0,
            "held": 450,
            "disputed": 0,
            "paidOut": 0,
        }
    ]


def test_accounts_are_those_of_the_specification(shop: Shop) -> None:
    page = shop.get("/v1/ledger/accounts")
    me = shop.caller.merchant_id
    assert {a["account"]: a["balance"] for a in page["data"]} == {
        f"holds:{me}": 450,
        f"holds_contra:sandbox:{me}": 450,
        f"receivable:sandbox:{me}": 700,
        f"payable:{me}": 700,
    }
    assert set(page) == {"data", "hasMore", "nextCursor", "asOfPosition"}
    assert set(page["data"][0]) == {
        "id", "account", "currency", "balance", "livemode", "createdAt",
    }  # fmt: skip


def test_entries_are_newest_first_with_running_balances(shop: Shop) -> None:
    entries = shop.entries()
    assert [e["position"] for e in entries] == sorted(
        (e["position"] for e in entries), reverse=True
    )
    assert set(entries[0]) == {
        "id", "transferId", "position", "orderId", "account", "direction", "amount", "currency",
        "balanceAfter", "occurredAt", "livemode", "createdAt",
    }  # fmt: skip
    payable = f"payable:{shop.caller.merchant_id}"
    run = [
        (e["direction"], e["amount"], e["balanceAfter"]) for e in entries if e["account"] == payable
    ]
    assert run == [("debit", 300, 700), ("credit", 1000, 1000)]
    by_transfer: dict[str, Counter[str]] = {}
    for entry in entries:
        by_transfer.setdefault(entry["transferId"], Counter())[entry["direction"]] += entry[
            "amount"
        ]
    assert all(sides["debit"] == sides["credit"] for sides in by_transfer.values())
    assert len(by_transfer) == 4


@pytest.mark.parametrize("limit", [1, 2, 3, 100])
def test_pages_go_both_ways(shop: Shop, limit: int) -> None:
    whole = shop.entries()
    seen: list[dict[str, Any]] = []
    cursor: dict[str, Any] = {}
    while True:
        page = shop.get("/v1/ledger/entries", limit=limit, **cursor)
        seen += page["data"]
        if not page["hasMore"]:
            break
        cursor = {"after": page["nextCursor"]}
    assert seen == whole
    back = shop.get("/v1/ledger/entries", limit=limit, before=whole[-1]["id"])
    assert back["data"] == whole[:-1][-limit:]
    between = shop.get("/v1/ledger/entries", after=whole[0]["id"], before=whole[-1]["id"])
    assert between["data"] == whole[1:-1]
    accounts = shop.get("/v1/ledger/accounts")["data"]
    first = shop.get("/v1/ledger/accounts", limit=limit)
    assert first["data"] == accounts[:limit]
    rest = shop.get("/v1/ledger/accounts", after=accounts[0]["id"], limit=limit)
    assert rest["data"] == accounts[1:][:limit]
    newer = shop.get("/v1/ledger/accounts", before=accounts[-1]["id"], limit=limit)
    assert newer["data"] == accounts[:-1][-limit:]


def test_an_order_and_a_currency_narrow(shop: Shop) -> None:
    first, second = shop.orders
    assert shop.get("/v1/balances", orderId=first)["balances"][0]["available"] == 700
    assert shop.get("/v1/balances", orderId=second)["balances"][0]["held"] == 450
    assert {e["orderId"] for e in shop.entries(orderId=second)} == {second}
    assert shop.entries(currency="usd") == shop.entries()
    assert (
        shop.entries(currency="EUR") == shop.get("/v1/balances", currency="EUR")["balances"] == []
    )


def test_every_position_and_time_shows_what_was_true_then(shop: Shop) -> None:
    entries = shop.entries()
    for position in sorted({e["position"] for e in entries}):
        told = [e for e in entries if e["position"] <= position]
        last = {e["account"]: e["balanceAfter"] for e in reversed(told)}
        shown = shop.get("/v1/ledger/accounts", asOf=position)
        assert {a["account"]: a["balance"] for a in shown["data"]} == last
        assert shown["asOfPosition"] == position
        assert shop.entries(asOf=position) == told
    assert shop.get("/v1/balances", asOf="2020-01-01T00:00:00Z") == {
        "asOfPosition": 0, "asOf": None, "livemode": False, "balances": [],
    }  # fmt: skip
    now = shop.get("/v1/balances")
    assert shop.get("/v1/balances", asOf=now["asOf"]) == now, "its own time leads back to it"
    assert shop.get("/v1/balances", asOf="2999-01-01T00:00:00Z")["balances"] == now["balances"]
    assert shop.get("/v1/balances", asOf=10**15)["balances"] == now["balances"]


@pytest.mark.parametrize("path", ["/v1/balances", "/v1/ledger/accounts", "/v1/ledger/entries"])
def test_nobody_sees_the_books_of_another_merchant_or_mode(
    service: Service, shop: Shop, path: str
) -> None:
    newest, whole = shop.entries()[0]["id"], shop.level()
    with Shop(service) as stranger, Shop(service, mode="live", caller=shop.caller) as live:
        for other in (stranger, live):
            asked: list[dict[str, Any]] = [{}, {"orderId": shop.orders[0]}, {"asOf": whole}]
            for params in asked:
                answer = other.get(path, **params)
                assert answer.get("data", answer.get("balances")) == []
        assert stranger.get("/v1/ledger/entries", before="ent_1_0", after=newest)["data"] == []
    key, _ = service.key(shop.caller)
    with service.client(key) as client:
        is_problem(client.get(path), 403, "missing_scope")
    with service.client(None) as client:
        is_problem(client.get(path), 401, "missing_credentials")


@pytest.mark.parametrize(
    "query",
    [
        "asOf=0", "asOf=-1", "asOf=x", "asOf=2020-01-01", "currency=XXX", "orderId=x", "limit=0",
        "orderId=mer_01jd3v8x2sfy3t6q9m4n7p0r5w", "after=x", "after=ent_0_1", "after=acc_0",
        "before=ent_1", "account=payable", "asOf=1&asOf=2",
    ],
)  # fmt: skip
def test_bad_parameters_are_a_400(shop: Shop, query: str) -> None:
    for path in ("/v1/ledger/accounts", "/v1/ledger/entries"):
        is_problem(shop.http.get(f"{path}?{query}"), 400, "invalid_request")


def play(shop: Shop, random: Random) -> None:
    """One order's way, chosen at random, from creation to wherever it gets."""
    manual = random.random() < 0.4
    amount, currency = random.choice([999, 1000, 2500]), random.choice(["USD", "EUR", "JPY"])
    how = "manual" if manual else "automatic"
    order = shop.paid(random.choice(TOKENS), amount=amount, currency=currency, captureMethod=how)
    if manual and random.random() < 0.7:
        shop.post(f"/v1/orders/{order}/capture", amount=random.choice([amount, 400]))
    elif manual and random.random() < 0.7:
        shop.post(f"/v1/orders/{order}/cancel")
    for _ in range(random.choice([0, 1, 2])):
        shop.post(f"/v1/orders/{order}/refund", amount=random.choice([100, 300]))


def test_an_auditor_with_books_of_his_own_agrees(service: Service) -> None:
    """What merchants were told and what the bank has done explain every balance to the cent."""
    with Shop(service) as one, Shop(service) as two:
        shops = (one, two)
        with ThreadPoolExecutor(7) as together:
            list(together.map(play, shops * 7, map(Random, range(14))))
        for shop in shops:
            asyncio.run(until(shop.is_settled, 60))
            shop.level()
            audit(service, shop)


def audit(service: Service, shop: Shop) -> None:
    """Compare the books with the auditor's: answers on one side, the bank on the other."""
    bank = service.app.sandbox.bank.books()
    assert bank.violations == ()
    told: dict[str, Counter[str]] = {}
    for order_id in shop.orders:
        order = shop.get(f"/v1/orders/{order_id}")
        sums = told.setdefault(order["currency"], Counter())
        sums["owed"] += order["amountCaptured"] - order["amountRefunded"]
        if book := bank.orders.get(order_id):
            sums["held"] += book.held
            sums["at_bank"] += book.captured - book.refunded
    shown = {b["currency"]: b for b in shop.get("/v1/balances")["balances"]}
    assert any(sums["owed"] for sums in told.values())
    for currency, sums in told.items():
        balance = shown.get(currency, Counter())
        assert balance["available"] == sums["owed"], currency
        assert balance["held"] == sums["held"], currency
        assert balance["available"] + balance["pending"] == sums["at_bank"], currency
        receivable = [
            a["balance"]
            for a in shop.get("/v1/ledger/accounts", currency=currency)["data"]
            if a["account"].startswith("receivable:")
        ]
        assert sum(receivable) == sums["at_bank"]


def said(shop: Shop, order_id: str, command: RecordFee | RecordDispute | RecordCaptured) -> None:
    """Record what a processor says of an order, as the saga would."""
    ports = shop.service.app.ports

    async def record() -> None:
        order = await load_order(ports, shop.caller, order_id)
        await commit(ports, shop.caller, order, decide(order, command), order_id=order_id)

    shop.service.call(record())


def balance_of(shop: Shop) -> dict[str, int]:
    shop.level()
    (shown,) = shop.get("/v1/balances")["balances"]
    return {name: shown[name] for name in ("available", "pending", "held", "disputed", "paidOut")}


def test_fees_and_disputes_lower_what_is_available(service: Service) -> None:
    with Shop(service) as shop:
        order_id = shop.paid()
        attempt = shop.get(f"/v1/orders/{order_id}")["attempts"][0]["id"]
        fee = RecordFee(attempt_id=attempt, of="capture", subject="cap", amount=Money(59, "USD"))
        said(shop, order_id, fee)
        even = {"available": 941, "pending": 0, "held": 0, "disputed": 0, "paidOut": 0}
        assert balance_of(shop) == even

        dispute = {"dispute_id": "dsp_1", "attempt_id": attempt, "processor_id": "dp_1"}
        dispute |= {"amount_minor": 600, "reason": "fraudulent"}
        steps: list[tuple[int, Any, int, int]] = [
            (600, "open", 341, 600), (0, "open", 941, 0), (400, "open", 541, 400),
            (400, "lost", 541, 0),
        ]  # fmt: skip
        for withdrawn, outcome, available, disputed in steps:
            fact: Any = dispute | {"withdrawn_minor": withdrawn, "outcome": outcome}
            said(shop, order_id, RecordDispute(**fact))
            assert balance_of(shop) == even | {"available": available, "disputed": disputed}
        accounts = shop.get("/v1/ledger/accounts")["data"]
        fees = {a["account"]: a["balance"] for a in accounts if a["account"].startswith("fees")}
        assert fees == {"fees:sandbox": 59, "fees:platform": 59}


def test_stray_money_is_pending_until_it_has_gone_back(service: Service) -> None:
    """Captured at the processor of an order that was cancelled: nobody here asked for it."""
    with Shop(service) as shop:
        order_id = shop.paid(captureMethod="manual")
        shop.post(f"/v1/orders/{order_id}/cancel")
        (attempt,) = shop.get(f"/v1/orders/{order_id}")["attempts"]
        stray = RecordCaptured(
            attempt_id=attempt["id"],
            capture_id=None,
            payment_id="pay_elsewhere",
            processor_id="ch_elsewhere",
            amount_minor=700,
            currency="USD",
            new_id="cap_unused",
            refund_id=new_id("ref"),
        )
        said(shop, order_id, stray)
        seen = balance_of(shop)
        assert seen["available"] + seen["held"] == 0
        entries = [e for e in shop.entries() if e["account"].startswith("suspense:")]
        assert [(e["direction"], e["amount"]) for e in entries][-1] == ("credit", 700)
        assert seen["pending"] == entries[0]["balanceAfter"]
