"""The way of an existing client of this API family, unmodified: exact shapes and status codes."""

import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.gateway.conftest import Service
from tests.gateway.problems import is_problem

ORDER = {
    "id", "externalId", "amount", "currency", "status", "processor", "processorOrderId",
    "metadata", "createdAt", "updatedAt",
}  # fmt: skip
TRANSACTION = {
    "id", "orderId", "type", "amount", "status", "processor", "processorTransactionId",
    "errorCode", "errorMessage", "createdAt",
}  # fmt: skip
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


class Client:
    """What such a client keeps: the address, a token, a key."""

    def __init__(self, http: httpx.Client) -> None:
        self.http = http
        self.headers: dict[str, str] = {}

    def call(self, method: str, path: str, status: int, body: Any = None) -> Any:
        answer = self.http.request(method, path, json=body, headers=self.headers)
        assert answer.status_code == status, answer.text
        return answer.json() if answer.content else None


@pytest.fixture
def client(service: Service) -> Iterator[Client]:
    with service.client(None) as http:
        yield Client(http)


def test_register_key_processor_order_pay_read_refund(client: Client) -> None:
    account = {"name": "Tea shop", "email": "walk@tea.example", "password": "correct horse"}
    made = client.call("POST", "/api/auth/register", 201, account)
    assert set(made) == {"token", "refreshToken", "merchant"}
    assert set(made["merchant"]) == {
        "id", "name", "email", "webhookUrl", "createdAt", "updatedAt",
    }  # fmt: skip
    assert TIME.fullmatch(made["merchant"]["createdAt"])
    credentials = {"email": account["email"], "password": account["password"]}
    again = client.call("POST", "/api/auth/login", 200, credentials)
    assert again["merchant"] == made["merchant"]

    client.headers = {"Authorization": f"Bearer {again['token']}"}
    issued = client.call("POST", "/api/api-keys", 201, {"name": "backend"})
    assert issued["secret"].startswith("sk_test_")
    (listed,) = client.call("GET", "/api/api-keys", 200)
    assert {"id", "name", "prefix", "scopes", "lastUsedAt", "expiresAt", "createdAt"} <= set(listed)
    for name, values in (
        ("stripe", {"secretKey": "sk_test_fake", "webhookSecret": "whsec_fake"}),
        ("razorpay", {"keyId": "rzp_test_fake", "keySecret": "fake"}),
    ):
        body = {"credentials": values, "priority": 10, "testMode": True, "enabled": True}
        shown = client.call("POST", f"/api/processors/{name}", 201, body)
        assert {
            "id", "processor", "enabled", "priority", "testMode", "createdAt", "webhookUrl",
        } <= set(shown)  # fmt: skip
    # The sandbox is behind the others: this client names it, so that no vendor is called.
    client.call("PATCH", "/api/processors/sandbox", 200, {"priority": 1})

    client.headers = {"X-API-Key": issued["secret"]}
    new = {
        "amount": 2500, "currency": "usd", "externalId": "cart-1", "customerId": "c-1",
        "customerEmail": "jo@example.com", "description": "Tea", "metadata": {"table": 7},
        "returnUrl": "https://tea.example/back",
    }  # fmt: skip
    order = client.call("POST", "/v1/orders", 201, new)
    assert set(order) >= ORDER
    assert (order["status"], order["amount"], order["currency"]) == ("pending", 2500, "USD")
    assert (order["metadata"], order["externalId"]) == ({"table": 7}, "cart-1")
    assert (order["processor"], order["processorOrderId"]) == (None, None)
    path = f"/v1/orders/{order['id']}"

    client.headers["Prefer"] = "wait=20"
    paid = client.call("POST", f"{path}/pay", 200, {"paymentMethod": {"type": "card"}})
    assert {"orderId", "status", "processor"} <= set(paid)
    assert (paid["orderId"], paid["status"]) == (order["id"], "captured")
    read = client.call("GET", path, 200)
    assert read["status"] == "captured"
    assert (read["processor"], read["amountCaptured"]) == ("sandbox", 2500)
    assert TIME.fullmatch(read["updatedAt"])

    refund = client.call("POST", f"{path}/refund", 201, {"amount": 500, "reason": "chipped"})
    assert set(refund) >= {"refundId", "orderId", "amount", "status", "reason"}
    assert (refund["amount"], refund["reason"]) == (500, "chipped")
    (shown,) = client.call("GET", f"{path}/refunds", 200)
    assert set(shown) >= {"refundId", "orderId", "amount", "status", "reason", "createdAt"}
    moved = client.call("GET", f"{path}/transactions", 200)
    assert all(set(row) >= TRANSACTION for row in moved)
    assert {row["type"] for row in moved} >= {"authorization", "capture"}


def test_errors_are_those_that_clients_know(client: Client, service: Service) -> None:
    http = client.http
    is_problem(http.post("/api/auth/register", json={"email": "x"}), 400, "invalid_request")
    is_problem(
        http.post("/api/auth/login", json={"email": "no@body.example", "password": "x" * 9}),
        401,
        "invalid_credentials",
    )
    is_problem(http.get("/v1/orders"), 401, "missing_credentials")
    key, _ = service.key(service.merchant())
    headers = {"X-API-Key": key}
    is_problem(http.get("/api/me", headers=headers), 403, "missing_scope")
    is_problem(http.get("/v1/orders/nope", headers=headers), 404, "not_found")
    bad = http.post("/v1/orders", json={"amuont": 1}, headers=headers)
    fields = {error["field"] for error in is_problem(bad, 400, "invalid_request")["errors"]}
    assert fields == {"amuont", "amount"}
    order = http.post("/v1/orders", json={"amount": 100}, headers=headers).json()
    refund = http.post(f"/v1/orders/{order['id']}/refund", json={}, headers=headers)
    is_problem(refund, 422, "invalid_status")
    unknown = http.post(
        f"/v1/orders/{order['id']}/pay", json={"processor": "paypal"}, headers=headers
    )
    is_problem(unknown, 422, "no_processor")


BODIES = [
    ("/api/auth/register", {"name": "xx", "email": "a@b.example", "password": "x" * 9}),
    ("/api/auth/login", {"email": "a@b.example", "password": "x" * 9}),
    ("/api/api-keys", {"name": "x"}),
    ("/api/processors/stripe", {"credentials": {"secretKey": "sk_test_1"}}),
    ("/v1/orders", {"amount": 1}),
    ("/v1/payments", {"amount": 1}),
    ("/v1/checkout/sessions", {"amount": 1, "currency": "USD"}),
]


@pytest.mark.parametrize(("path", "body"), BODIES)
@pytest.mark.parametrize(
    "more",
    [
        {"cardNumber": "4242424242424242"},
        {"metadata": {"cvc": "123"}},
        {"paymentMethod": {"type": "card", "token": "4242 4242 4242 4242"}},
        {"credentials": {"pan": "4242424242424242"}},
    ],
)
def test_s07_card_data_is_refused_in_every_body(
    service: Service, path: str, body: dict[str, Any], more: dict[str, Any]
) -> None:
    scopes = ("payments:write", "payments:read", "account:admin")
    key, _ = service.key(service.merchant(), scopes=scopes)
    with service.client(key) as http:
        answer = http.post(path, json={**body, **more}, headers={"Idempotency-Key": "k"})
        is_problem(answer, 400, "card_data_refused")
        assert "4242" not in answer.text
