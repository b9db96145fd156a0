"""Processor accounts over HTTP: credentials go in and never come out."""

import itertools
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from commands.caller import Caller
from tests.gateway.conftest import Service
from tests.gateway.problems import is_problem

STRIPE = {"secretKey": "sk_test_51HidDeN", "publishableKey": "pk_test_1"}
RAZORPAY = {"keyId": "rzp_test_1", "keySecret": "HidDeN"}
_numbers = itertools.count(1)


@pytest.fixture
def owner(service: Service) -> Iterator[httpx.Client]:
    """Somebody who has logged in, at a merchant of their own."""
    with service.client(None) as http:
        email = f"processors{next(_numbers)}@tea.example"
        account = {"name": "Tea shop", "email": email, "password": "x" * 20}
        made = http.post("/api/auth/register", json=account).json()
        http.headers["Authorization"] = f"Bearer {made['token']}"
        http.headers["X-Merchant-For-Tests"] = made["merchant"]["id"]
        yield http


def configured(owner: httpx.Client, name: str = "stripe", **fields: Any) -> dict[str, Any]:
    credentials = STRIPE if name == "stripe" else RAZORPAY
    body = {"credentials": credentials, **fields}
    answer = owner.post(f"/api/processors/{name}", json=body)
    assert answer.is_success, answer.text
    return answer.json()


def test_an_account_is_shown_without_its_credentials(owner: httpx.Client) -> None:
    answer = owner.post("/api/processors/stripe", json={"credentials": STRIPE})
    assert answer.status_code == 201
    made = answer.json()
    assert set(made) == {
        "id", "processor", "enabled", "priority", "testMode", "createdAt", "webhookUrl", "livemode",
    }  # fmt: skip
    merchant = owner.headers["X-Merchant-For-Tests"]
    assert made["webhookUrl"] == f"http://loop.test/webhooks/stripe/{merchant}"
    assert (made["enabled"], made["priority"], made["testMode"]) == (True, 1, True)
    listed = owner.get("/api/processors")
    assert made in listed.json()
    for secret in (*STRIPE.values(), "HidDeN"):
        assert secret not in answer.text + listed.text


def test_configuring_again_replaces_and_keeps_the_time(owner: httpx.Client) -> None:
    first = configured(owner)
    again = owner.post("/api/processors/stripe", json={"credentials": STRIPE, "priority": 5})
    assert again.status_code == 200
    assert again.json() == {**first, "priority": 5}


def test_both_modes_are_listed_the_preferred_first(owner: httpx.Client) -> None:
    configured(owner, priority=3)
    configured(owner, "razorpay", priority=2)
    live = {"secretKey": "sk_live_51", "publishableKey": "pk_live_1"}
    body = {"credentials": live, "testMode": False}
    assert owner.post("/api/processors/stripe", json=body).status_code == 201
    shown = [(p["id"], p["livemode"]) for p in owner.get("/api/processors").json()]
    assert shown == [
        ("razorpay_test", False), ("stripe_test", False), ("sandbox_test", False),
        ("stripe_live", True),
    ]  # fmt: skip


def test_the_sandbox_has_no_webhooks_and_comes_last(owner: httpx.Client) -> None:
    (sandbox,) = owner.get("/api/processors").json()
    assert (sandbox["processor"], sandbox["webhookUrl"]) == ("sandbox", None)
    configured(owner)
    order = owner.post("/v1/orders", json={"amount": 100}).json()
    body = {"paymentMethod": {"type": "card", "token": "pm_card_visa"}}
    paid = owner.post(f"/v1/orders/{order['id']}/pay", json=body, headers={"Prefer": "wait=0"})
    assert paid.json()["processor"] == "stripe"


@pytest.mark.parametrize(
    ("name", "credentials", "field"),
    [
        ("stripe", {}, "credentials.secretKey"),
        ("stripe", {"secretKey": "sk_test_1", "keyId": "x"}, "credentials.keyId"),
        ("stripe", {"secret_key": "sk_test_1"}, "credentials"),
        ("stripe", {"secretKey": ""}, "credentials"),
        ("stripe", {"secretKey": 1}, "credentials"),
        ("stripe", {"secretKey": "sk test"}, "credentials"),
        ("stripe", {"secretKey": "sk_live_1"}, "credentials"),
        ("stripe", {"secretKey": "sk_test_1", "publishableKey": "pk_live_1"}, "credentials"),
        ("razorpay", {"keyId": "rzp_live_1", "keySecret": "x"}, "credentials"),
        ("razorpay", {"keyId": "rzp_test_1"}, "credentials.keySecret"),
    ],
)
def test_credentials_that_do_not_fit_are_a_400_and_change_nothing(
    owner: httpx.Client, name: str, credentials: dict[str, Any], field: str
) -> None:
    before = owner.get("/api/processors").json()
    answer = owner.post(f"/api/processors/{name}", json={"credentials": credentials})
    problem = is_problem(answer, 400, "invalid_request")
    assert problem["errors"][0]["field"].startswith(field)
    assert "sk_live_1" not in answer.text
    assert owner.get("/api/processors").json() == before


def test_s11_and_other_malformed_values_are_a_400(owner: httpx.Client) -> None:
    wrong: list[dict[str, Any]] = [
        {"enabled": "false"}, {"priority": 0}, {"priority": 101}, {"priority": "1"},
        {"testMode": None}, {"mode": "live"},
    ]  # fmt: skip
    for more in wrong:
        body = {"credentials": STRIPE, **more}
        is_problem(owner.post("/api/processors/stripe", json=body), 400, "invalid_request")
    is_problem(owner.post("/api/processors/stripe", json={}), 400, "invalid_request")


