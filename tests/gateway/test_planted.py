"""S07, S20: secrets and card numbers that went in through any door are found nowhere afterwards.

A whole `loop up` with every line logged and every span written; each door gets a text of its own,
so that what is found says how it came in.
"""

import contextlib
import hashlib
import hmac
import itertools
import json
import secrets
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import httpx
import pytest

from gateway.card_data import holds_pan
from tests.gateway.loops import Up, folder, loop, up
from tests.searching import forms, stored, tables

Json = dict[str, Any]

WAIT: Final = {"Prefer": "wait=20"}
HEADERS: Final = (
    "Idempotency-Key", "X-Correlation-ID", "X-Request-ID", "Prefer", "traceparent", "User-Agent",
    "X-Loop-Mode", "X-API-Key", "Authorization",
)  # fmt: skip
FOUND: Final = "what-is-no-secret-8812"
_numbers = itertools.count(1)


def card() -> str:
    """A card number that passes Luhn and was never given before."""
    digits = f"4{next(_numbers):02d}{secrets.randbelow(10**12):012d}"
    return next(pan for n in range(10) if holds_pan(pan := f"{digits}{n}"))


def word(prefix: str = "") -> str:
    return prefix + secrets.token_urlsafe(24).replace("-", "x").replace("_", "y")


