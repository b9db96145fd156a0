"""Checkout sessions over HTTP: opened, read, listed, and over in time."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from commands.caller import Caller
from commands.create_order import NewOrder, create_order
from tests.gateway.conftest import Service
from tests.gateway.problems import is_problem
from tests.waiting import until

PATH = "/v1/checkout/sessions"
BODY = {
    "amount": 4999,
    "currency": "usd",
    "successUrl": "https://shop.example/thanks?cart=1",
    "cancelUrl": "https://shop.example/cart",
}


def opened(client: httpx.Client, **fields: Any) -> dict[str, Any]:
    answer = client.post(PATH, json={**BODY, **fields})
    assert answer.status_code == 201, answer.text
    return answer.json()


def test_a_session_is_answered_with_exactly_id_url_and_end(client: httpx.Client) -> None:
    session = opened(client)
    assert set(session) == {"id", "url", "expiresAt"}
    assert session["url"] == f"http://loop.test/checkout/{session['id']}"
    ends = datetime.fromisoformat(session["expiresAt"]) - datetime.now(UTC)
    assert timedelta(hours=23) < ends <= timedelta(hours=24)


def test_a_session_is_read_with_its_order(client: httpx.Client) -> None:
    items = [
        {"name": "Tea pot", "amount": 2999, "quantity": 1},
        {"name": "Tea cup", "amount": 1000, "quantity": 2},
    ]
    given = {"customerId": "cus_1", "customerEmail": "ada@example.com", "metadata": {"a": "b"}}
    session = opened(client, lineItems=items, **given)
    read = client.get(f"{PATH}/{session['id']}").json()
    assert {name: read[name] for name in session} == session
    assert (read["amount"], read["currency"], read["status"]) == (4999, "USD", "open")
    assert (read["lineItems"], read["completedAt"], read["livemode"]) == (items, None, False)
    assert {name: read[name] for name in given} == given
    assert (read["successUrl"], read["cancelUrl"]) == (BODY["successUrl"], BODY["cancelUrl"])
    order = client.get(f"/v1/orders/{read['orderId']}").json()
    assert (order["status"], order["amount"]) == ("pending", 4999)
    assert (order["returnUrl"], order["cancelUrl"]) == (BODY["successUrl"], BODY["cancelUrl"])


def test_a_paid_session_is_complete(client: httpx.Client) -> None:
    session = opened(client)
    order_id = client.get(f"{PATH}/{session['id']}").json()["orderId"]
    paid = client.post(f"/v1/orders/{order_id}/pay", json={}, headers={"Prefer": "wait=20"})
    assert paid.json()["status"] == "captured"
    read = client.get(f"{PATH}/{session['id']}").json()
    assert (read["status"], read["orderStatus"]) == ("complete", "captured")
    assert read["completedAt"] >= read["createdAt"]


def test_a_repetition_is_the_same_session(client: httpx.Client) -> None:
    headers = {"Idempotency-Key": "session-1"}
    first = client.post(PATH, json=BODY, headers=headers)
    again = client.post(PATH, json=BODY, headers=headers)
    assert again.headers["idempotent-replayed"] == "true"
    assert again.json() == first.json()
    other = client.post(PATH, json={**BODY, "amount": 5000}, headers=headers)
    is_problem(other, 422, "idempotency_key_reused")


def test_an_external_id_opens_one_session(client: httpx.Client) -> None:
    opened(client, externalId="cart-77")
    again = client.post(PATH, json={**BODY, "externalId": "cart-77"})
    is_problem(again, 409, "external_id_exists")


def in_minutes(minutes: float) -> str:
    return (datetime.now(UTC) + timedelta(minutes=minutes)).isoformat()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("lineItems", [{"name": "x", "amount": 4998, "quantity": 1}]),
        ("lineItems", [{"name": "x", "amount": 2500, "quantity": 2}]),
        ("lineItems", []),
        ("lineItems", [{"name": "", "amount": 4999}]),
        ("lineItems", [{"name": "x", "amount": 4999, "quantity": 0}]),
        ("lineItems", [{"name": "x", "amount": -1, "quantity": 1}]),
        ("successUrl", "javascript:alert(1)"),
        ("cancelUrl", "data:text/html,x"),
        ("successUrl", "https://user:secret@shop.example/"),
        ("successUrl", None),
        ("currency", "XTS"),
        ("amount", "4999"),
        ("expiresAt", "2020-01-01T00:00:00Z"),
        ("expiresAt", "2100-01-01T00:00:00Z"),
        ("expiresAt", "2026-11-20"),
    ],
)
def test_w12_what_is_invalid_is_a_400_that_names_the_field(
    client: httpx.Client, field: str, value: Any
) -> None:
    told = is_problem(client.post(PATH, json={**BODY, field: value}), 400, "invalid_request")
    assert told["errors"][0]["field"].startswith(field)


@pytest.mark.parametrize("missing", ["amount", "successUrl", "cancelUrl"])
def test_what_is_needed_is_asked_for(client: httpx.Client, missing: str) -> None:
    body = {name: value for name, value in BODY.items() if name != missing}
    told = is_problem(client.post(PATH, json=body), 400, "invalid_request")
    assert told["errors"] == [{"field": missing, "message": "is required"}]


def test_an_end_within_bounds_is_kept(client: httpx.Client) -> None:
    wanted = in_minutes(10)
    ends = datetime.fromisoformat(opened(client, expiresAt=wanted)["expiresAt"])
    assert abs(ends - datetime.fromisoformat(wanted)) < timedelta(milliseconds=1)
    is_problem(client.post(PATH, json={**BODY, "expiresAt": in_minutes(1)}), 400, "invalid_request")


async def short(service: Service, caller: Caller, **fields: Any) -> tuple[str, str]:
    """Open a session that is over already; return its id and its order's."""
    given = {"amount_minor": 500, "currency": "USD", "session": True, **fields}
    new = NewOrder(**({"expires_at": datetime.now(UTC)} | given))  # type: ignore[arg-type]
    done = await create_order(service.app.ports, caller, new, None)
    assert done.order.checkout_session_id is not None
    return done.order.checkout_session_id, done.order.id


