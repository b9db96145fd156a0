from typing import Any

import pytest
import razorpay.errors

from adapters.sandbox_server.outcomes import AMOUNTS
from adapters.sandbox_server.razorpay_dialect.errors import REASONS
from adapters.sandbox_server.razorpay_dialect.instruments import ADDRESSES, CARDS
from tests.adapters.sandbox_server.razorpay_shop import (
    automatic,
    order,
    paid,
    pay,
    payment_of,
    refused,
)
from tests.sandbox_server import SandboxServer


def test_a_life(sandbox: SandboxServer, dukan: Any) -> None:
    made = order(dukan)
    assert (made["status"], made["amount_due"], made["attempts"]) == ("created", 50_000, 0)
    assert "Pay" in sandbox.page("GET", f"/checkout/{made['id']}").text

    triple = pay(sandbox, made)
    assert dukan.utility.verify_payment_signature(triple)
    assert dukan.order.fetch(made["id"])["status"] == "attempted"
    payment = dukan.payment.fetch(triple["razorpay_payment_id"])
    assert (payment["status"], payment["captured"]) == ("authorized", False)
    payment = dukan.payment.capture(payment["id"], 50_000, {"currency": "INR"})
    refund = dukan.payment.refund(payment["id"], {"amount": 20_000, "receipt": "r1"})

    assert (payment["status"], payment["fee"], payment["tax"]) == ("captured", 1180, 180)
    assert (refund["status"], refund["receipt"], refund["notes"]) == ("processed", "r1", [])
    made = dukan.order.fetch(made["id"])
    assert (made["status"], made["amount_paid"], made["amount_due"]) == ("paid", 50_000, 0)
    book = sandbox.books()["orders"]["ord_1"]
    assert (book["captured"], book["refunded"], book["held"]) == (50_000, 20_000, 0)
    assert sandbox.violations() == []


def test_the_checkouts_signature_is_of_the_keys_secret(sandbox: SandboxServer, dukan: Any) -> None:
    triple = pay(sandbox, order(dukan))
    wrong = pytest.raises(razorpay.errors.SignatureVerificationError)
    with sandbox.razorpay(("rzp_test_other", "another_secret")) as other, wrong:
        other.utility.verify_payment_signature(triple)


def test_a_browser_is_brought_back_with_the_triple(sandbox: SandboxServer, dukan: Any) -> None:
    made = order(dukan)
    back = "http://127.0.0.1/back"
    page = sandbox.browser("POST", f"/checkout/{made['id']}/pay", outcome="success",
                           callback_url=back)  # fmt: skip
    assert f'action="{back}"' in page.text
    assert 'name="razorpay_signature"' in page.text


def test_automatic_capture(sandbox: SandboxServer, dukan: Any) -> None:
    made = order(dukan, payment=automatic())
    pay(sandbox, made)
    assert payment_of(dukan, made)["status"] == "captured"
    legacy = order(dukan, payment=None, payment_capture=1)
    pay(sandbox, legacy)
    assert payment_of(dukan, legacy)["status"] == "captured"


def test_an_order_that_is_paid_takes_no_other_payment(sandbox: SandboxServer, dukan: Any) -> None:
    made = order(dukan)
    pay(sandbox, made)
    assert "already done" in pay(sandbox, made)["error"]["description"]


def test_a_failed_payment_and_then_a_good_one_on_the_same_order(
    sandbox: SandboxServer, dukan: Any
) -> None:
    made = order(dukan)
    error = pay(sandbox, made, "card_declined")["error"]
    pay(sandbox, made)

    payments = dukan.order.payments(made["id"])["items"]
    assert [payment["status"] for payment in payments] == ["authorized", "failed"]
    assert error["metadata"] == {"payment_id": payments[1]["id"], "order_id": made["id"]}
    assert dukan.order.fetch(made["id"])["attempts"] == 2


def test_one_attempt_an_order_by_option(sandbox: SandboxServer, dukan: Any) -> None:
    sandbox.control("POST", "options", razorpay_attempts_per_order=1)
    made = order(dukan)
    pay(sandbox, made, "card_declined")
    assert "no attempts" in pay(sandbox, made)["error"]["description"]


