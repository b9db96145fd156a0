"""Orders over HTTP: what is accepted, what is refused, and what the answers look like."""

import json
import re
from typing import Any

import httpx
import pytest

from tests.gateway.problems import is_problem

ORDER_FIELDS = {
    "id", "externalId", "amount", "currency", "status", "processor", "processorOrderId",
    "metadata", "createdAt", "updatedAt", "customerId", "customerEmail", "description",
    "returnUrl", "cancelUrl", "captureMethod", "amountAuthorized", "amountCaptured",
    "amountRefunded", "captureBefore", "nextAction", "attempts", "failure", "livemode", "version",
}  # fmt: skip
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


def create(client: httpx.Client, **fields: Any) -> dict[str, Any]:
    answer = client.post("/v1/orders", json={"amount": 4999, "currency": "USD", **fields})
    assert answer.status_code == 201, answer.text
    return answer.json()


def test_new_order_has_every_field_and_null_where_there_is_none(client: httpx.Client) -> None:
    order = create(client)
    assert set(order) == ORDER_FIELDS
    assert order["status"] == "pending"
    assert order["metadata"] is None
    assert order["attempts"] == []
    assert order["livemode"] is False
    assert order["version"] == 1
    assert TIME.fullmatch(order["createdAt"])


def test_order_reads_back_as_it_was_answered(client: httpx.Client) -> None:
    said = {
        "externalId": "cart-1",
        "customerId": "c-1",
        "customerEmail": "ada@example.com",
        "description": "Tea & scones, ünïcode",
        "metadata": {"a": "b", "n": 1, "f": 1.5, "t": True},
        "returnUrl": "https://shop.example/r?x=1",
        "cancelUrl": "http://localhost:8080/c",
        "captureMethod": "manual",
    }
    order = create(client, **said)
    assert {name: order[name] for name in said} == said
    assert client.get(f"/v1/orders/{order['id']}").json() == order


def test_r06_metadata_is_not_lost(client: httpx.Client) -> None:
    order = create(client, metadata={"k": "v"})
    assert client.get(f"/v1/orders/{order['id']}").json()["metadata"] == {"k": "v"}
    assert create(client, metadata={})["metadata"] == {}


def test_m13_currency_is_accepted_in_either_case_and_stored_upper(client: httpx.Client) -> None:
    assert create(client, currency="inr")["currency"] == "INR"
    assert create(client, currency="Eur")["currency"] == "EUR"


@pytest.mark.parametrize("currency", ["XXX", "XTS", "XAU", "XDR", "USN", "ABC", "US", "USDT", ""])
def test_m13_codes_without_money_are_refused(client: httpx.Client, currency: str) -> None:
    answer = client.post("/v1/orders", json={"amount": 1, "currency": currency})
    assert is_problem(answer, 400, "invalid_request")["errors"][0]["field"] == "currency"


def test_largest_amount_is_accepted_and_one_more_is_not(client: httpx.Client) -> None:
    assert create(client, amount=99_999_999_999)["amount"] == 99_999_999_999
    answer = client.post("/v1/orders", json={"amount": 100_000_000_000})
    is_problem(answer, 400, "invalid_request")


@pytest.mark.parametrize(
    "amount", ["0", "-1", "1.5", "10.0", "1e3", "true", '"100"', "null", "[1]", "1" + "0" * 40]
)
def test_amount_is_a_positive_integer_and_nothing_else(client: httpx.Client, amount: str) -> None:
    body = f'{{"amount": {amount}, "currency": "USD"}}'
    answer = client.post("/v1/orders", content=body, headers={"Content-Type": "application/json"})
    assert is_problem(answer, 400, "invalid_request")["errors"][0]["field"] == "amount"


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{", b"[]", b"1", b"null", b'"x"', b"NaN", b'{"amount": NaN}', b'{"amount": 1e999}',
        b'{"amount": 1}}', b"\xff\xfe", b'{"amount": 1, "description": "\xff"}',
        b'{"amount": 1, "description": "\\ud800"}', b'{"amount": 1, "description": "\\u0000"}',
        b'{"amount": 1, "metadata": {"\\u0000": 1}}',
        b'{"amount": 1, "metadata": {"a": "\\u0000"}}',
        b"[" * 100_000, b'{"a":' * 20_000, b'{"a":' + b"[" * 500 + b"]" * 500 + b"}",
    ],
)  # fmt: skip
def test_r08_malformed_bodies_are_a_400(client: httpx.Client, body: bytes) -> None:
    answer = client.post("/v1/orders", content=body, headers={"Content-Type": "application/json"})
    is_problem(answer, 400, "invalid_request")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("amuont", 1), ("externalId", ""), ("externalId", "x" * 256), ("externalId", 1),
        ("customerId", "x" * 256), ("customerEmail", "nobody"), ("customerEmail", "a@b\n"),
        ("description", "x" * 1001), ("metadata", []), ("metadata", {"a": {"b": 1}}),
        ("metadata", {"a": [1]}), ("metadata", {"a": None}), ("metadata", {"a": "x" * 501}),
        ("metadata", {"k" * 41: 1}), ("metadata", {"": 1}), ("metadata", {"a": 10**30}),
        ("metadata", {f"k{n}": n for n in range(51)}), ("returnUrl", "javascript:alert(1)"),
        ("returnUrl", "ftp://x.example/"), ("returnUrl", "//x.example/"), ("returnUrl", "x"),
        ("returnUrl", "https://"), ("returnUrl", "https://user:pw@x.example/"),
        ("returnUrl", "https://x.example/\r\nSet-Cookie: a=b"), ("returnUrl", "https://x.example/\n"),
        ("cancelUrl", "data:text/html,x"), ("captureMethod", "later"), ("captureMethod", True),
        ("id", "ord_x"), ("livemode", "false"),
    ],
)  # fmt: skip
def test_field_that_breaks_a_rule_is_named(client: httpx.Client, field: str, value: object) -> None:
    answer = client.post("/v1/orders", json={"amount": 1, field: value})
    errors = is_problem(answer, 400, "invalid_request")["errors"]
    assert [error["field"].split(".")[0] for error in errors] == [field]


