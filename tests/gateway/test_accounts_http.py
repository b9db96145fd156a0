"""Accounts over HTTP: register, log in and out, and what a token is good for."""

import asyncio
import itertools
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import jwt
import psycopg
import pytest

from adapters.access_tokens import LIFE_S
from adapters.logins import expire_sessions
from adapters.migrations import OPTIONS
from domain.events import MerchantRegistered
from tests.gateway.conftest import Service
from tests.gateway.problems import is_problem

PASSWORD = "correct horse battery"
_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def nobody(service: Service) -> Iterator[httpx.Client]:
    with service.client(None) as http:
        yield http


def account(**fields: Any) -> dict[str, Any]:
    email = f"owner{next(_numbers)}@tea.example"
    return {"name": "Tea shop", "email": email, "password": PASSWORD, **fields}


def registered(nobody: httpx.Client, **fields: Any) -> dict[str, Any]:
    answer = nobody.post("/api/auth/register", json=account(**fields))
    assert answer.status_code == 201, answer.text
    return answer.json()


def bearer(token: str, **more: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}", **more}


def test_registering_answers_a_pair_of_tokens_and_the_merchant(nobody: httpx.Client) -> None:
    asked = account()
    answer = nobody.post("/api/auth/register", json=asked)
    assert answer.status_code == 201
    made = answer.json()
    assert set(made) == {"token", "refreshToken", "merchant"}
    merchant = made["merchant"]
    assert set(merchant) == {"id", "name", "email", "webhookUrl", "createdAt", "updatedAt"}
    assert (merchant["name"], merchant["email"]) == (asked["name"], asked["email"])
    assert merchant["webhookUrl"] is None
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", "x"), ("name", "x" * 256), ("name", None), ("email", "nobody"), ("email", ""),
        ("email", "a@b@c"), ("password", "x" * 7), ("password", "x" * 129), ("password", 12345678),
        ("nmae", "x"),
    ],
)  # fmt: skip
def test_what_is_malformed_is_a_400_that_names_the_field(
    nobody: httpx.Client, field: str, value: Any
) -> None:
    problem = is_problem(
        nobody.post("/api/auth/register", json=account(**{field: value})), 400, "invalid_request"
    )
    assert problem["errors"][0]["field"] == field
    assert PASSWORD not in str(problem)


def test_an_address_has_one_account_however_it_is_cased(nobody: httpx.Client) -> None:
    made = registered(nobody, email="Jane.Doe@Tea.example")
    again = nobody.post("/api/auth/register", json=account(email="jane.doe@tea.EXAMPLE"))
    is_problem(again, 400, "email_exists")
    login = {"email": "JANE.DOE@tea.example", "password": PASSWORD}
    answer = nobody.post("/api/auth/login", json=login)
    assert answer.json()["merchant"] == made["merchant"]


def test_of_registrations_at_the_same_instant_one_gets_the_address(service: Service) -> None:
    asked = account()

    def register(_: int) -> int:
        with service.client(None) as http:
            return http.post("/api/auth/register", json=asked).status_code

    with ThreadPoolExecutor(4) as threads:
        statuses = sorted(threads.map(register, range(4)))
    assert statuses == [201, 400, 400, 400]


def test_six_registrations_at_the_same_instant_from_one_host_succeed(service: Service) -> None:
    def register(asked: dict[str, Any]) -> int:
        with service.client(None) as http:
            return http.post("/api/auth/register", json=asked).status_code

    with ThreadPoolExecutor(6) as threads:
        statuses = list(threads.map(register, [account() for _ in range(6)]))
    assert statuses == [201] * 6


