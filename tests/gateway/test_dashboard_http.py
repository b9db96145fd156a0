"""The dashboard's reads: numbered pages of orders, statistics of one currency at a time."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from tests.gateway.conftest import Service
from tests.gateway.problems import is_problem
from tests.waiting import until

PAYMENTS = [
    ("USD", 1000, "sbx_approve"),
    ("USD", 2001, "sbx_approve"),
    ("USD", 3333, "sbx_decline"),
    ("USD", 500, "sbx_approve"),
    ("EUR", 700, "sbx_approve"),
    ("JPY", 900, None),
]


@pytest.fixture(scope="module")
def shop(service: Service) -> Iterator[httpx.Client]:
    """A merchant whose read models have seen all of `PAYMENTS`."""
    key, _ = service.key(service.merchant())
    with service.client(key) as client:
        for currency, amount, token in PAYMENTS:
            order = client.post("/v1/orders", json={"amount": amount, "currency": currency}).json()
            if token:
                paid = client.post(
                    f"/v1/orders/{order['id']}/pay",
                    json={
                        "processor": "sandbox",
                        "paymentMethod": {"type": "card", "token": token},
                    },
                    headers={"Prefer": "wait=20"},
                )
                assert paid.json()["status"] in {"captured", "failed"}, paid.text

        def seen() -> bool:
            stats = client.get("/api/dashboard/stats").json()
            listed = client.get("/api/orders").json()
            return (
                sum(one["totalTransactions"] for one in stats["byCurrency"]) == len(PAYMENTS)
                and stats["totalVolume"] == 3501
                and listed["pagination"]["total"] == len(PAYMENTS)
                and {o["status"] for o in listed["data"]} == {"captured", "failed", "pending"}
                and [o["status"] for o in listed["data"]].count("pending") == 1
            )

        asyncio.run(until(seen))
        yield client


def stats_of(client: httpx.Client, **params: str) -> dict[str, Any]:
    answer = client.get("/api/dashboard/stats", params=params)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_statistics_show_the_currency_with_most_orders_and_each_beside_it(
    shop: httpx.Client,
) -> None:
    stats = stats_of(shop)
    today = datetime.now(UTC).date().isoformat()
    days = {day["date"] for day in stats["volumeByDay"]}
    assert days <= {today, (datetime.now(UTC) - timedelta(days=1)).date().isoformat()}
    assert sum(day["amount"] for day in stats["volumeByDay"]) == stats["totalVolume"] == 3501
    assert sum(day["count"] for day in stats["volumeByDay"]) == 3
    assert (stats["currency"], stats["totalTransactions"]) == ("USD", 4)
    assert (stats["successRate"], stats["averageTicket"]) == (75.0, 1167.0)
    assert stats["transactionsByStatus"] == [
        {"status": "captured", "count": 3},
        {"status": "failed", "count": 1},
    ]
    assert stats["transactionsByProcessor"] == [{"processor": "sandbox", "count": 4}]
    assert [(c["currency"], c["totalVolume"]) for c in stats["byCurrency"]] == [
        ("EUR", 700),
        ("JPY", 0),
        ("USD", 3501),
    ]
    assert stats["asOfPosition"] > 0
    assert stats["livemode"] is False


def test_rates_and_averages_are_exact_decimals(shop: httpx.Client) -> None:
    order = {"amount": 1, "currency": "CHF"}
    paid = {"processor": "sandbox", "paymentMethod": {"type": "card", "token": "sbx_approve"}}
    wait = {"Prefer": "wait=20"}
    first = shop.post("/v1/orders", json=order).json()["id"]
    shop.post(f"/v1/orders/{first}/pay", json=paid, headers=wait)
    for _ in range(2):
        shop.post("/v1/orders", json=order)

    def seen() -> bool:
        stats = stats_of(shop, currency="chf")
        return (stats["totalTransactions"], stats["totalVolume"]) == (3, 1)

    asyncio.run(until(seen))
    raw = shop.get("/api/dashboard/stats", params={"currency": "CHF"}).content
    assert b'"successRate":33.33,"averageTicket":1.00,' in raw


def test_a_period_is_whole_days_and_another_has_nothing(shop: httpx.Client) -> None:
    now = datetime.now(UTC)
    day, before = now.date(), now.date() - timedelta(days=1)
    everything = stats_of(shop, currency="USD")
    assert stats_of(shop, **{"from": f"{before}", "to": f"{day}", "currency": "USD"}) == everything
    until_now = {"from": f"{before}T23:00:00Z", "to": f"{day}T23:59:59Z", "currency": "USD"}
    assert stats_of(shop, **until_now)["totalVolume"] == 3501
    old = stats_of(shop, to="2020-01-01", currency="EUR")
    assert (old["totalVolume"], old["volumeByDay"], old["byCurrency"]) == (0, [], [])
    assert (old["successRate"], old["averageTicket"], old["currency"]) == (0, 0, "EUR")
    exclusive = stats_of(shop, to=f"{before}T00:00:00Z", currency="USD")
    assert exclusive["totalTransactions"] == 0


@pytest.mark.usefixtures("shop")
def test_nothing_of_another_merchant_is_counted(service: Service) -> None:
    key, _ = service.key(service.merchant())
    with service.client(key) as other:
        stats = stats_of(other)
        assert (stats["totalTransactions"], stats["currency"]) == (0, "USD")
        assert other.get("/api/orders").json()["data"] == []


def test_numbered_pages_together_are_the_list(shop: httpx.Client) -> None:
    whole = shop.get("/v1/orders").json()["data"]
    seen: list[dict[str, Any]] = []
    for page in range(1, 100):
        answer = shop.get("/api/orders", params={"page": page, "limit": 2}).json()
        total = answer["pagination"]["total"]
        assert answer["pagination"] == {
            "page": page,
            "limit": 2,
            "total": total,
            "totalPages": (total + 1) // 2,
        }
        if not answer["data"]:
            break
        seen += answer["data"]
    assert seen == whole


@pytest.mark.parametrize(
    ("params", "amounts"),
    [
        ({"currency": "eur"}, [700]),
        ({"status": "failed"}, [3333]),
        ({"processor": "sandbox", "currency": "USD"}, [500, 3333, 2001, 1000]),
        ({"to": "2020-01-01"}, []),
        ({"from": "2020-01-01", "currency": "JPY"}, [900]),
    ],
)
def test_a_page_is_narrowed(shop: httpx.Client, params: dict[str, str], amounts: list[int]) -> None:
    answer = shop.get("/api/orders", params=params)
    assert [order["amount"] for order in answer.json()["data"]] == amounts
    assert answer.json()["pagination"]["total"] == len(amounts)


def test_a_page_is_searched_by_any_id(shop: httpx.Client) -> None:
    order = shop.get("/api/orders", params={"currency": "EUR"}).json()["data"][0]
    for wanted in (order["id"], order["processorOrderId"]):
        found = shop.get("/api/orders", params={"q": wanted}).json()
        assert [one["id"] for one in found["data"]] == [order["id"]]


@pytest.mark.parametrize(
    ("path", "params", "field"),
    [
        ("/api/orders", {"page": "0"}, "page"),
        ("/api/orders", {"limit": "101"}, "limit"),
        ("/api/orders", {"page": "two"}, "page"),
        ("/api/orders", {"status": "paid"}, "status"),
        ("/api/orders", {"after": "x"}, "after"),
        ("/api/orders", {"from": "2026-02-31"}, "from"),
        ("/api/dashboard/stats", {"from": "yesterday"}, "from"),
        ("/api/dashboard/stats", {"to": "2026-11-20T10:00:00"}, "to"),
        ("/api/dashboard/stats", {"to": "9999-12-31T23:59:59-12:00"}, "to"),
        ("/api/dashboard/stats", {"currency": "XXX"}, "currency"),
    ],
)
def test_what_is_malformed_is_refused(
    shop: httpx.Client, path: str, params: dict[str, str], field: str
) -> None:
    answer = shop.get(path, params=params)
    problem = is_problem(answer, 400, "invalid_request")
    assert problem["errors"][0]["field"] == field


@pytest.mark.parametrize("day", ["0001-01-01", "9999-12-31"])
def test_the_first_and_the_last_day_are_days(shop: httpx.Client, day: str) -> None:
    for name in ("from", "to"):
        assert shop.get("/api/dashboard/stats", params={name: day}).status_code == 200
        assert shop.get("/api/orders", params={name: day}).status_code == 200