def test_every_wrong_field_is_named_at_once(client: httpx.Client) -> None:
    answer = client.post("/v1/orders", json={"currency": 1, "metadata": 1, "x": 1})
    errors = is_problem(answer, 400, "invalid_request")["errors"]
    assert {error["field"] for error in errors} == {"amount", "currency", "metadata", "x"}


def test_s11_false_as_text_is_not_a_boolean(client: httpx.Client) -> None:
    order = create(client)
    answer = client.post(f"/v1/orders/{order['id']}/capture", json={"final": "false"})
    is_problem(answer, 400, "invalid_request")


def test_external_id_is_used_once_per_merchant_and_mode(client: httpx.Client) -> None:
    order = create(client, externalId="once")
    answer = client.post("/v1/orders", json={"amount": 1, "externalId": "once"})
    assert is_problem(answer, 409, "external_id_exists")["orderId"] == order["id"]


@pytest.mark.parametrize(
    "order_id",
    [
        "x",
        "ord_",
        "ord_01jd3v8x2sfy3t6q9m4n7p0r5w",
        "%00",
        "%ff",
        "ord_" + "9" * 26,
        "😀",
        "a" * 500,
    ],
)
@pytest.mark.parametrize("path", ["", "/refunds", "/transactions"])
def test_r08_malformed_and_unknown_ids_are_a_404(
    client: httpx.Client, order_id: str, path: str
) -> None:
    is_problem(client.get(f"/v1/orders/{order_id}{path}"), 404, "not_found")


@pytest.mark.parametrize("verb", ["pay", "confirm", "capture", "cancel", "refund"])
def test_verbs_on_unknown_orders_are_a_404(client: httpx.Client, verb: str) -> None:
    for order_id in ("nope", "ord_01jd3v8x2sfy3t6q9m4n7p0r5w"):
        is_problem(client.post(f"/v1/orders/{order_id}/{verb}", json={}), 404, "not_found")


def test_order_as_of_its_creation_and_before(client: httpx.Client) -> None:
    order = create(client)
    client.post(f"/v1/orders/{order['id']}/cancel")
    path = f"/v1/orders/{order['id']}"
    assert client.get(path).json()["status"] == "cancelled"
    position = next(p for p in range(1, 10_000) if client.get(path, params={"asOf": p}).is_success)
    first = client.get(path, params={"asOf": position}).json()
    assert first == order
    is_problem(client.get(path, params={"asOf": position - 1 or 1}), 404, "not_found")
    is_problem(client.get(path, params={"asOf": "2020-01-01T00:00:00Z"}), 404, "not_found")
    assert client.get(path, params={"asOf": "2999-01-01T00:00:00Z"}).json()["version"] == 2
    for bad in ("x", "", "-1", "1.5", "2020-01-01", "2020-01-01T00:00:00", "9" * 30):
        is_problem(client.get(path, params={"asOf": bad}), 400, "invalid_request")


def test_the_time_that_is_told_of_an_event_shows_the_order_with_it(client: httpx.Client) -> None:
    order = create(client)
    client.post(f"/v1/orders/{order['id']}/cancel")
    path = f"/v1/orders/{order['id']}"
    events = client.get(f"{path}/events").json()
    for event in events if isinstance(events, list) else events["data"]:
        then = client.get(path, params={"asOf": event["recordedAt"]})
        assert then.status_code == 200, event
        assert then.json()["version"] >= event["version"]


def test_body_may_be_absent_where_nothing_is_required(client: httpx.Client) -> None:
    order = create(client)
    assert client.post(f"/v1/orders/{order['id']}/cancel").status_code == 200


def test_problem_does_not_repeat_what_was_sent(client: httpx.Client) -> None:
    answer = client.post("/v1/orders", json={"amount": 1, "captureMethod": "s3cr3t-value"})
    assert "s3cr3t-value" not in json.dumps(answer.json())
