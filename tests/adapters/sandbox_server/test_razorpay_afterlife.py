"""Refunds, disputes, unknown outcomes and errors of the Razorpay dialect."""

from typing import Any

import pytest
import razorpay.errors
import requests

from tests.adapters.sandbox_server.razorpay_shop import captured, order, paid, refused
from tests.sandbox_server import SandboxServer

KEY = {"X-Refund-Idempotency": "refund_0001"}


def test_refunds_in_parts(sandbox: SandboxServer, dukan: Any) -> None:
    payment = captured(sandbox, dukan)
    first = dukan.payment.refund(payment["id"], {"amount": 20_000, "receipt": "r1"})
    half = dukan.payment.fetch(payment["id"])
    second = dukan.payment.refund(payment["id"], {"receipt": "r2"})
    whole = dukan.payment.fetch(payment["id"])

    assert (half["status"], half["refund_status"]) == ("captured", "partial")
    assert (whole["status"], whole["refund_status"]) == ("refunded", "full")
    listed = dukan.payment.fetch_multiple_refund(payment["id"])["items"]
    assert [one["receipt"] for one in listed] == ["r2", "r1"]
    assert dukan.payment.fetch_refund_id(payment["id"], first["id"])["id"] == first["id"]
    assert dukan.refund.fetch(second["id"])["amount"] == 30_000
    with refused("fully refunded"):
        dukan.payment.refund(payment["id"], {})


def test_refunds_have_their_limits(sandbox: SandboxServer, dukan: Any) -> None:
    with refused("should be captured"):
        dukan.payment.refund(paid(sandbox, dukan)["id"], {})
    payment = captured(sandbox, dukan)
    with refused("greater than"):
        dukan.payment.refund(payment["id"], {"amount": 50_001})
    with refused("speed"):
        dukan.payment.refund(payment["id"], {"speed": "fast"})


def test_a_refund_key_counts_once(sandbox: SandboxServer, dukan: Any) -> None:
    payment = captured(sandbox, dukan)
    first = dukan.payment.refund(payment["id"], {"amount": 100}, headers=KEY)
    assert dukan.payment.refund(payment["id"], {"amount": 100}, headers=KEY) == first
    with refused("Different request body"):
        dukan.payment.refund(payment["id"], {"amount": 101}, headers=KEY)
    with refused("at least 10"):
        dukan.payment.refund(payment["id"], {}, headers={"X-Refund-Idempotency": "short"})
    assert sandbox.books()["orders"]["ord_1"]["refunded"] == 100


def test_a_refund_key_may_be_without_effect(sandbox: SandboxServer, dukan: Any) -> None:
    sandbox.control("POST", "options", razorpay_refund_idempotency=False)
    payment = captured(sandbox, dukan)
    for _ in range(2):
        dukan.payment.refund(payment["id"], {"amount": 100}, headers=KEY)
    assert sandbox.books()["orders"]["ord_1"]["refunded"] == 200


@pytest.mark.parametrize(("amount", "statuses"), [(8001, ("pending", "processed")),
                                                  (8002, ("processed", "failed"))])  # fmt: skip
def test_refunds_that_change(
    sandbox: SandboxServer, dukan: Any, amount: int, statuses: tuple[str, str]
) -> None:
    payment = captured(sandbox, dukan, amount)
    refund = dukan.payment.refund(payment["id"], {"amount": 1000})
    sandbox.advance(30)
    assert (refund["status"], dukan.refund.fetch(refund["id"])["status"]) == statuses
    back = 0 if statuses[1] == "failed" else 1000
    assert sandbox.books()["orders"]["ord_1"]["refunded"] == back
    assert dukan.payment.fetch(payment["id"])["amount_refunded"] == back


def test_an_instant_refund_that_is_not(sandbox: SandboxServer, dukan: Any) -> None:
    payment = captured(sandbox, dukan)
    fast = dukan.payment.refund(payment["id"], {"amount": 2000, "speed": "optimum"})
    slow = dukan.payment.refund(payment["id"], {"amount": 2468, "speed": "optimum"})
    assert (fast["speed_processed"], slow["speed_processed"]) == ("instant", "normal")


@pytest.mark.parametrize(("amount", "status"), [(8003, "lost"), (8004, "won")])
def test_amounts_that_are_disputed(
    sandbox: SandboxServer, dukan: Any, amount: int, status: str
) -> None:
    captured(sandbox, dukan, amount)
    sandbox.advance(2)
    [dispute] = dukan.dispute.all()["items"]
    assert (dispute["status"], dispute["amount_deducted"]) == ("open", 0)
    sandbox.advance(60)
    dispute = dukan.dispute.fetch(dispute["id"])
    deducted = amount if status == "lost" else 0
    assert (dispute["status"], dispute["amount_deducted"]) == (status, deducted)


def test_a_dispute_is_contested_or_given_up(sandbox: SandboxServer, dukan: Any) -> None:
    payment = captured(sandbox, dukan)
    dispute = sandbox.trigger("dispute", payment=payment["id"])
    dukan.dispute.contest(dispute["id"], {"action": "submit"})
    assert dukan.dispute.fetch(dispute["id"])["status"] == "under_review"
    sandbox.trigger("dispute_ends", dispute=dispute["id"], status="won")
    assert dukan.dispute.fetch(dispute["id"])["status"] == "won"
    other = sandbox.trigger("dispute", payment=payment["id"], amount=100)
    assert dukan.dispute.accept(other["id"])["amount_deducted"] == 100


