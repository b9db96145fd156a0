"""Webhook endpoints, deliveries and events over HTTP."""

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from standardwebhooks import Webhook

from commands.caller import Caller
from tests.gateway.conftest import Service
from tests.gateway.problems import is_problem
from tests.receiver import Receiver, receiving

Json = dict[str, Any]


@pytest.fixture
def hooks(service: Service, merchant: Caller) -> Iterator[httpx.Client]:
    """A client with every scope, whose endpoints are gone afterwards."""
    scopes = ("payments:read", "payments:write", "webhooks:write")
    key, _ = service.key(merchant, scopes=scopes)
    with service.client(key) as http:
        yield http
        for endpoint in http.get("/v1/webhook-endpoints").json()["data"]:
            http.delete(f"/v1/webhook-endpoints/{endpoint['id']}")


@pytest.fixture
def receiver(service: Service) -> Iterator[Receiver]:
    stack = contextlib.AsyncExitStack()
    yield service.call(stack.enter_async_context(receiving()))
    service.call(stack.aclose())


def until(condition: Callable[[], object]) -> None:
    end = time.monotonic() + 90
    while not condition():
        assert time.monotonic() < end, "the condition did not come to hold"
        time.sleep(0.02)


def endpoint(hooks: httpx.Client, receiver: Receiver, *events: str) -> Json:
    body = {"url": receiver.url, "events": list(events or ["*"])}
    made = hooks.post("/v1/webhook-endpoints", json=body)
    assert made.status_code == 201, made.text
    return made.json()


def paid_order(hooks: httpx.Client, **fields: Any) -> str:
    order = hooks.post("/v1/orders", json={"amount": 1000, **fields}).json()
    paid = hooks.post(f"/v1/orders/{order['id']}/pay", json={}, headers={"Prefer": "wait=20"})
    assert paid.json()["status"] == "captured"
    return str(order["id"])


def test_an_endpoint_is_made_shown_changed_and_removed(
    hooks: httpx.Client, receiver: Receiver
) -> None:
    made = endpoint(hooks, receiver, "payment.captured", "payment.captured")
    assert made.pop("secret").startswith("whsec_")
    assert made == {
        "id": made["id"],
        "url": receiver.url,
        "events": ["payment.captured"],
        "apiVersion": "2026-11-01",
        "status": "enabled",
        "livemode": False,
        "createdAt": made["createdAt"],
    }
    path = f"/v1/webhook-endpoints/{made['id']}"
    assert hooks.get(path).json() == made
    assert hooks.get("/v1/webhook-endpoints").json() == {
        "data": [made],
        "hasMore": False,
        "nextCursor": None,
    }
    changed = hooks.patch(path, json={"events": ["*"], "description": "shop", "status": "disabled"})
    reason = {"disabledReason": "disabled by the merchant"}
    assert changed.json() == {
        **made, "events": ["*"], "description": "shop", "status": "disabled", **reason,
    }  # fmt: skip
    assert hooks.post(f"{path}/test").json()["code"] == "endpoint_disabled"
    again = hooks.patch(path, json={"description": "", "status": "enabled"}).json()
    assert again == {**made, "events": ["*"]}
    assert hooks.delete(path).status_code == 204
    assert hooks.get(path).status_code == 404


def test_a_secret_is_shown_once_and_rotated_with_an_overlap(
    hooks: httpx.Client, receiver: Receiver
) -> None:
    key = {"Idempotency-Key": f"make-{receiver.port}"}
    body = {"url": receiver.url}
    made = hooks.post("/v1/webhook-endpoints", json=body, headers=key).json()
    replayed = hooks.post("/v1/webhook-endpoints", json=body, headers=key)
    assert replayed.json() == {**made, "secret": None}
    assert replayed.headers["Idempotent-Replayed"] == "true"
    path = f"/v1/webhook-endpoints/{made['id']}"
    rotated = hooks.post(f"{path}/rotate-secret").json()
    assert rotated["secret"] not in {None, made["secret"]}
    assert hooks.post(f"{path}/test").status_code == 202
    until(lambda: receiver.received)
    ping = receiver.received[0]
    for secret in (made["secret"], rotated["secret"]):
        Webhook(secret).verify(ping.content, ping.headers)
    assert (ping.body["type"], ping.body["data"]["object"]["id"]) == ("test.ping", made["id"])
    assert "secret" not in ping.body["payload"]