def test_of_two_in_flight_the_late_one_goes_back(sandbox: SandboxServer, dukan: Any) -> None:
    made = order(dukan)
    pay(sandbox, made, "pending")
    slow = payment_of(dukan, made)
    pay(sandbox, made)
    sandbox.trigger("late_auth", payment=slow["id"])

    slow = dukan.payment.fetch(slow["id"])
    [refund] = dukan.payment.fetch_multiple_refund(slow["id"])["items"]
    assert (slow["status"], slow["captured"], refund["status"]) == ("refunded", False, "processed")
    assert sandbox.books()["orders"]["ord_1"]["held"] == 50_000


@pytest.mark.parametrize("reason", REASONS)
def test_every_reason_of_a_failure(sandbox: SandboxServer, dukan: Any, reason: str) -> None:
    made = order(dukan)
    said = pay(sandbox, made, reason)
    if reason == "payment_timed_out":
        assert said["status"] == "created"
        sandbox.advance("10m")
    payment = payment_of(dukan, made)
    assert (payment["status"], payment["error_reason"]) == ("failed", reason)
    assert payment["error_code"] in ("BAD_REQUEST_ERROR", "GATEWAY_ERROR")
    if reason != "payment_timed_out":
        assert said["error"]["reason"] == reason


@pytest.mark.parametrize("number", CARDS)
def test_every_card(sandbox: SandboxServer, dukan: Any, number: str) -> None:
    made = order(dukan)
    sandbox.page("POST", f"/checkout/{made['id']}/pay", **{"card[number]": number})
    payment = payment_of(dukan, made)
    assert payment["card"]["last4"] == number[-4:]
    if CARDS[number] == "success":
        assert payment["status"] == "authorized"
    elif CARDS[number] == "payment_timed_out":
        assert payment["status"] == "created"
    else:
        assert payment["error_reason"] == CARDS[number]
    assert dukan.payment.fetchCardDetails(payment["id"])["id"] == payment["card_id"]


@pytest.mark.parametrize("address", ADDRESSES)
def test_every_address(sandbox: SandboxServer, dukan: Any, address: str) -> None:
    made = order(dukan)
    sandbox.page("POST", f"/checkout/{made['id']}/pay", vpa=address)
    payment = payment_of(dukan, made)
    good = ADDRESSES[address] == "success"
    assert (payment["method"], payment["vpa"]) == ("upi", address)
    assert payment["status"] == ("authorized" if good else "failed")


@pytest.mark.parametrize(
    ("amount", "reason"),
    [
        (4001, "card_declined"),
        (4002, "insufficient_funds"),
        (4003, "payment_risk_check_failed"),
        (4004, "card_expired"),
        (4005, "gateway_technical_error"),
        (4006, "payment_failed"),
        (4007, "debit_instrument_blocked"),
    ],
)
def test_amounts_that_decline(sandbox: SandboxServer, dukan: Any, amount: int, reason: str) -> None:
    made = order(dukan, 10_000 + amount)
    assert pay(sandbox, made)["error"]["reason"] == reason
    assert payment_of(dukan, made)["error_reason"] == reason


@pytest.mark.parametrize(("amount", "status"), [(3001, "authorized"), (3002, "failed"),
                                                (3003, "created")])  # fmt: skip
def test_amounts_that_ask_the_customer(
    sandbox: SandboxServer, dukan: Any, amount: int, status: str
) -> None:
    made = order(dukan, amount)
    said = pay(sandbox, made)
    path = said["next"][0]["url"].removeprefix(sandbox.ready.url)
    assert "Approve" in sandbox.page("GET", path).text
    sandbox.page("POST", path, outcome="approve")
    assert payment_of(dukan, made)["status"] == status
    sandbox.advance("10m")
    if status == "created":
        assert payment_of(dukan, made)["error_reason"] == "payment_timed_out"


def test_a_failed_authentication(sandbox: SandboxServer, dukan: Any) -> None:
    made = order(dukan, 3001)
    payment_id = pay(sandbox, made)["razorpay_payment_id"]
    sandbox.page("POST", f"/razorpay/v1/payments/{payment_id}/authenticate", outcome="fail")
    assert payment_of(dukan, made)["error_reason"] == "authentication_failed"


