"""GET /v1/orders: pages, filters, and what is refused."""

import asyncio
import itertools
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.cursor import as_cursor, cursor_text
from projections.orders import Cursor
from tests.gateway.conftest import Service
from tests.gateway.problems import is_problem
from tests.waiting import until


@pytest.fixture(scope="module")
def shop(service: Service) -> Iterator[httpx.Client]:
    """A merchant with 7 orders: amounts 1 to 7, the last two in EUR, the third cancelled."""
    key, _ = service.key(service.merchant())
    with service.client(key) as client:
        orders = [
            client.post(
                "/v1/orders",
                json={"amount": n, "currency": "EUR" if n > 5 else "USD", "externalId": f"e{n}"},
            ).json()
            for n in range(1, 8)
        ]
        client.post(f"/v1/orders/{orders[2]['id']}/cancel")

        def seen() -> bool:
            data = client.get("/v1/orders").json()["data"]
            return len(data) == 7 and data[4]["status"] == "cancelled"

        asyncio.run(until(seen))
        yield client


def amounts(answer: httpx.Response) -> list[int]:
    assert answer.status_code == 200, answer.text
    return [order["amount"] for order in answer.json()["data"]]


def test_list_is_newest_first_with_whole_orders(shop: httpx.Client) -> None:
    answer = shop.get("/v1/orders")
    assert amounts(answer) == [7, 6, 5, 4, 3, 2, 1]
    page = answer.json()
    assert set(page) == {"data", "hasMore", "nextCursor", "asOfPosition"}
    assert (page["hasMore"], page["nextCursor"]) == (False, None)
    assert page["asOfPosition"] > 0
    first = page["data"][0]
    assert shop.get(f"/v1/orders/{first['id']}").json() == first


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 100])
def test_pages_together_are_the_list(shop: httpx.Client, limit: int) -> None:
    seen: list[int] = []
    cursor: dict[str, str] = {}
    for _ in range(8):
        page = shop.get("/v1/orders", params={"limit": limit, **cursor})
        seen += amounts(page)
        if not page.json()["hasMore"]:
            break
        cursor = {"after": page.json()["nextCursor"]}
    assert seen == [7, 6, 5, 4, 3, 2, 1]


def test_before_gives_the_next_newer_ones(shop: httpx.Client) -> None:
    oldest = shop.get("/v1/orders", params={"limit": 6}).json()
    back = shop.get("/v1/orders", params={"before": oldest["nextCursor"], "limit": 2})
    assert amounts(back) == [4, 3]
    further = {"before": back.json()["nextCursor"], "limit": 100}
    assert amounts(shop.get("/v1/orders", params=further)) == [7, 6, 5]


def test_after_and_before_give_what_is_between(shop: httpx.Client) -> None:
    newest = shop.get("/v1/orders", params={"limit": 1}).json()["nextCursor"]
    fifth = shop.get("/v1/orders", params={"limit": 5}).json()["nextCursor"]
    both = {"after": newest, "before": fifth}
    assert amounts(shop.get("/v1/orders", params=both)) == [6, 5, 4]
    first = shop.get("/v1/orders", params={**both, "limit": 2})
    assert amounts(first) == [6, 5]
    rest = {**both, "after": first.json()["nextCursor"]}
    assert amounts(shop.get("/v1/orders", params=rest)) == [4]


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        ({"status": "cancelled"}, [3]),
        ({"status": "captured"}, []),
        ({"currency": "EUR"}, [7, 6]),
        ({"currency": "eur"}, [7, 6]),
        ({"externalId": "e4"}, [4]),
        ({"processor": "sandbox"}, []),
        ({"from": "2999-01-01T00:00:00Z"}, []),
        ({"to": "2020-01-01T00:00:00+02:00"}, []),
        ({"from": "2020-01-01T00:00:00Z", "currency": "USD", "limit": "2"}, [5, 4]),
    ],
)
def test_filters_narrow_the_list(
    shop: httpx.Client, filters: dict[str, str], found: list[int]
) -> None:
    assert amounts(shop.get("/v1/orders", params=filters)) == found


@pytest.mark.parametrize(
    "query",
    [
        "limit=0", "limit=101", "limit=-1", "limit=abc", "limit=", "limit=1.5", "limit=5.0",
        "limit=true", "limit=null", "limit=%20", "limit=1e1", "limit=" + "9" * 5000,
        "limit=1&limit=2", "after=x", "after=", "after=ord_01jd3v8x2sfy3t6q9m4n7p0r5w",
        "before=%00", "after=a&after=a", "status=", "status=paid", "status=%00", "currency=XXX",
        "currency=xx", "processor=A", "from=x", "from=2020-01-01", "from=2020-01-01T00:00:00",
        "from=1700000000", "to=null", "externalId=", "externalId=%00", "page=1", "stauts=failed",
        "limit", "=", "%ff=1", "status=%ff", "&".join(f"a{n}=1" for n in range(60)),
    ],
)  # fmt: skip
def test_r08_bad_parameters_are_a_400(shop: httpx.Client, query: str) -> None:
    assert is_problem(shop.get(f"/v1/orders?{query}"), 400, "invalid_request")["errors"]


def test_r07_status_in_another_case_is_no_500(shop: httpx.Client) -> None:
    is_problem(shop.get("/v1/orders?status=CANCELLED"), 400, "invalid_request")


_micros = st.integers(10**15, 10**16 - 1)
_ids = st.from_regex(r"\Aord_[0-7][0-9a-hjkmnp-tv-z]{25}\Z")


@given(_micros, _ids)
def test_cursor_comes_back_exactly(micros: int, order_id: str) -> None:
    at = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=micros)
    cursor = Cursor(at, order_id)
    assert as_cursor(cursor_text(cursor)) == cursor


def test_cursors_sort_like_the_list() -> None:
    times = [datetime(2026, 1, 1, tzinfo=UTC) + timedelta(microseconds=n) for n in range(5)]
    texts = [cursor_text(Cursor(at, "ord_x")) for at in times]
    assert all(one < two for one, two in itertools.pairwise(texts))