def test_events_are_pulled_in_the_bytes_that_were_pushed(
    hooks: httpx.Client, receiver: Receiver
) -> None:
    endpoint(hooks, receiver)
    order_id = paid_order(hooks, customerEmail="ada@example.com", metadata={"ü": "é", "n": 1.5})
    until(lambda: "payment.captured" in receiver.types())
    pushed = [one.content for one in receiver.received]
    assert [one.body["sequence"] for one in receiver.received] == [1, 2, 3, 4]
    assert receiver.received[0].body["payload"]["customerEmail"] == "ada@example.com"

    pages: list[bytes] = []
    after, more = "", True
    while more:
        answer = hooks.get("/v1/events", params={"limit": 3} | ({"after": after} if after else {}))
        page = answer.json()
        pages.append(answer.content)
        more, after = page["hasMore"], page["nextCursor"]
    whole = b"".join(pages)
    assert all(content in whole for content in pushed)
    assert [whole.index(content) for content in pushed] == sorted(map(whole.index, pushed))
    assert receiver.received[-1].body["orderId"] == order_id
    unknown = hooks.get("/v1/events", params={"after": "evt_01jd3v9c7xk2m5n8p1q4r7s0tz"})
    assert unknown.status_code == 404


def test_deliveries_are_listed_and_sent_again(hooks: httpx.Client, receiver: Receiver) -> None:
    made = endpoint(hooks, receiver, "payment.captured")
    order_id = paid_order(hooks)
    path = f"/v1/webhook-endpoints/{made['id']}/deliveries"

    def delivered() -> list[Json]:
        return [row for row in hooks.get(path).json()["data"] if row["status"] == "delivered"]

    until(delivered)
    (row,) = hooks.get(path).json()["data"]
    attempt = {"at": row["attempts"][0]["at"], "status": 200, "responsePrefix": "ok"}
    assert row == {
        "id": row["id"],
        "endpointId": made["id"],
        "eventId": receiver.received[0].body["id"],
        "eventType": "payment.captured",
        "orderId": order_id,
        "sequence": 4,
        "status": "delivered",
        "attempts": [{**attempt, "durationMs": row["attempts"][0]["durationMs"]}],
        "nextAttemptAt": None,
        "deliveredAt": row["deliveredAt"],
        "livemode": False,
        "createdAt": row["createdAt"],
    }
    assert hooks.post(f"{path}/{row['id']}/redeliver").status_code == 200
    until(lambda: len(receiver.received) == 2)
    assert hooks.post(f"/api/webhooks/{row['id']}/retry").status_code == 200
    until(lambda: len(receiver.received) == 3)
    assert len({(one.content, one.headers["webhook-id"]) for one in receiver.received}) == 1

    until(delivered)
    listed = hooks.get("/api/webhooks", params={"status": "delivered", "limit": 1}).json()
    (shown,) = listed["data"]
    assert (shown["id"], shown["attempts"], shown["orderId"]) == (row["id"], 3, order_id)
    assert set(shown) == {
        "id", "orderId", "eventType", "endpointId", "status", "attempts", "lastAttemptAt",
        "nextAttemptAt", "deliveredAt", "livemode", "createdAt",
    }  # fmt: skip
    assert listed["pagination"]["limit"] == 1


def test_what_was_missed_while_disabled_is_recovered(
    hooks: httpx.Client, receiver: Receiver
) -> None:
    made = endpoint(hooks, receiver, "order.created")
    path = f"/v1/webhook-endpoints/{made['id']}"
    hooks.patch(path, json={"status": "disabled"})
    hooks.post("/v1/orders", json={"amount": 1000})
    hooks.patch(path, json={"status": "enabled"})
    hooks.post("/v1/orders", json={"amount": 2000})
    until(lambda: receiver.received)
    assert [one.body["amount"] for one in receiver.received] == [2000]
    recovered = hooks.post(f"{path}/recover", json={"since": made["createdAt"]})
    assert recovered.json() == {"scheduled": 1}
    until(lambda: len(receiver.received) == 2)
    assert receiver.received[1].body["amount"] == 1000