@pytest.mark.parametrize(("amount", "status"), [(2002, "authorized"), (2003, "failed")])
def test_amounts_that_take_their_time(
    sandbox: SandboxServer, dukan: Any, amount: int, status: str
) -> None:
    made = order(dukan, amount)
    assert pay(sandbox, made)["status"] == "created"
    sandbox.advance(30)
    assert payment_of(dukan, made)["status"] == status


@pytest.mark.parametrize(("amount", "after"), [(9001, "6m"), (9002, "2d")])
def test_amounts_that_are_authorized_late(
    sandbox: SandboxServer, dukan: Any, amount: int, after: str
) -> None:
    made = order(dukan, amount)
    assert pay(sandbox, made)["error"]["reason"] == "payment_timed_out"
    assert payment_of(dukan, made)["status"] == "failed"
    sandbox.advance(after)
    payment = payment_of(dukan, made)
    assert (payment["status"], payment["late_authorized"]) == ("authorized", True)
    assert payment["error_reason"] is None
    sandbox.advance("5d")
    assert payment_of(dukan, made)["status"] == "refunded"


def test_an_account_may_capture_what_comes_late(sandbox: SandboxServer, dukan: Any) -> None:
    sandbox.control("POST", "options", razorpay_late_capture=True)
    made = order(dukan, 9001)
    pay(sandbox, made)
    sandbox.advance("6m")
    assert payment_of(dukan, made)["status"] == "captured"


def test_automatic_capture_has_its_time(sandbox: SandboxServer, dukan: Any) -> None:
    soon = order(dukan, 9001, payment=automatic(12))
    later = order(dukan, 9002, payment=automatic(12))
    pay(sandbox, soon)
    pay(sandbox, later)
    sandbox.advance("2d")
    assert payment_of(dukan, soon)["status"] == "captured"
    assert payment_of(dukan, later)["status"] == "authorized"


@pytest.mark.parametrize(
    ("amount", "minutes", "days", "after"),
    [(9003, None, 5, "10m"), (500, 12, 5, "12m"), (500, None, 3, "3d"), (500, None, 5, "5d")],
)
def test_what_nobody_captures_goes_back(
    sandbox: SandboxServer, dukan: Any, amount: int, minutes: int | None, days: int, after: str
) -> None:
    sandbox.control("POST", "options", razorpay_auto_refund_days=days)
    options = {"manual_expiry_period": minutes} if minutes else {}
    made = order(dukan, amount, payment={"capture": "manual", "capture_options": options})
    pay(sandbox, made)
    payment = payment_of(dukan, made)
    sandbox.advance(float(after[:-1]) * {"m": 60, "d": 86_400}[after[-1]] - 30)
    assert payment_of(dukan, made)["status"] == "authorized"
    sandbox.advance(30)
    assert payment_of(dukan, made)["status"] == "refunded"
    with refused("Only payments which have been authorized"):
        dukan.payment.capture(payment["id"], amount, {"currency": "INR"})
    assert sandbox.books()["orders"]["ord_1"]["held"] == 0


def test_capture_is_whole_and_once(sandbox: SandboxServer, dukan: Any) -> None:
    payment = paid(sandbox, dukan)
    with refused("must be equal"):
        dukan.payment.capture(payment["id"], 49_999, {"currency": "INR"})
    dukan.payment.capture(payment["id"], 50_000, {"currency": "INR"})
    with refused("already been captured"):
        dukan.payment.capture(payment["id"], 50_000, {"currency": "INR"})


def test_what_failed_cannot_be_captured(sandbox: SandboxServer, dukan: Any) -> None:
    made = order(dukan)
    pay(sandbox, made, "card_declined")
    with refused("Only payments which have been authorized"):
        dukan.payment.capture(payment_of(dukan, made)["id"], 50_000, {"currency": "INR"})


