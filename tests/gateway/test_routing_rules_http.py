"""Routing rules over HTTP: versions, what is refused, and where an order would go."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from commands.caller import Caller
from commands.configure_processor import ProcessorAccount, configure_processor
from commands.processor import Credentials
from tests.gateway.conftest import Service
from tests.gateway.problems import is_problem

RULES = [
    {
        "id": "large-eur",
        "conditions": {"currency": "eur", "amount": {"min": 50_000}, "cardBrand": "VISA"},
        "processor": "stripe",
        "priority": 2,
    },
    {
        "id": "shared",
        "conditions": {"country": "in"},
        "split": [{"processor": "stripe", "weight": 1}, {"processor": "razorpay", "weight": 3}],
    },
]


@pytest.fixture(scope="module")
def admin(service: Service, merchant: Caller) -> Iterator[httpx.Client]:
    accounts = {
        "stripe": {"secret_key": "sk_test_1"},
        "razorpay": {"key_id": "rzp_test_1", "key_secret": "s"},
    }
    for name, values in accounts.items():
        account = ProcessorAccount(processor=name, credentials=Credentials(values))
        service.call(configure_processor(service.app.ports, merchant, account))
    key, _ = service.key(merchant, scopes=("account:admin", "payments:write"), mode="live")
    with service.client(key) as http:
        yield http


def put(admin: httpx.Client, **body: Any) -> dict[str, Any]:
    answer = admin.put("/api/routing-rules", json={"rules": RULES} | body)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def asked(admin: httpx.Client, **body: Any) -> dict[str, Any]:
    answer = admin.post("/api/routing-rules/test", json={"amount": 60_000} | body)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def test_rules_are_versioned_per_mode_and_listed_of_both(admin: httpx.Client) -> None:
    before = {one["testMode"]: one for one in admin.get("/api/routing-rules").json()}
    assert before[False] == {
        "version": 0,
        "rules": [],
        "fallback": None,
        "failover": {"enabled": True, "hopsMax": 1, "classes": ["failover"]},
        "testMode": False,
        "livemode": True,
        "createdAt": None,
    }
    first = put(admin, fallback="razorpay")
    assert first["version"] == before[True]["version"] + 1
    assert first["rules"][0]["conditions"] == {
        "currency": "EUR", "amount": {"min": 50_000}, "cardBrand": "visa",
    }  # fmt: skip
    assert put(admin, fallback="razorpay")["version"] == first["version"]
    second = put(admin, failover={"enabled": False, "hopsMax": 2, "classes": []})
    assert second["version"] == first["version"] + 1
    assert admin.get("/api/routing-rules").json() == [second, before[False]]


def test_only_the_version_that_was_seen_is_replaced(admin: httpx.Client) -> None:
    version = put(admin, fallback="stripe")["version"]
    other: dict[str, Any] = {"rules": [], "version": version - 1}
    refused = admin.put("/api/routing-rules", json=other)
    is_problem(refused, 409, "concurrent_change")
    assert put(admin, rules=[], version=version)["version"] == version + 1


@pytest.mark.parametrize(
    ("rules", "field"),
    [
        ([{"id": "a"}], "rules[0]"),
        ([{"id": "a", "processor": "stripe", "split": []}], "rules[0]"),
        ([{"id": "a", "split": []}], "rules[0].split"),
        ([{"id": "a", "processor": "paypal"}], "rules[0].processor"),
        ([{"id": "default", "processor": "stripe"}], "rules[0].id"),
        ([{"id": "a", "processor": "stripe"}] * 2, "rules[0].id"),
        (
            [{"id": "a", "processor": "stripe", "conditions": {"currency": "XTS"}}],
            "rules[0].conditions.currency",
        ),
        (
            [{"id": "a", "processor": "stripe", "conditions": {"amount": {"min": 2, "max": 1}}}],
            "rules[0].conditions.amount",
        ),
        (
            [{"id": "a", "split": [{"processor": "stripe", "weight": 1}] * 2}],
            "rules[0].split",
        ),
        ([{"id": "a", "split": [{"processor": "stripe", "weight": 0}]}], None),
        ([{"id": "a", "processor": "stripe", "condition": {}}], None),
        ([{"id": "a", "processor": "stripe", "conditions": {"amuont": {}}}], None),
    ],
)
def test_rules_that_say_nothing_sensible_are_a_400(
    admin: httpx.Client, rules: list[Any], field: str | None
) -> None:
    before = admin.get("/api/routing-rules").json()
    refused = admin.put("/api/routing-rules", json={"rules": rules})
    problem = is_problem(refused, 400, "invalid_request")
    named = [error["field"] for error in problem["errors"]]
    assert field is None or field in named
    assert admin.get("/api/routing-rules").json() == before


@pytest.mark.parametrize(
    "more",
    [
        {"fallback": "paypal"},
        {"failover": {"hopsMax": 3}},
        {"failover": {"classes": ["stop"]}},
        {"failover": {"classes": ["later", "later"]}},
        {"amuont": 1},
    ],
)
def test_a_loose_failover_and_unknown_names_are_a_400(
    admin: httpx.Client, more: dict[str, Any]
) -> None:
    refused = admin.put("/api/routing-rules", json={"rules": []} | more)
    is_problem(refused, 400, "invalid_request")


def test_an_order_is_asked_about_with_every_candidate_and_its_reason(admin: httpx.Client) -> None:
    version = put(admin)["version"]
    known = asked(admin, currency="EUR", cardBrand="visa")
    assert (known["processor"], known["rule"], known["version"]) == ("stripe", "large-eur", version)
    assert {c["processor"]: c["reason"] for c in known["candidates"]} == {
        "sandbox": "eligible", "stripe": "eligible", "razorpay": "eligible",
    }  # fmt: skip
    assert asked(admin, currency="EUR")["rule"] == "default"
    token = {"type": "card", "token": "token_1"}
    foreign = asked(admin, paymentMethod=token)
    assert foreign["processor"] == "razorpay"
    assert {"processor": "stripe", "eligible": False, "reason": "foreign token"} in (
        foreign["candidates"]
    )
    named = asked(admin, processor="razorpay")
    assert (named["processor"], named["rule"]) == ("razorpay", "explicit")
    nobody = asked(admin, testMode=False)
    assert (nobody["processor"], nobody["rule"]) == (None, None)
    assert {c["reason"] for c in nobody["candidates"]} == {"not configured"}


def test_one_order_has_one_side_of_a_split_and_a_draft_changes_nothing(
    admin: httpx.Client,
) -> None:
    before = put(admin, rules=[])
    order = {"orderId": "ord_01h455vb4pex5vsknk084sn02q", "country": "IN", "currency": "USD"}
    draft = {"rules": RULES}
    sides = {asked(admin, ruleSet=draft, **order)["processor"] for _ in range(5)}
    assert len(sides) == 1
    assert asked(admin, ruleSet=draft, **order)["rule"] == "shared"
    assert asked(admin, **order)["rule"] == "default"
    wrong = admin.post(
        "/api/routing-rules/test", json={"amount": 1, "ruleSet": {"fallback": "paypal"}}
    )
    problem = is_problem(wrong, 400, "invalid_request")
    assert problem["errors"][0]["field"] == "ruleSet.fallback"
    assert admin.get("/api/routing-rules").json()[0] == before


def test_a_payment_key_reads_and_writes_no_rules(client: httpx.Client) -> None:
    for answer in (
        client.get("/api/routing-rules"),
        client.put("/api/routing-rules", json={"rules": []}),
        client.post("/api/routing-rules/test", json={"amount": 1}),
    ):
        is_problem(answer, 403, "missing_scope")


def test_an_order_follows_the_rules_that_were_set(
    admin: httpx.Client, client: httpx.Client
) -> None:
    put(admin, rules=[{"id": "all", "processor": "sandbox"}])
    made = client.post("/v1/orders", json={"amount": 1000, "currency": "EUR"}).json()
    paid = client.post(f"/v1/orders/{made['id']}/pay", json={}).json()
    assert paid["processor"] == "sandbox"
    put(admin, rules=[])