def test_s10_a_change_is_partial_and_knows_its_fields(owner: httpx.Client) -> None:
    first = configured(owner)
    changed = owner.patch("/api/processors/stripe", json={"enabled": False})
    assert changed.status_code == 200
    assert changed.json() == {**first, "enabled": False}
    changed = owner.patch("/api/processors/stripe", json={"priority": 7})
    assert changed.json() == {**first, "enabled": False, "priority": 7}
    for body in ({"createdAt": "2020-01-01T00:00:00Z"}, {"credentials": {"x": "y"}}):
        is_problem(owner.patch("/api/processors/stripe", json=body), 400, "invalid_request")
    other = {"priority": 1, "testMode": False}
    is_problem(owner.patch("/api/processors/stripe", json=other), 404, "not_found")
    is_problem(owner.patch("/api/processors/razorpay", json={}), 404, "not_found")


def test_a_change_of_one_credential_keeps_the_others(owner: httpx.Client, service: Service) -> None:
    configured(owner)
    body = {"credentials": {"webhookSecret": "whsec_1"}}
    assert owner.patch("/api/processors/stripe", json=body).status_code == 200
    merchant = owner.headers["X-Merchant-For-Tests"]
    kept = service.call(service.app.ports.vault.credentials(merchant, "test", "stripe", 2))
    assert kept.values == {
        "secret_key": STRIPE["secretKey"],
        "publishable_key": STRIPE["publishableKey"],
        "webhook_secret": "whsec_1",
    }
    wrong = {"credentials": {"secretKey": "sk_live_1"}}
    is_problem(owner.patch("/api/processors/stripe", json=wrong), 400, "invalid_request")


def test_a_repetition_configures_nothing_again(owner: httpx.Client, service: Service) -> None:
    headers, body = {"Idempotency-Key": "p-1"}, {"credentials": STRIPE}
    first = owner.post("/api/processors/stripe", json=body, headers=headers)
    owner.patch("/api/processors/stripe", json={"priority": 9})
    again = owner.post("/api/processors/stripe", json=body, headers=headers)
    assert (again.status_code, again.json()) == (201, first.json())
    assert again.headers["idempotent-replayed"] == "true"
    other = owner.post("/api/processors/stripe", json={**body, "priority": 2}, headers=headers)
    is_problem(other, 422, "idempotency_key_reused")
    merchant = owner.headers["X-Merchant-For-Tests"]
    kept = service.call(service.app.ports.vault.credentials(merchant, "test", "stripe", 2))
    assert kept.values == {}


def test_a_removed_account_is_gone_and_takes_no_attempts(owner: httpx.Client) -> None:
    configured(owner)
    assert owner.delete("/api/processors/stripe").status_code == 204
    is_problem(owner.delete("/api/processors/stripe"), 404, "not_found")
    assert [p["processor"] for p in owner.get("/api/processors").json()] == ["sandbox"]
    order = owner.post("/v1/orders", json={"amount": 100}).json()
    pay = owner.post(f"/v1/orders/{order['id']}/pay", json={"processor": "stripe"})
    is_problem(pay, 422, "no_processor")


def test_force_destroys_every_version_also_afterwards(
    owner: httpx.Client, service: Service
) -> None:
    configured(owner)
    configured(owner)
    configured(owner, "razorpay")
    merchant = owner.headers["X-Merchant-For-Tests"]

    def kept(name: str, version: int) -> dict[str, str]:
        read = service.app.ports.vault.credentials(merchant, "test", name, version)
        return service.call(read).values

    assert owner.delete("/api/processors/stripe").status_code == 204
    assert kept("stripe", 1)
    assert kept("stripe", 2)
    assert owner.delete("/api/processors/stripe?force=true").status_code == 204
    assert (kept("stripe", 1), kept("stripe", 2)) == ({}, {})
    assert kept("razorpay", 1)
    never = owner.delete("/api/processors/stripe?force=true&testMode=false")
    is_problem(never, 404, "not_found")


def test_what_is_unknown_is_a_404_and_other_words_a_400(owner: httpx.Client) -> None:
    bodies: dict[str, Any] = {"POST": {"credentials": {}}, "PATCH": {}, "DELETE": None}
    for method, body in bodies.items():
        answer = owner.request(method, "/api/processors/paypal", json=body)
        is_problem(answer, 404, "not_found")
    for query in ("force=1", "force=", "mode=live"):
        answer = owner.delete(f"/api/processors/stripe?{query}")
        is_problem(answer, 400, "invalid_request")


def test_s03_only_who_administers_configures_and_a_test_key_nothing_live(
    service: Service, merchant: Caller, client: httpx.Client
) -> None:
    body = {"credentials": {"secretKey": "sk_live_1"}, "testMode": False}
    is_problem(client.post("/api/processors/stripe", json=body), 403, "missing_scope")
    is_problem(client.get("/api/processors"), 403, "missing_scope")
    admin, _ = service.key(merchant, scopes=("account:admin",))
    with service.client(admin) as http:
        is_problem(http.post("/api/processors/stripe", json=body), 403, "missing_scope")
        gone = http.delete("/api/processors/stripe?testMode=false")
        is_problem(gone, 403, "missing_scope")