def test_a_receipt_makes_one_order_if_asked_to(sandbox: SandboxServer, dukan: Any) -> None:
    first = order(dukan, unique_receipt=True)
    assert order(dukan, unique_receipt=True)["id"] == first["id"]
    assert order(dukan)["id"] != first["id"]
    assert len(dukan.order.all({"receipt": "att_ord_1"})["items"]) == 2
    with refused("receipt"):
        order(dukan, 60_000, unique_receipt=True)
    sandbox.control("POST", "options", razorpay_unique_receipt_conflict="same")
    assert order(dukan, 60_000, unique_receipt=True)["amount"] == 50_000


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ({"amount": 99}, "atleast"),
        ({"amount": "x"}, "integer"),
        ({"currency": "inr"}, "currency"),
        ({"receipt": "r" * 41}, "receipt"),
        ({"notes": {str(n): "x" for n in range(16)}}, "15"),
        ({"notes": {"a": "x" * 257}}, "256"),
        ({"amount": 5124, "currency": "KWD"}, "last digit"),
        ({"payment": {"capture": "manual", "capture_options": {"manual_expiry_period": 11}}},
         "12 to 7200"),
        ({"payment": {"capture": "sometime"}}, "automatic or manual"),
    ],
)  # fmt: skip
def test_orders_that_are_wrong(dukan: Any, wrong: dict[str, Any], text: str) -> None:
    with refused(text):
        dukan.order.create({"amount": 500, "currency": "INR", **wrong})


def test_paying_from_the_server_with_an_otp(sandbox: SandboxServer, dukan: Any) -> None:
    card = {"number": "4100280000001007", "cvv": "123", "expiry_month": "12", "expiry_year": "30"}
    made = order(dukan)
    asked = {"amount": 50_000, "currency": "INR", "order_id": made["id"], "method": "card"}
    begun = dukan.payment.createPaymentJson({**asked, "card": card})
    assert [step["action"] for step in begun["next"]] == ["redirect", "otp_generate"]
    payment_id = begun["razorpay_payment_id"]
    dukan.payment.otpGenerate(payment_id)
    with refused("incorrect"):
        dukan.payment.otpSubmit(payment_id, {"otp": "123"})
    triple = dukan.payment.otpSubmit(payment_id, {"otp": "1234"})
    assert dukan.utility.verify_payment_signature(triple)
    with refused("already done"):
        dukan.payment.createPaymentJson({**asked, "card": card})
    with refused("different from your order"):
        dukan.payment.createPaymentJson({**asked, "amount": 100, "order_id": order(dukan)["id"]})
    assert sandbox.books()["orders"]["ord_1"]["held"] == 50_000


def test_a_saved_token_pays_at_once(sandbox: SandboxServer, dukan: Any) -> None:
    asked = {"amount": 50_000, "currency": "INR", "order_id": order(dukan)["id"]}
    triple = dukan.payment.createPaymentJson({**asked, "token": "token_success"})
    assert dukan.utility.verify_payment_signature(triple)
    asked["order_id"] = order(dukan, ref="ord_2")["id"]
    with refused("declined by the bank"):
        dukan.payment.createPaymentJson({**asked, "token": "token_card_declined"})
    assert sandbox.violations() == []


def test_lists(sandbox: SandboxServer, dukan: Any) -> None:
    orders = [order(dukan, ref=f"o{n}") for n in range(3)]
    listed = dukan.order.all({"count": 2})["items"]
    assert [one["id"] for one in listed] == [orders[2]["id"], orders[1]["id"]]
    assert dukan.order.all({"count": 2, "skip": 2})["items"][0]["id"] == orders[0]["id"]
    sandbox.advance(100)
    later = order(dukan, ref="o3")
    assert dukan.order.all({"from": later["created_at"]})["count"] == 1
    assert dukan.order.edit(later["id"], {"notes": {}})["notes"] == []
    with refused("count"):
        dukan.order.all({"count": 101})


def test_every_amount_has_its_test() -> None:
    here = {2002, 2003, 3001, 3002, 3003, *range(4001, 4008), 9001, 9002, 9003}
    afterlife = {2001, 4010, 4090, 4290, *range(5001, 5009), *range(8001, 8005)}
    assert here | afterlife | set(range(7001, 7009)) == set(AMOUNTS)