def test_one_key_sends_a_delivery_again_once(hooks: httpx.Client, receiver: Receiver) -> None:
    made = endpoint(hooks, receiver, "order.created")
    hooks.post("/v1/orders", json={"amount": 1000})
    path = f"/v1/webhook-endpoints/{made['id']}/deliveries"
    key = {"Idempotency-Key": "again"}

    def shown() -> Json:
        return next(iter(hooks.get(path).json()["data"]), {})

    until(lambda: shown().get("status") == "delivered")
    for sent, way in enumerate((f"{path}/{shown()['id']}/redeliver",
                                f"/api/webhooks/{shown()['id']}/retry"), start=2):  # fmt: skip
        first = hooks.post(way, headers=key)
        assert (first.status_code, first.json()["status"]) == (200, "pending")
        assert "idempotent-replayed" not in first.headers
        until(lambda sent=sent: len(receiver.received) == sent)
        until(lambda: shown()["status"] == "delivered")
        before = shown()
        repeated = hooks.post(way, headers=key, json={})
        assert (repeated.status_code, repeated.content) == (200, first.content)
        assert repeated.headers["idempotent-replayed"] == "true"
        assert shown() == before
    assert len(receiver.received) == 3


def test_one_key_recovers_once(hooks: httpx.Client, receiver: Receiver) -> None:
    made = endpoint(hooks, receiver, "order.created")
    path = f"/v1/webhook-endpoints/{made['id']}"
    body = {"since": made["createdAt"]}
    key = {"Idempotency-Key": "recover"}

    def missed() -> None:
        hooks.patch(path, json={"status": "disabled"})
        hooks.post("/v1/orders", json={"amount": 1000})
        hooks.patch(path, json={"status": "enabled"})
        # Behind an event that is delivered, the one before is in the read model as well.
        before = len(receiver.received)
        hooks.post("/v1/orders", json={"amount": 2000})
        until(lambda: len(receiver.received) > before)

    missed()
    assert hooks.post(f"{path}/recover", json=body, headers=key).json() == {"scheduled": 1}
    until(lambda: len(receiver.received) == 2)
    missed()
    again = hooks.post(f"{path}/recover", json=body, headers=key)
    assert (again.json(), again.headers["idempotent-replayed"]) == ({"scheduled": 1}, "true")
    assert len(hooks.get(f"{path}/deliveries").json()["data"]) == 3
    other = {"since": made["createdAt"], "until": "2999-01-01T00:00:00Z"}
    reused = hooks.post(f"{path}/recover", json=other, headers=key)
    is_problem(reused, 422, "idempotency_key_reused")
    assert hooks.post(f"{path}/recover", json=body).json() == {"scheduled": 1}


@pytest.mark.parametrize(
    "url",
    [
        "http://10.0.0.1/", "http://[::ffff:10.0.0.1]/", "http://169.254.169.254/latest",
        "http://user:word@example.com/", "ftp://example.com/", "http://localhost.:70000/",
        "javascript:alert(1)", "http://0x0a.0.0.1/", "http://0/",
    ],
)  # fmt: skip
def test_a_url_that_may_not_be_reached_is_refused(hooks: httpx.Client, url: str) -> None:
    answer = hooks.post("/v1/webhook-endpoints", json={"url": url})
    assert (answer.status_code, answer.json()["code"]) == (400, "url_not_allowed")


def test_strangers_other_scopes_and_unknown_ids_get_nothing(
    service: Service, hooks: httpx.Client, client: httpx.Client, receiver: Receiver
) -> None:
    made = endpoint(hooks, receiver)
    path = f"/v1/webhook-endpoints/{made['id']}"
    assert client.get(path).json()["code"] == "missing_scope"
    stranger, _ = service.key(service.merchant(), scopes=("webhooks:write",))
    with service.client(stranger) as other:
        for method, url in (
            ("GET", path), ("DELETE", path), ("POST", f"{path}/rotate-secret"),
            ("POST", f"{path}/test"), ("GET", f"{path}/deliveries"),
        ):  # fmt: skip
            assert other.request(method, url).status_code == 404
    assert hooks.get("/v1/webhook-endpoints/whe_nonsense").status_code == 404
    live = hooks.post("/v1/webhook-endpoints", json={"url": receiver.url, "testMode": False})
    assert live.json()["code"] == "missing_scope"


def test_there_are_at_most_sixteen_endpoints(service: Service, receiver: Receiver) -> None:
    key, _ = service.key(service.merchant(), scopes=("webhooks:write",))
    with service.client(key) as http:
        made = [http.post("/v1/webhook-endpoints", json={"url": receiver.url}) for _ in range(17)]
        assert [answer.status_code for answer in made] == [201] * 16 + [422]
        assert made[-1].json()["code"] == "endpoint_limit"
        first = http.get("/v1/webhook-endpoints", params={"limit": 10}).json()
        after = {"limit": 10, "after": first["nextCursor"]}
        second = http.get("/v1/webhook-endpoints", params=after).json()
    assert (len(first["data"]), len(second["data"]), second["hasMore"]) == (10, 6, False)
