"""API keys over HTTP: who makes which, what is shown of them, and when they end."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import psycopg
import pytest

from adapters.migrations import OPTIONS
from commands.caller import Caller
from tests.gateway.conftest import Service
from tests.gateway.problems import is_problem

ADMIN = ("account:admin", "payments:read")


@pytest.fixture(scope="module")
def admin(service: Service, merchant: Caller) -> Iterator[httpx.Client]:
    with service.client(service.key(merchant, scopes=ADMIN)[0]) as http:
        yield http


@pytest.fixture(scope="module")
def owner(service: Service) -> Iterator[httpx.Client]:
    """Somebody who has logged in, at a merchant of their own."""
    with service.client(None) as http:
        account = {"name": "Tea shop", "email": "keys@tea.example", "password": "x" * 20}
        token = http.post("/api/auth/register", json=account).json()["token"]
        http.headers["Authorization"] = f"Bearer {token}"
        yield http


def soon(**span: float) -> str:
    return (datetime.now(UTC) + timedelta(**span)).isoformat()


def made(client: httpx.Client, **fields: Any) -> dict[str, Any]:
    answer = client.post("/api/api-keys", json={"name": "Server", **fields})
    assert answer.status_code == 201, answer.text
    return answer.json()


def test_a_key_is_shown_with_its_secret_once_and_works(
    owner: httpx.Client, service: Service
) -> None:
    new = made(owner)
    assert set(new) == {"apiKey", "secret"}
    key = new["apiKey"]
    assert set(key) == {
        "id", "name", "prefix", "scopes", "lastUsedAt", "expiresAt", "createdAt", "livemode",
    }  # fmt: skip
    assert key["scopes"] == ["payments:write", "payments:read"]
    assert (key["lastUsedAt"], key["expiresAt"], key["livemode"]) == (None, None, False)
    assert new["secret"].startswith(key["prefix"])
    with service.client(new["secret"]) as client:
        assert client.post("/v1/orders", json={"amount": 1}).status_code == 201
    assert key["id"] in {shown["id"] for shown in owner.get("/api/api-keys").json()}
    assert new["secret"] not in owner.get("/api/api-keys").text


def test_the_list_is_bare_newest_first_and_says_when_a_key_was_used(
    owner: httpx.Client, service: Service
) -> None:
    first, second = made(owner, name="first"), made(owner, name="second", mode="live")
    with service.client(first["secret"]) as client:
        client.get("/v1/orders")
    listed = owner.get("/api/api-keys").json()
    assert isinstance(listed, list)
    assert [key["name"] for key in listed[:2]] == ["second", "first"]
    assert [key["livemode"] for key in listed[:2]] == [True, False]
    assert second["secret"].startswith("sk_live_")
    assert listed[0]["lastUsedAt"] is None


def test_s14_last_use_is_written_once_a_minute_by_all_processes_together(
    owner: httpx.Client, service: Service
) -> None:
    new = made(owner)

    def use() -> str:
        service.app.api_keys._used.clear()  # as another process, which has not noted it yet
        with service.client(new["secret"]) as client:
            assert client.get("/v1/orders").status_code == 200

        async def written() -> None:
            for task in tuple(service.app.api_keys._tasks):
                await task

        service.call(written())
        shown = {key["id"]: key for key in owner.get("/api/api-keys").json()}
        at: str = shown[new["apiKey"]["id"]]["lastUsedAt"]
        return at

    first = use()
    assert first is not None
    assert use() == first
    with psycopg.connect(service.database_url, autocommit=True, options=OPTIONS) as db:
        db.execute("UPDATE api_keys SET last_used_at = last_used_at - interval '61 s'")
    assert use() > first


def test_a_repetition_is_answered_without_the_secret(owner: httpx.Client) -> None:
    headers = {"Idempotency-Key": "key-1"}
    body = {"name": "Server"}
    first = owner.post("/api/api-keys", json=body, headers=headers)
    again = owner.post("/api/api-keys", json=body, headers=headers)
    assert (first.status_code, again.status_code) == (201, 201)
    assert "idempotent-replayed" not in first.headers
    assert again.headers["idempotent-replayed"] == "true"
    assert again.json() == {"apiKey": first.json()["apiKey"], "secret": None}
    other = owner.post("/api/api-keys", json={"name": "Else"}, headers=headers)
    is_problem(other, 422, "idempotency_key_reused")


def test_s03_a_key_makes_no_key_that_can_do_more(admin: httpx.Client, client: httpx.Client) -> None:
    assert made(admin, scopes=["payments:read"])["apiKey"]["scopes"] == ["payments:read"]
    for wanted in (["payments:write"], ["payments:read", "ledger:read"], ["webhooks:write"]):
        answer = admin.post("/api/api-keys", json={"name": "More", "scopes": wanted})
        is_problem(answer, 403, "missing_scope")
    live = {"name": "Live", "scopes": ["payments:read"], "mode": "live"}
    is_problem(admin.post("/api/api-keys", json=live), 403, "missing_scope")
    for method, path in (("GET", ""), ("POST", ""), ("DELETE", "/key_01jd3v8x2sfy3t6q9m4n7p0r5w")):
        is_problem(client.request(method, f"/api/api-keys{path}"), 403, "missing_scope")


def test_s04_a_revoked_key_reads_and_writes_nothing_from_then_on(
    owner: httpx.Client, service: Service
) -> None:
    new = made(owner, scopes=["payments:write", "payments:read", "ledger:read"])
    path = f"/api/api-keys/{new['apiKey']['id']}"
    with service.client(new["secret"]) as client:
        order = client.post("/v1/orders", json={"amount": 1}).json()
        revoked = owner.delete(path)
        assert (revoked.status_code, revoked.content) == (204, b"")
        for place in ("/v1/orders", f"/v1/orders/{order['id']}", "/v1/balances"):
            is_problem(client.get(place), 401, "invalid_api_key")
        is_problem(client.post("/v1/orders", json={"amount": 1}), 401, "invalid_api_key")
    assert owner.delete(path).status_code == 204
    assert new["apiKey"]["id"] not in {key["id"] for key in owner.get("/api/api-keys").json()}


def test_an_expired_key_does_not_work_and_is_still_listed(
    owner: httpx.Client, service: Service
) -> None:
    new = made(owner, expiresAt=soon(hours=1))
    assert new["apiKey"]["expiresAt"].endswith("Z")
    with service.client(new["secret"]) as client:
        assert client.get("/v1/orders").status_code == 200
        with psycopg.connect(service.database_url, autocommit=True, options=OPTIONS) as db:
            query = "UPDATE api_keys SET expires_at = clock_timestamp() WHERE key_id = %s"
            db.execute(query, [new["apiKey"]["id"]])
        is_problem(client.get("/v1/orders"), 401, "invalid_api_key")
        is_problem(client.post("/v1/orders", json={"amount": 1}), 401, "invalid_api_key")
    assert new["apiKey"]["id"] in {key["id"] for key in owner.get("/api/api-keys").json()}


def test_keys_of_others_do_not_exist(owner: httpx.Client, admin: httpx.Client) -> None:
    new = made(owner)
    for key_id in (new["apiKey"]["id"], "key_01jd3v8x2sfy3t6q9m4n7p0r5w", "x"):
        is_problem(admin.delete(f"/api/api-keys/{key_id}"), 404, "not_found")
    assert new["apiKey"]["id"] not in {key["id"] for key in admin.get("/api/api-keys").json()}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", ""), ("name", "x" * 256), ("scopes", []), ("scopes", ["all"]), ("mode", "both"),
        ("expiresAt", "tomorrow"), ("expiresAt", "2020-01-01T00:00:00Z"), ("expires", None),
    ],
)  # fmt: skip
def test_what_is_malformed_is_a_400(owner: httpx.Client, field: str, value: Any) -> None:
    answer = owner.post("/api/api-keys", json={"name": "Server", field: value})
    problem = is_problem(answer, 400, "invalid_request")
    assert problem["errors"][0]["field"].startswith(field)
