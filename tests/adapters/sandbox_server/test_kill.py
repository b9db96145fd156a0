"""SIGKILL of the server between the effect and the answer: nothing is lost, nothing twice."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import stripe

from tests.adapters.sandbox_server.razorpay_shop import order, pay
from tests.adapters.sandbox_server.stripe_shop import URL, captured, create, held
from tests.sandbox_server import Listener, SandboxServer, sandbox_server


@pytest.fixture
def lasting(tmp_path: Path) -> Iterator[SandboxServer]:
    with sandbox_server(tmp_path, lasting=True, seed=5, profile="calm") as running:
        yield running


def in_the_middle(sandbox: SandboxServer, path: str, ask: Any) -> list[Exception]:
    """Kill the server while it keeps silent after the effect of a call, and start it again."""
    sandbox.fault("hang:3600", "after", match={"path": path})
    errors: list[Exception] = []

    def asking() -> None:
        try:
            ask()
        except Exception as error:  # noqa: BLE001 - judged by the test
            errors.append(error)

    thread = threading.Thread(target=asking)
    thread.start()
    sandbox.wait_for(lambda: path in [entry["path"] for entry in sandbox.journal()])
    sandbox.kill()
    thread.join()
    sandbox.start()
    sandbox.control("DELETE", "faults")
    return errors


@pytest.mark.parametrize("verb", ["confirm", "capture"])
def test_the_answer_is_had_again_after_a_kill(lasting: SandboxServer, verb: str) -> None:
    with lasting.stripe() as client:
        shop = client.v1
        pi = create(shop) if verb == "confirm" else held(shop)
        params = {"payment_method": "pm_card_visa", "return_url": URL} if verb == "confirm" else {}
        ask = getattr(shop.payment_intents, verb)

        errors = in_the_middle(
            lasting,
            f"/v1/payment_intents/{pi.id}/{verb}",
            lambda: ask(pi.id, params, {"idempotency_key": "k"}),
        )
        again = ask(pi.id, params, {"idempotency_key": "k"})

    assert [type(error) for error in errors] == [stripe.APIConnectionError]
    assert again.status == ("requires_capture" if verb == "confirm" else "succeeded")
    assert again.last_response.headers["Idempotent-Replayed"] == "true"
    assert lasting.books()["orders"]["ord_1"]["authorized"] == 1000
    assert lasting.violations() == []


def test_a_refund_of_razorpay_is_had_again_after_a_kill(lasting: SandboxServer) -> None:
    key = {"X-Refund-Idempotency": "refund_0001"}
    with lasting.razorpay() as dukan:
        triple = pay(lasting, order(dukan, payment={"capture": "automatic"}))
        path = f"payments/{triple['razorpay_payment_id']}"
        refund = dukan.payment.refund
        in_the_middle(
            lasting,
            f"/v1/{path}/refund",
            lambda: refund(triple["razorpay_payment_id"], {"amount": 100}, headers=key),
        )
        refund(triple["razorpay_payment_id"], {"amount": 100}, headers=key)
    assert lasting.books()["orders"]["ord_1"]["refunded"] == 100


def test_webhooks_timers_clock_and_rules_outlive_a_kill(
    lasting: SandboxServer, listener: Listener
) -> None:
    lasting.control("POST", "webhooks", dialect="stripe", url=listener.url, secret="whsec_x")
    lasting.advance("1d")
    ahead = lasting.control("GET", "clock")["ahead"]
    lasting.control("POST", "webhooks/hold")
    with lasting.stripe() as client:
        pi = held(client.v1, 8001)
        lasting.fault("status:500", match={"nth": 2, "path": "nowhere"})
        token = lasting.ready.token
        lasting.kill()
        lasting.start()

        assert lasting.ready.token == token
        assert lasting.ready.seed == 5
        assert lasting.control("GET", "clock")["ahead"] == ahead
        lasting.control("POST", "webhooks/release")
        listener.wait(3)
        lasting.advance("7d")
        assert client.v1.payment_intents.retrieve(pi.id).status == "canceled"


def test_a_late_effect_outlives_a_kill(lasting: SandboxServer) -> None:
    lasting.fault("close", "late", match={"path": "capture"}, late_s=100, limit=1)
    with lasting.stripe() as client:
        with pytest.raises(stripe.APIConnectionError):
            captured(client.v1)
        lasting.kill()
        lasting.start()
        assert lasting.books()["orders"]["ord_1"]["captured"] == 0
        lasting.advance(100)
    assert lasting.books()["orders"]["ord_1"]["captured"] == 1000