class Planter:
    """Somebody who puts secrets into every door; `planted` says by which each came in."""

    def __init__(self, running: Up, stack: contextlib.ExitStack) -> None:
        self.running, self._stack = running, stack
        self.planted: dict[str, str] = {}
        self.statuses: dict[str, int] = {}
        self.anyone = self._client({})
        self.machine = self._client(running.headers)

    def _client(self, headers: dict[str, str]) -> httpx.Client:
        made = httpx.Client(base_url=self.running.url, headers=headers, timeout=60, trust_env=False)
        return self._stack.enter_context(made)

    def plant(self, door: str, text: str) -> str:
        self.planted[text] = door
        return text

    def people(self) -> None:
        """Passwords, tokens of sessions, API keys."""
        email, password = "planter@planted.example", self.plant("password", word())
        asked = {"name": "Planter", "email": email, "password": password}
        made = self.anyone.post("/api/auth/register", json=asked).json()
        for wrong in (word(), f"{password}x"):
            body = {"email": email, "password": self.plant("wrong password", wrong)}
            assert self.anyone.post("/api/auth/login", json=body).status_code == 401
        self.anyone.post("/api/auth/login", json=self.plant("body that is text", word()))
        for again in range(2):
            made |= self.anyone.post(
                "/api/auth/refresh",
                json={"refreshToken": self.plant(f"refresh token {again}", made["refreshToken"])},
            ).json()
            self.plant("access token", made["token"])
        self.plant("refresh token", made["refreshToken"])
        self.person = self._client({"Authorization": f"Bearer {made['token']}"})
        for scheme, token in (("Bearer", word()), ("Basic", word()), ("Bearer", word("sk_test_"))):
            header = {"Authorization": f"{scheme} {self.plant('bad authorization', token)}"}
            assert self.anyone.get("/v1/orders", headers=header).status_code == 401
        key = self.person.post("/api/api-keys", json={"name": FOUND}).json()["secret"]
        self.machine_key = self.plant("API key", key)
        for unknown in (word("sk_test_"), word("sk_live_")):
            header = {"X-API-Key": self.plant("unknown API key", unknown)}
            assert self.anyone.get("/v1/orders", headers=header).status_code == 401
        self.anyone.get(f"/v1/orders?apiKey={self.plant('key in the query', word('sk_test_'))}")
        self.anyone.get(f"/v1/{self.plant('key in the path', word('sk_test_'))}")

    def processors(self) -> None:
        """Credentials of processors, taken and refused; webhooks' signatures and bodies."""
        for door, method in (("", "POST"), (" changed", "PATCH")):
            for name, credentials in (
                ("stripe", {"secretKey": word("sk_test_"), "webhookSecret": word("whsec_")}),
                ("razorpay", {"keyId": "rzp_test_planter", "keySecret": word()}),
            ):
                for field, text in credentials.items():
                    if field != "keyId":
                        self.plant(f"{name} {field}{door}", text)
                body = {"credentials": credentials}
                answer = self.person.request(method, f"/api/processors/{name}", json=body)
                assert answer.is_success, answer.text
        refused = {"secretKey": self.plant("refused secretKey", word("rk_live_"))}
        self.person.post("/api/processors/stripe", json={"credentials": refused})
        typo = {"secretkey": self.plant("misspelt secretKey", word("sk_test_"))}
        self.person.post("/api/processors/stripe", json={"credentials": typo})
        for dialect in ("stripe", "razorpay"):
            merchant = self.running.ready["merchantId"]
            self._webhook(dialect, f"/webhooks/{dialect}/{merchant}")
            self._webhook(dialect, f"/webhooks/{dialect}")

    def _webhook(self, dialect: str, path: str) -> None:
        pan, secret = self.plant("webhook body", card()), self.plant("client secret", word("pi_"))
        thing = {"id": "pi_planted", "client_secret": secret, "card": {"number": pan}}
        event = {"id": "evt_planted", "type": "payment_intent.succeeded", "data": {"object": thing}}
        body = json.dumps(event).encode()
        sign = self.plant("webhook signature", hmac.new(b"x", body, hashlib.sha256).hexdigest())
        headers = {"Stripe-Signature": f"t={int(time.time())},v1={sign}"}
        if dialect == "razorpay":
            headers = {"X-Razorpay-Signature": sign}
        assert self.anyone.post(path, content=body, headers=headers).status_code == 400

    def verbs(self, folder: Path) -> None:
        """The same by the command line, from a file and from the environment."""
        body = {"secret_key": word("sk_test_"), "webhook_secret": word("whsec_")}
        for name, text in body.items():
            self.plant(f"verb {name}", text)
        path = folder / "credentials.json"
        path.write_text(json.dumps(body))
        done = loop("processors", "set", "stripe", "--merchant", self.running.ready["merchantId"],
                    "--from", path, "--data", self.running.ready["data"], "--json")  # fmt: skip
        assert done.returncode == 0, done.stderr
        path.unlink()
        self.said = done.stdout + done.stderr
        done = loop("keys", "create", "--data", self.running.ready["data"], "--json")
        self.plant("key of a verb", json.loads(done.stdout)["apiKey"])

    def webhooks(self) -> None:
        """The signing secrets of endpoints."""
        http = self.person
        made = http.post("/v1/webhook-endpoints", json={"url": "http://127.0.0.1:9/hooks"}).json()
        again = http.post(f"/v1/webhook-endpoints/{made['id']}/rotate-secret", json={}).json()
        for one in (made, again):
            self.plant("endpoint secret", one["secret"])
            self.plant("endpoint secret, raw", one["secret"].removeprefix("whsec_"))

    def cards(self) -> None:
        """Card numbers in every field, header and parameter."""
        order = self.machine.post("/v1/orders", json={"amount": 100, "description": FOUND}).json()
        paths = {
            "/v1/orders": ("externalId", "customerId", "description", "customerEmail", "returnUrl"),
            "/v1/payments": ("externalId", "customerId", "description", "processor"),
            "/v1/checkout/sessions": ("customerId", "description", "externalId", "successUrl"),
            f"/v1/orders/{order['id']}/pay": ("processor", "returnUrl", "number"),
            f"/v1/orders/{order['id']}/refund": ("reason",),
            f"/v1/orders/{order['id']}/confirm": ("razorpayPaymentId", "razorpayOrderId"),
            "/api/routing-rules/test": ("cardBrand", "country"),
            "/api/api-keys": ("name",),
            "/v1/webhook-endpoints": ("description", "url"),
            "/api/auth/register": ("name", "email", "password"),
        }
        wanted = {"amount": 100, "currency": "USD", "name": "Somebody", "password": word(),
                  "successUrl": "https://x.example", "cancelUrl": "https://x.example"}  # fmt: skip
        for path, fields in paths.items():
            http = self.person if path.startswith("/api") or "webhook" in path else self.machine
            known = {"/v1/orders": ("amount",), "/v1/payments": ("amount",),
                     "/api/routing-rules/test": ("amount",),
                     "/v1/checkout/sessions": ("amount", "currency", "successUrl", "cancelUrl"),
                     "/api/auth/register": ("name", "password")}.get(path, ())  # fmt: skip
            for field in (*fields, "metadata"):
                pan = self.plant(f"{field} of {path}", card())
                value: Any = {"note": pan} if field == "metadata" else pan
                value = {"returnUrl": f"https://x.example/{pan}", "url": f"http://127.0.0.1:9/{pan}",
                         "successUrl": f"https://x.example/{pan}", "email": f"{pan}@x.example",
                         "customerEmail": f"{pan}@x.example"}.get(field, value)  # fmt: skip
                body = {name: wanted[name] for name in known} | {field: value}
                answer = http.post(path, json=body, headers=self._once(path))
                self.statuses[f"{field} of {path}"] = answer.status_code
                assert answer.status_code < 500, answer.text
        for field in ("token", "brand", "country", "type"):
            pan = self.plant(f"paymentMethod.{field}", card())
            body = {"paymentMethod": {"type": "card", field: pan}}
            answer = self.machine.post(f"/v1/orders/{order['id']}/pay", json=body)
            assert answer.json()["code"] == "card_data_refused"
        for header in HEADERS:
            pan = self.plant(f"header {header}", card())
            headers = {header: pan}
            self.machine.post("/v1/orders", json={"amount": 100}, headers=headers)
        for path in ("/v1/orders?q={}", "/v1/orders?externalId={}", "/v1/orders?after={}",
                     "/v1/orders/{}", "/api/orders?q={}", "/checkout/{}", "/sandbox/challenge/{}",
                     "/api/customers/{}", "/{}"):  # fmt: skip
            self.machine.get(path.format(self.plant(f"GET {path}", card())))
        self._checkout()

    def _once(self, path: str) -> dict[str, str]:
        return {"Idempotency-Key": word()} if path == "/v1/payments" else {}

    def _checkout(self) -> None:
        """The hosted page's forms, and the client secret of an order that collects a card."""
        asked = {"amount": 500, "currency": "USD", "successUrl": "https://x.example",
                 "cancelUrl": "https://x.example"}  # fmt: skip
        made = self.machine.post("/v1/checkout/sessions", json=asked).json()
        for field in ("card", "page", "number", "cvc"):
            form = {field: self.plant(f"checkout form {field}", card())}
            answer = self.anyone.post(f"/checkout/{made['id']}/pay", data=form)
            assert answer.status_code in {400, 422}, answer.text
        form = {"error[description]": self.plant("return form", card())}
        self.anyone.post(f"/checkout/{made['id']}/return", data=form)
        order = self.machine.post("/v1/orders", json={"amount": 700}).json()
        paid = self.machine.post(f"/v1/orders/{order['id']}/pay", json={}, headers=WAIT).json()
        self.plant("client secret", paid.get("nextAction", {})["clientSecret"])


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Planter, dict[str, bytes]]]:
    spans = tmp_path_factory.mktemp("traces") / "spans.jsonl"
    more = {"LOOP_TRACE_RATIO": "1", "LOOP_TRACE_FILE": str(spans), "LOOP_LOG_LEVEL": "debug"}
    with folder() as data, contextlib.ExitStack() as stack:
        with up(data, **more) as running:
            planter = Planter(running, stack)
            planter.people()
            planter.processors()
            planter.webhooks()
            planter.cards()
            planter.verbs(tmp_path_factory.mktemp("verbs"))
            database = json.loads((data / "stack.json").read_text())["database_url"]
            dumped = b"".join(tables(database))
            assert running.end()[0] == 0
        kept = [path for path in data.iterdir() if path.name not in {"sandbox", "sandbox-server"}]
        folders = {path.name: path for path in kept if path.is_dir()}
        files = {name: b"".join(stored(path)) for name, path in folders.items()}
        files["loop"] = b"".join(path.read_bytes() for path in kept if path.is_file())
        yield planter, files | {"dump": dumped, "traces": spans.read_bytes()}


def test_what_was_planted_is_found_nowhere(planted: tuple[Planter, dict[str, bytes]]) -> None:
    planter, places = planted
    assert {"postgres", "nats", "logs", "traces", "dump"} <= set(places)
    found = [
        (door, where)
        for text, door in planter.planted.items()
        for where, content in places.items()
        # The files of PostgreSQL are large, and hold what the dump holds, and what was deleted.
        if any(
            form in content for form in ([text.encode()] if where == "postgres" else forms(text))
        )
    ]
    assert not found, "\n".join(map(str, found))
    assert not [door for text, door in planter.planted.items() if text in planter.said]


def test_the_places_are_those_where_it_would_be_found(
    planted: tuple[Planter, dict[str, bytes]],
) -> None:
    planter, places = planted
    assert FOUND.encode() in places["dump"], "the name of a key is kept as it is"
    for where in ("postgres", "dump", "nats", "logs", "traces"):
        assert places[where]
    assert b'"level":"debug"' in places["logs"]
    assert b"POST /v1/orders" in places["traces"]
    assert len(planter.planted) > 80