def test_s06_a_wrong_password_and_an_unknown_address_look_alike(
    nobody: httpx.Client, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    email = registered(nobody)["merchant"]["email"]
    passwords = service.app.logins._passwords
    verified: list[str] = []
    verify = type(passwords._hasher).verify

    def counting(self: Any, hashed: str, password: str) -> bool:
        verified.append(hashed)
        return verify(self, hashed, password)

    monkeypatch.setattr(type(passwords._hasher), "verify", counting)
    problems = [
        is_problem(
            nobody.post("/api/auth/login", json={"email": given, "password": "wrong password"}),
            401,
            "invalid_credentials",
        )
        for given in (email, "nobody@tea.example")
    ]
    assert problems[0]["message"] == problems[1]["message"]
    # As slow, because as much is computed: one verification each, under the same parameters.
    assert len(verified) == 2
    assert verified[0].split("$")[:4] == verified[1].split("$")[:4]


def test_neither_password_nor_address_is_in_the_log_or_in_the_clear(
    nobody: httpx.Client, service: Service
) -> None:
    made = registered(nobody)
    rows = service.call(service.app.ports.store.load([made["merchant"]["id"]]))
    assert isinstance(rows[made["merchant"]["id"]][0].data, MerchantRegistered)
    assert rows[made["merchant"]["id"]][0].metadata.actor.kind == "user"
    email = made["merchant"]["email"]
    with psycopg.connect(service.database_url, options=OPTIONS) as db:
        for query in (
            "SELECT state FROM events", "SELECT value FROM claims", "SELECT wrapped FROM data_keys",
            "SELECT password_hash FROM logins", "SELECT token_hash FROM refresh_tokens",
            "SELECT key_hash FROM api_keys", "SELECT bucket FROM rate_limits",
        ):  # fmt: skip
            text = str(db.execute(query).fetchall())
            for secret in (PASSWORD, email, made["token"], made["refreshToken"]):
                assert secret not in text
        hashes = [h for (h,) in db.execute("SELECT password_hash FROM logins").fetchall()]
    assert hashes
    assert all(h.startswith("$argon2id$") for h in hashes)


def test_a_token_reads_and_changes_the_merchant_under_both_paths(nobody: httpx.Client) -> None:
    made = registered(nobody)
    headers = bearer(made["token"])
    for path in ("/api/me", "/api/merchants/me"):
        assert nobody.get(path, headers=headers).json() == made["merchant"]
    changed = nobody.put("/api/me", json={"name": "Coffee shop"}, headers=headers)
    assert changed.status_code == 200
    assert changed.json()["name"] == "Coffee shop"
    assert changed.json()["email"] == made["merchant"]["email"]
    assert nobody.get("/api/merchants/me", headers=headers).json() == changed.json()
    assert nobody.put("/api/merchants/me", json={}, headers=headers).json() == changed.json()
    is_problem(nobody.put("/api/me", json={"email": "x"}, headers=headers), 400, "invalid_request")


def test_the_webhook_url_stands_for_one_endpoint_of_the_mode_that_gets_every_event(
    nobody: httpx.Client,
) -> None:
    headers = bearer(registered(nobody)["token"])
    live = {**headers, "X-Loop-Mode": "live"}

    def endpoints() -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = nobody.get("/v1/webhook-endpoints", headers=headers).json()[
            "data"
        ]
        return [{name: e[name] for name in ("url", "events", "livemode")} for e in found]

    def put(url: str | None, headers: dict[str, str] = headers) -> Any:
        answer = nobody.put("/api/me", json={"webhookUrl": url}, headers=headers)
        assert answer.status_code == 200, answer.text
        return answer.json()["webhookUrl"]

    first, second = "https://hooks.tea.example/1", "https://hooks.tea.example/2"
    assert put(first) == first
    assert nobody.get("/api/me", headers=headers).json()["webhookUrl"] == first
    assert nobody.get("/api/me", headers=live).json()["webhookUrl"] is None
    assert put(second) == second
    assert endpoints() == [{"url": second, "events": ["*"], "livemode": False}]
    assert put(first, live) == first
    assert [e["livemode"] for e in endpoints()] == [True, False]
    assert put(None) is None
    assert endpoints() == [{"url": first, "events": ["*"], "livemode": True}]
    assert put(second) == second
    inside = {"webhookUrl": "http://169.254.169.254/latest"}
    is_problem(nobody.put("/api/me", json=inside, headers=headers), 400, "url_not_allowed")
    wrong = {"webhookUrl": "javascript:alert(1)"}
    is_problem(nobody.put("/api/me", json=wrong, headers=headers), 400, "invalid_request")


def test_a_token_has_every_scope_and_picks_the_mode_by_a_header(nobody: httpx.Client) -> None:
    token = registered(nobody)["token"]
    for path in ("/v1/orders", "/v1/balances", "/api/api-keys"):
        assert nobody.get(path, headers=bearer(token)).status_code == 200
    for mode, live in (("test", False), ("live", True)):
        headers = bearer(token, **{"X-Loop-Mode": mode})
        order = nobody.post("/v1/orders", json={"amount": 1}, headers=headers).json()
        assert order["livemode"] is live
        other = bearer(token, **{"X-Loop-Mode": "test" if live else "live"})
        is_problem(nobody.get(f"/v1/orders/{order['id']}", headers=other), 404, "not_found")
    for wrong in ("", "Live", "both"):
        answer = nobody.get("/v1/orders", headers=bearer(token, **{"X-Loop-Mode": wrong}))
        is_problem(answer, 400, "invalid_request")


def test_a_key_has_its_mode_whatever_the_header_says(client: httpx.Client) -> None:
    order = client.post("/v1/orders", json={"amount": 1}, headers={"X-Loop-Mode": "live"}).json()
    assert order["livemode"] is False
    for wrong in ("", "both"):
        answer = client.get("/v1/orders", headers={"X-Loop-Mode": wrong})
        is_problem(answer, 400, "invalid_request")


def test_what_a_token_makes_is_the_users(nobody: httpx.Client, service: Service) -> None:
    made = registered(nobody)
    order = nobody.post("/v1/orders", json={"amount": 1}, headers=bearer(made["token"])).json()
    rows = service.call(service.app.ports.store.load([order["id"]]))[order["id"]]
    actor = rows[0].metadata.actor
    assert (actor.kind, actor.id) == ("user", made["merchant"]["id"])


def forged(service: Service, token: str, **claims: Any) -> str:
    """The same token with other claims, signed with the right key."""
    said = jwt.decode(token, options={"verify_signature": False})
    said = {name: value for name, value in {**said, **claims}.items() if value is not None}
    return jwt.encode(said, service.app.tokens._key, algorithm="HS256")


def test_tokens_that_are_not_ours_are_a_401(nobody: httpx.Client, service: Service) -> None:
    made, other = registered(nobody), registered(nobody)
    token = made["token"]
    said = jwt.decode(token, options={"verify_signature": False})
    assert said["exp"] - said["iat"] == LIFE_S
    head, body, signature = token.split(".")
    wrong = [
        "x", "a.b.c", f"{head}.{body}.", f"{head}.{body}.{signature[:-4]}AAAA",
        jwt.encode(said, "", algorithm="none"),
        jwt.encode(said, "x" * 32, algorithm="HS256"),
        jwt.encode(said, "x" * 64, algorithm="HS512"),
        jwt.encode(said, service.app.tokens._key * 2, algorithm="HS384"),
        forged(service, token, exp=int(time.time()) - 1),
        forged(service, token, iss="else"),
        forged(service, token, aud="else"),
        forged(service, token, aud=["loop-api", "else"]),
        forged(service, token, sid="ses_0"),
        forged(service, token, sub=other["merchant"]["id"]),
        *(forged(service, token, **{name: None}) for name in ("exp", "aud", "iss", "sid", "jti")),
    ]  # fmt: skip
    for given in wrong:
        answer = nobody.get("/api/me", headers=bearer(given))
        is_problem(answer, 401, "invalid_token")
        assert "Bearer" in answer.headers["www-authenticate"]
    assert nobody.get("/api/me", headers=bearer(forged(service, token))).status_code == 200
    old = service.app.tokens.signed(said["sub"], said["sid"], now=time.time() - LIFE_S - 1)
    is_problem(nobody.get("/api/me", headers=bearer(old)), 401, "invalid_token")


def test_credentials_that_are_empty_or_doubled(nobody: httpx.Client, api_key: str) -> None:
    token = registered(nobody)["token"]
    for headers in (
        {"Authorization": ""}, {"X-API-Key": ""},
        {"X-API-Key": api_key, **bearer(token)}, {"X-API-Key": api_key, "Authorization": ""},
    ):  # fmt: skip
        is_problem(nobody.get("/v1/orders", headers=headers), 400, "invalid_request")
    for given in ("Basic eDp5", "Bearer", f"Token {token}", f"Bearer {token} {token}"):
        answer = nobody.get("/v1/orders", headers={"Authorization": given})
        is_problem(answer, 401, "invalid_token")
    answer = nobody.get("/v1/orders", params={"token": token, "access_token": token})
    is_problem(answer, 401, "missing_credentials")


def test_a_refresh_token_is_good_once_and_its_reuse_ends_the_session(
    nobody: httpx.Client,
) -> None:
    made = registered(nobody)
    first = {"refreshToken": made["refreshToken"]}
    answer = nobody.post("/api/auth/refresh", json=first)
    assert answer.status_code == 200
    pair = answer.json()
    assert set(pair) == {"token", "refreshToken"}
    assert pair["refreshToken"] != made["refreshToken"]
    for token in (made["token"], pair["token"]):
        assert nobody.get("/api/me", headers=bearer(token)).status_code == 200
    is_problem(nobody.post("/api/auth/refresh", json=first), 401, "invalid_refresh_token")
    second = {"refreshToken": pair["refreshToken"]}
    is_problem(nobody.post("/api/auth/refresh", json=second), 401, "invalid_refresh_token")
    for token in (made["token"], pair["token"]):
        is_problem(nobody.get("/api/me", headers=bearer(token)), 401, "invalid_token")
    login = {"email": made["merchant"]["email"], "password": PASSWORD}
    assert nobody.post("/api/auth/login", json=login).status_code == 200


def test_of_two_refreshes_at_once_one_gets_a_pair_and_then_nobody_has_one(
    nobody: httpx.Client, service: Service
) -> None:
    token = registered(nobody)["refreshToken"]

    async def both() -> list[Any]:
        return await asyncio.gather(*(service.app.logins.renewed(token) for _ in range(2)))

    pairs = [pair for pair in service.call(both()) if pair is not None]
    assert len(pairs) == 1
    is_problem(
        nobody.post("/api/auth/refresh", json={"refreshToken": pairs[0].refresh}),
        401,
        "invalid_refresh_token",
    )


def test_logging_out_ends_the_session_at_once_and_no_other(nobody: httpx.Client) -> None:
    made = registered(nobody)
    login = {"email": made["merchant"]["email"], "password": PASSWORD}
    other = nobody.post("/api/auth/login", json=login).json()
    order = nobody.post("/v1/orders", json={"amount": 1}, headers=bearer(made["token"])).json()
    out = nobody.post("/api/auth/logout", json={"refreshToken": made["refreshToken"]})
    assert (out.status_code, out.content) == (204, b"")
    for method, path, body in (
        ("GET", "/api/me", None), ("GET", "/v1/orders", None), ("GET", "/v1/balances", None),
        ("POST", "/v1/orders", {"amount": 1}), ("GET", f"/v1/orders/{order['id']}", None),
    ):  # fmt: skip
        answer = nobody.request(method, path, json=body, headers=bearer(made["token"]))
        is_problem(answer, 401, "invalid_token")
    refreshed = nobody.post("/api/auth/refresh", json={"refreshToken": made["refreshToken"]})
    is_problem(refreshed, 401, "invalid_refresh_token")
    assert nobody.get("/api/me", headers=bearer(other["token"])).status_code == 200
    again = nobody.post("/api/auth/logout", json={"refreshToken": "rt_" + "x" * 43})
    assert again.status_code == 204


def test_a_session_that_has_run_out_is_over(nobody: httpx.Client, service: Service) -> None:
    made = registered(nobody)
    session = jwt.decode(made["token"], options={"verify_signature": False})["sid"]
    with psycopg.connect(service.database_url, autocommit=True, options=OPTIONS) as db:
        db.execute("UPDATE api_keys SET expires_at = now() WHERE key_id = %s", [session])
    is_problem(nobody.get("/api/me", headers=bearer(made["token"])), 401, "invalid_token")
    refreshed = nobody.post("/api/auth/refresh", json={"refreshToken": made["refreshToken"]})
    is_problem(refreshed, 401, "invalid_refresh_token")


def test_sessions_that_are_over_are_thrown_away_and_keys_are_not(
    nobody: httpx.Client, service: Service
) -> None:
    over, on = registered(nobody), registered(nobody)
    sessions = [
        jwt.decode(x["token"], options={"verify_signature": False})["sid"] for x in (over, on)
    ]
    key = nobody.post("/api/api-keys", json={"name": "x"}, headers=bearer(on["token"])).json()
    ids = [*sessions, key["apiKey"]["id"]]
    with psycopg.connect(service.database_url, autocommit=True, options=OPTIONS) as db:
        old = "UPDATE api_keys SET expires_at = now() - interval '1 s' WHERE key_id = ANY(%s)"
        db.execute(old, [[sessions[0], key["apiKey"]["id"]]])
        service.call(expire_sessions(service.app.pool))
        left = "SELECT key_id FROM api_keys WHERE key_id = ANY(%s) ORDER BY key_id"
        assert [row[0] for row in db.execute(left, [ids]).fetchall()] == sorted(ids[1:])
    is_problem(nobody.get("/api/me", headers=bearer(over["token"])), 401, "invalid_token")
    assert nobody.get("/api/me", headers=bearer(on["token"])).status_code == 200


def test_s07_a_registration_with_card_data_is_refused(nobody: httpx.Client) -> None:
    for more in ({"number": "4242424242424242"}, {"card": {"x": "4242424242424242"}}):
        answer = nobody.post("/api/auth/register", json=account(**more))
        is_problem(answer, 400, "card_data_refused")
        assert "4242" not in answer.text


def test_a_key_without_the_scope_reads_no_profile(client: httpx.Client) -> None:
    is_problem(client.get("/api/me"), 403, "missing_scope")
