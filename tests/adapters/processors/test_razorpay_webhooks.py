"""Razorpay's signatures are over the raw bytes, and its event id is signed by nobody."""

import hashlib
import hmac
import json
from typing import Any

import msgspec
import pytest

from adapters.processors.razorpay import RazorpayProcessor
from commands.processor import CheckoutProof, Credentials, Hint

SECRET, OLD = "shared", "shared before"
PAYMENT = {"id": "pay_1", "order_id": "order_1", "notes": {"attempt_id": "att_1"}}


def body(**payload: Any) -> bytes:
    things = {name: {"entity": thing} for name, thing in payload.items()}
    return json.dumps({"event": "payment.captured", "payload": things}).encode()


def signed(raw: bytes, secret: str = SECRET) -> dict[str, str]:
    sign = hmac.new(secret.encode(), raw, hashlib.sha256).hexdigest()
    return {"X-Razorpay-Signature": sign, "x-razorpay-event-id": "unsigned"}


def parse(raw: bytes, headers: dict[str, str], *secrets: str) -> list[Hint]:
    return RazorpayProcessor().parse_webhook(raw, headers, secrets or (SECRET,))


def test_r11_an_event_is_known_by_its_body() -> None:
    raw = body(payment=PAYMENT)
    hint = Hint(
        reference="order_1",
        attempt_id="att_1",
        event_id=hashlib.sha256(raw).hexdigest(),
        kind="payment.captured",
        payment_id="pay_1",
        tells="captured",
    )
    assert parse(raw, signed(raw)) == [hint]
    assert parse(raw, signed(raw) | {"x-razorpay-event-id": "another"}) == [hint]


def test_what_razorpays_sdks_sign_is_good() -> None:
    raw = (
        '{"entity":"event","event":"payment.captured","payload":{"payment":{"entity":'
        '{"id":"pay_1","order_id":"order_1","notes":{"attempt_id":"att_1"},'
        '"description":"Café ₹ 🍯"}}}}'
    ).encode()
    signature = "fbc654c3e7b13e35b2d29f318dbf91b4b3c5b64f02bd60034e29cf0e4f37e476"
    (hint,) = parse(raw, {"x-razorpay-signature": signature}, "", "123456")
    assert (hint.reference, hint.payment_id) == ("order_1", "pay_1")
    for wrong in (signature[:-1] + "7", signature.upper(), "", "ü"):
        with pytest.raises(ValueError, match="does not verify"):
            parse(raw, {"x-razorpay-signature": wrong}, "123456")
    empty = {"x-razorpay-signature": signed(raw, "")["X-Razorpay-Signature"]}
    with pytest.raises(ValueError, match="does not verify"):
        parse(raw, empty, "")


def test_the_checkouts_signature_of_razorpays_own_example_is_good() -> None:
    signature = "b2335e3b0801106b84a7faff035df56ecffde06918c9ddd1f0fafbb37a51cc89"
    keys = Credentials({"key_id": "rzp_test_1", "key_secret": "key_secret"})
    order, payment = "fake_order_id", "fake_payment_id"
    given = CheckoutProof(reference=order, payment_id=payment, signature=signature)
    assert RazorpayProcessor().proves(given, order, keys)
    assert not RazorpayProcessor().proves(given, "order_1", keys)
    assert not RazorpayProcessor().proves(given, order, Credentials({"key_secret": ""}))
    other = msgspec.structs.replace(given, payment_id="pay_1")
    assert not RazorpayProcessor().proves(other, order, keys)


def test_r12_every_active_secret_is_tried() -> None:
    raw = body(payment=PAYMENT)
    assert parse(raw, signed(raw, OLD), SECRET, OLD)


@pytest.mark.parametrize(
    ("payload", "attempt_id"),
    [
        ({"payment": PAYMENT | {"notes": []}}, None),
        ({"payment": PAYMENT | {"notes": []}, "refund": {"id": "rfnd_1"}}, None),
        ({"order": {"id": "order_1", "receipt": "att_9", "notes": []}}, "att_9"),
    ],
)
def test_the_order_is_found_wherever_it_stands(payload: Any, attempt_id: str | None) -> None:
    raw = body(**payload)
    (hint,) = parse(raw, signed(raw))
    assert (hint.reference, hint.attempt_id) == ("order_1", attempt_id)


def test_what_is_about_no_order_gives_no_hint() -> None:
    raw = body(downtime={"id": "down_1"})
    assert parse(raw, signed(raw)) == []


RAW = body(payment=PAYMENT)


@pytest.mark.parametrize(
    ("raw", "headers", "secrets"),
    [
        (RAW + b" ", signed(RAW), (SECRET,)),
        (RAW, signed(RAW, "other"), (SECRET, OLD)),
        (RAW, signed(RAW), ()),
        (RAW, {}, (SECRET,)),
        (RAW, {"x-razorpay-signature": "ü" * 64}, (SECRET,)),
        (b"\xff", signed(b"\xff"), (SECRET,)),
        (b"[]", signed(b"[]"), (SECRET,)),
        (b"{}", signed(b"{}"), (SECRET,)),
    ],
)
def test_whatever_is_wrong_is_one_kind_of_error(
    raw: bytes, headers: dict[str, str], secrets: tuple[str, ...]
) -> None:
    with pytest.raises(ValueError, match="does not verify") as refused:
        RazorpayProcessor().parse_webhook(raw, headers, secrets)
    assert SECRET not in str(refused.value)
