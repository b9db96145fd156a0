"""What processors are answered: 200 for what is theirs, 400 for all else, 503 to come again."""

import hashlib
import hmac
import json
import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import psycopg
import pytest
import stripe
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from psycopg import sql

from commands.configure_processor import ProcessorAccount, configure_processor
from commands.processor import Credentials
from domain.ids import new_id
from tests.gateway.conftest import Service, settings_for
from tests.gateway.problems import is_problem
from tests.gateway.test_failures import ALLOW

SECRET = "whsec_of_this_test"
LONG_S = 301


@dataclass
class Sender:
    """Somebody who knows a merchant's signing secrets and calls our door with them."""

    client: httpx.Client
    merchant_id: str

    def stripe(
        self, body: bytes, secret: str = SECRET, *, at: float | None = None
    ) -> httpx.Response:
        stamp = int(time.time() if at is None else at)
        signed = f"{stamp}.".encode() + body
        mark = hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()
        return self.post("stripe", body, {"Stripe-Signature": f"t={stamp},v1={mark}"})

    def razorpay(self, body: bytes, secret: str = SECRET) -> httpx.Response:
        mark = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
        return self.post("razorpay", body, {"X-Razorpay-Signature": mark})

    def post(self, name: str, body: bytes, headers: Any) -> httpx.Response:
        return self.client.post(
            f"/webhooks/{name}/{self.merchant_id}", content=body, headers=headers
        )


def event(**fields: Any) -> bytes:
    thing = {"id": "pi_unknown", "object": "payment_intent", "metadata": {"cart": "7"}}
    whole = {"id": "evt_1", "type": "payment_intent.created", "data": {"object": thing}} | fields
    return json.dumps(whole).encode()


def configured(service: Service, name: str, values: dict[str, str], merchant: Any) -> None:
    account = ProcessorAccount(processor=name, credentials=Credentials(values))
    service.call(configure_processor(service.app.ports, merchant, account))


def accounts(service: Service, merchant: Any, secret: str | None = SECRET) -> None:
    signed = {"webhook_secret": secret} if secret else {}
    key = secrets.token_hex(6)
    configured(service, "stripe", {"secret_key": f"sk_test_{key}"} | signed, merchant)
    razorpay = {"key_id": f"rzp_test_{key}", "key_secret": "secret"}
    configured(service, "razorpay", razorpay | signed, merchant)


@pytest.fixture
def sender(service: Service) -> Iterator[Sender]:
    merchant = service.merchant()
    accounts(service, merchant)
    with service.client(None) as client:
        yield Sender(client, merchant.merchant_id)


def kept(service: Service, merchant_id: str) -> list[tuple[str, bytes]]:
    with psycopg.connect(service.database_url) as db:
        return db.execute(
            "SELECT event, digest FROM loop.inbox WHERE merchant_id = %s ORDER BY id",
            (merchant_id,),
        ).fetchall()


def test_a_signed_event_is_kept_once_and_answered_at_once(service: Service, sender: Sender) -> None:
    body = event()
    for _ in range(2):
        answer = sender.stripe(body)
        assert (answer.status_code, answer.json()) == (200, {"received": True})
    assert kept(service, sender.merchant_id) == [("evt_1", hashlib.sha256(body).digest())]


def test_the_body_is_nowhere_in_the_database(service: Service, sender: Sender) -> None:
    body = event(note="ada@example.com")
    assert sender.stripe(body).status_code == 200
    with psycopg.connect(service.database_url) as db:
        rows = db.execute("SELECT inbox::text FROM loop.inbox").fetchall()
    assert rows
    assert "ada@example.com" not in str(rows)


def test_the_vendors_own_sdk_signs_as_we_verify(sender: Sender) -> None:
    body = event(id="evt_sdk")
    header = stripe.WebhookSignature.generate_signature_header(body.decode(), SECRET)
    assert sender.post("stripe", body, {"Stripe-Signature": header}).status_code == 200


@pytest.mark.parametrize(
    ("name", "headers", "code"),
    [
        ("stripe", {}, "missing_signature"),
        ("razorpay", {}, "missing_signature"),
        ("stripe", {"Stripe-Signature": ""}, "missing_signature"),
        ("stripe", {"X-Razorpay-Signature": "00"}, "missing_signature"),
        ("stripe", {"Stripe-Signature": "t=1,v1=00"}, "invalid_signature"),
        ("stripe", {"Stripe-Signature": "v1=00"}, "invalid_signature"),
        ("stripe", {"Stripe-Signature": "t=x,v1=00"}, "invalid_signature"),
        ("stripe", {"Stripe-Signature": b"t=1,v1=\xe9"}, "invalid_signature"),
        ("razorpay", {"X-Razorpay-Signature": "00"}, "invalid_signature"),
        ("razorpay", {"X-Razorpay-Signature": b"\xff\xfe"}, "invalid_signature"),
        ("razorpay", [("X-Razorpay-Signature", "0"), ("X-Razorpay-Signature", "1")],
         "invalid_signature"),
    ],
)  # fmt: skip
def test_what_is_not_signed_as_it_should_be_is_a_400(
    sender: Sender, name: str, headers: Any, code: str
) -> None:
    is_problem(sender.post(name, event(), headers), 400, code)