UNKNOWN: dict[int, tuple[type[Exception], bool]] = {
    4010: (razorpay.errors.BadRequestError, False),
    5001: (razorpay.errors.ServerError, False),
    5002: (razorpay.errors.ServerError, True),
    5003: (requests.exceptions.JSONDecodeError, False),
    5004: (requests.exceptions.ConnectionError, True),
    5005: (requests.exceptions.ConnectionError, False),
    5006: (requests.exceptions.ReadTimeout, True),
    5007: (requests.exceptions.ChunkedEncodingError, True),
    5008: (requests.exceptions.ConnectionError, False),
    2001: (requests.exceptions.ReadTimeout, False),
}
"""What a capture of this amount raises, and whether the money is captured all the same."""


@pytest.mark.parametrize("amount", UNKNOWN)
def test_captures_with_an_unknown_outcome(sandbox: SandboxServer, dukan: Any, amount: int) -> None:
    error, effect = UNKNOWN[amount]
    payment = paid(sandbox, dukan, amount)
    with pytest.raises(error):
        dukan.payment.capture(payment["id"], amount, {"currency": "INR"}, timeout=(3, 0.5))
    assert dukan.payment.fetch(payment["id"])["captured"] is effect
    if effect:
        with refused("already been captured"):
            dukan.payment.capture(payment["id"], amount, {"currency": "INR"})


def test_the_second_capture_goes_through(sandbox: SandboxServer, dukan: Any) -> None:
    payment = paid(sandbox, dukan, 5008)
    with pytest.raises(requests.exceptions.ConnectionError):
        dukan.payment.capture(payment["id"], 5008, {"currency": "INR"})
    assert dukan.payment.capture(payment["id"], 5008, {"currency": "INR"})["captured"]


def test_too_many_requests_and_one_in_flight(sandbox: SandboxServer, dukan: Any) -> None:
    limited = paid(sandbox, dukan, 4290)
    for _ in range(2):
        with refused("Too many requests"):
            dukan.payment.capture(limited["id"], 4290, {"currency": "INR"})
    assert dukan.payment.capture(limited["id"], 4290, {"currency": "INR"})["captured"]
    busy = paid(sandbox, dukan, 4090, ref="ord_2")
    with refused("in progress"):
        dukan.payment.capture(busy["id"], 4090, {"currency": "INR"})
    sandbox.advance(5)
    assert dukan.payment.capture(busy["id"], 4090, {"currency": "INR"})["captured"]


def test_a_refund_that_got_lost_is_had_again(sandbox: SandboxServer, dukan: Any) -> None:
    payment = captured(sandbox, dukan)
    with pytest.raises(requests.exceptions.ConnectionError):
        dukan.payment.refund(payment["id"], {"amount": 5004}, headers=KEY)
    assert dukan.payment.refund(payment["id"], {"amount": 5004}, headers=KEY)["amount"] == 5004
    assert sandbox.books()["orders"]["ord_1"]["refunded"] == 5004


@pytest.mark.parametrize(
    ("do", "error"),
    [
        ("close", requests.exceptions.ConnectionError),
        ("hang:1", requests.exceptions.ReadTimeout),
        ("truncate", requests.exceptions.ChunkedEncodingError),
        ("garbage", requests.exceptions.JSONDecodeError),
        ("garbage:bytes", requests.exceptions.JSONDecodeError),
        ("status:500", razorpay.errors.ServerError),
        ("status:502", razorpay.errors.GatewayError),
        ("status:502:html", requests.exceptions.JSONDecodeError),
        ("status:503", razorpay.errors.ServerError),
        ("status:504", razorpay.errors.GatewayError),
        ("status:409", razorpay.errors.BadRequestError),
        ("status:429", razorpay.errors.BadRequestError),
        ("status:401", razorpay.errors.BadRequestError),
    ],
)
@pytest.mark.parametrize("place", ["before", "after"])
def test_faults_as_the_sdk_sees_them(
    sandbox: SandboxServer, dukan: Any, place: str, do: str, error: type[Exception]
) -> None:
    payment = paid(sandbox, dukan)
    sandbox.fault(do, place, match={"dialect": "razorpay", "path": "capture"})
    with pytest.raises(error):
        dukan.payment.capture(payment["id"], 50_000, {"currency": "INR"}, timeout=(3, 0.4))
    assert dukan.payment.fetch(payment["id"])["captured"] == (place == "after")


@pytest.mark.parametrize(
    "auth", [("rzp_test_sandbox", "wrong"), ("rzp_live_x", "y"), ("rzp_test_", "y"), ("x", "y")]
)
def test_keys(sandbox: SandboxServer, dukan: Any, auth: tuple[str, str]) -> None:
    order(dukan)
    with sandbox.razorpay(auth) as client, pytest.raises(razorpay.errors.BadRequestError):
        client.order.all()


def test_accounts_see_only_their_own(sandbox: SandboxServer, dukan: Any) -> None:
    made = order(dukan)
    with sandbox.razorpay(("rzp_test_sandbox_2", "x")) as same:
        assert same.order.fetch(made["id"])["id"] == made["id"]
    with sandbox.razorpay(("rzp_test_other", "x")) as other, refused("does not exist"):
        other.order.fetch(made["id"])