def test_a_session_that_nobody_paid_expires(
    service: Service, merchant: Caller, client: httpx.Client
) -> None:
    session_id, order_id = service.call(short(service, merchant))

    def read() -> dict[str, Any]:
        return client.get(f"{PATH}/{session_id}").json()

    assert read()["status"] == "expired"
    asyncio.run(until(lambda: read()["orderStatus"] == "expired"))
    refused = client.post(f"/v1/orders/{order_id}/pay", json={})
    is_problem(refused, 422, "invalid_status")


def test_nobody_pays_after_the_end_even_before_a_worker_saw_it(
    service: Service, merchant: Caller, client: httpx.Client
) -> None:
    soon = datetime.now(UTC) + timedelta(seconds=1)
    session_id, order_id = service.call(short(service, merchant, expires_at=soon))

    def status() -> str:
        return client.get(f"{PATH}/{session_id}").json()["status"]

    asyncio.run(until(lambda: status() == "expired"))
    is_problem(client.post(f"/v1/orders/{order_id}/pay", json={}), 422, "invalid_status")


def test_what_is_under_way_at_the_end_is_waited_for(
    service: Service, merchant: Caller, client: httpx.Client
) -> None:
    soon = datetime.now(UTC) + timedelta(seconds=2)
    session_id, order_id = service.call(short(service, merchant, expires_at=soon))
    asked = {"paymentMethod": {"type": "card", "token": "sbx_challenge"}}
    url = client.post(f"/v1/orders/{order_id}/pay", json=asked).json()["redirectUrl"]
    asyncio.run(until(lambda: datetime.now(UTC) > soon + timedelta(seconds=1)))
    read = client.get(f"{PATH}/{session_id}").json()
    assert (read["status"], read["orderStatus"]) == ("open", "requires_action")
    with service.client(None) as customer:
        customer.post(f"{url.removeprefix('http://loop.test')}/approve")
    asyncio.run(until(lambda: client.get(f"{PATH}/{session_id}").json()["status"] == "complete"))


def test_sessions_are_listed_newest_first(service: Service) -> None:
    key, _ = service.key(service.merchant())
    with service.client(key) as client:
        ids = [opened(client)["id"] for _ in range(5)][::-1]
        client.post("/v1/orders", json={"amount": 5})

        def page(**query: Any) -> dict[str, Any]:
            answer = client.get(PATH, params=query)
            assert answer.status_code == 200
            found: dict[str, Any] = answer.json()
            return found

        whole = page()
        assert [s["id"] for s in whole["data"]] == ids
        assert (whole["hasMore"], whole["nextCursor"]) == (False, None)
        first = page(limit=2)
        assert ([s["id"] for s in first["data"]], first["hasMore"]) == (ids[:2], True)
        second = page(limit=2, after=first["nextCursor"])
        assert [s["id"] for s in second["data"]] == ids[2:4]
        newer = page(limit=1, before=ids[3])
        assert [s["id"] for s in newer["data"]] == [ids[2]]
        between = page(after=ids[0], before=ids[3])
        assert [s["id"] for s in between["data"]] == ids[1:3]
        is_problem(client.get(PATH, params={"after": "x"}), 400, "invalid_request")


def test_nobody_reads_anothers_session(service: Service, client: httpx.Client) -> None:
    session_id = opened(client)["id"]
    order_id = client.get(f"{PATH}/{session_id}").json()["orderId"]
    for unknown in ("cs_x", order_id, f"cs_{'0' * 26}"):
        is_problem(client.get(f"{PATH}/{unknown}"), 404, "not_found")
    plain = client.post("/v1/orders", json={"amount": 5}).json()["id"]
    is_problem(client.get(f"{PATH}/{plain.replace('ord_', 'cs_')}"), 404, "not_found")
    stranger, _ = service.key(service.merchant())
    with service.client(stranger) as http:
        is_problem(http.get(f"{PATH}/{session_id}"), 404, "not_found")
        assert http.get(PATH).json()["data"] == []