def test_another_secret_and_an_altered_body_are_refused(sender: Sender) -> None:
    is_problem(sender.stripe(event(), "whsec_other"), 400, "invalid_signature")
    is_problem(sender.razorpay(event(), "whsec_other"), 400, "invalid_signature")
    body = event()
    mark = hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
    answer = sender.post("razorpay", body + b" ", {"X-Razorpay-Signature": mark})
    is_problem(answer, 400, "invalid_signature")


@pytest.mark.parametrize("seconds", [-LONG_S, LONG_S + 30])
def test_a_timestamp_of_more_than_five_minutes_is_refused(sender: Sender, seconds: int) -> None:
    answer = sender.stripe(event(), at=time.time() + seconds)
    is_problem(answer, 400, "invalid_signature")


def test_without_a_secret_nothing_is_ever_believed(service: Service) -> None:
    merchant = service.merchant()
    with service.client(None) as client:
        for merchant_id in (merchant.merchant_id, new_id("mer"), "nonsense", "mer_%00"):
            sender = Sender(client, merchant_id)
            is_problem(sender.stripe(event(), ""), 400, "no_config")
            is_problem(sender.razorpay(event(), ""), 400, "no_config")
        accounts(service, merchant, None)
        sender = Sender(client, merchant.merchant_id)
        is_problem(sender.stripe(event(), ""), 400, "no_config")


def test_the_path_without_a_merchant_needs_a_payment_that_we_know(sender: Sender) -> None:
    body = event()
    stamp = int(time.time())
    mark = hmac.new(SECRET.encode(), f"{stamp}.".encode() + body, hashlib.sha256).hexdigest()
    headers = {"Stripe-Signature": f"t={stamp},v1={mark}"}
    answer = sender.client.post("/webhooks/stripe", content=body, headers=headers)
    is_problem(answer, 400, "no_config")
    answer = sender.client.post("/webhooks/stripe", content=b"\xff", headers=headers)
    is_problem(answer, 400, "invalid_signature")


def test_a_body_above_256_kib_is_a_413(sender: Sender) -> None:
    is_problem(sender.stripe(event(note="x" * 300_000)), 413, "payload_too_large")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
NAMES = st.sampled_from(
    ("id", "type", "event", "data", "object", "payload", "payment", "order", "entity", "metadata",
     "notes", "order_id", "attempt_id", "payment_intent", "receipt", "latest_charge", "charge")
)  # fmt: skip
SHAPED = st.recursive(
    st.none() | st.integers() | st.text(max_size=4) | st.just("pi\0") | st.just("x" * 300),
    lambda inner: st.dictionaries(NAMES, inner, max_size=5),
    max_leaves=20,
)
BODIES = st.binary(max_size=64) | (JSON | SHAPED).map(lambda value: json.dumps(value).encode())


@settings(max_examples=120, deadline=None, derandomize=True)
@given(body=BODIES)
def test_no_signed_body_whatever_gets_a_5xx(door: Sender, body: bytes) -> None:
    for answer in (door.stripe(body), door.razorpay(body)):
        assert answer.status_code == 200 or answer.json()["code"] == "invalid_signature"


@pytest.fixture(scope="module")
def door(service: Service) -> Iterator[Sender]:
    merchant = service.merchant()
    accounts(service, merchant)
    with service.client(None) as client:
        yield Sender(client, merchant.merchant_id)


def test_without_the_database_the_processor_has_to_send_again(
    database_url: str, nats_url: str, tmp_path: Path
) -> None:
    with Service(settings_for(tmp_path, database_url, nats_url)) as running:
        merchant = running.merchant()
        accounts(running, merchant)
        name = urlsplit(database_url).path.removeprefix("/")
        admin = database_url.replace(f"/{name}?", "/postgres?")
        with running.client(None) as client, psycopg.connect(admin, autocommit=True) as db:
            sender = Sender(client, merchant.merchant_id)
            db.execute(ALLOW.format(sql.Identifier(name), sql.SQL("false")))
            db.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (name,)
            )
            answer = sender.stripe(event())
            is_problem(answer, 503, "database_unavailable")
            assert "retry-after" in answer.headers
            db.execute(ALLOW.format(sql.Identifier(name), sql.SQL("true")))


def test_only_what_is_not_signed_counts_against_the_address(
    database_url: str, nats_url: str, tmp_path: Path
) -> None:
    few = replace(settings_for(tmp_path, database_url, nats_url), rate_limit_address=1)
    with Service(few) as running:
        merchant = running.merchant()
        accounts(running, merchant)
        with running.client(None) as client:
            sender = Sender(client, merchant.merchant_id)
            for number in range(20):
                assert sender.stripe(event(id=f"evt_{number}")).status_code == 200
            refused = (sender.stripe(event(), "whsec_other") for _ in range(500))
            limited = next(answer for answer in refused if answer.status_code != 400)
    is_problem(limited, 429, "rate_limited")
