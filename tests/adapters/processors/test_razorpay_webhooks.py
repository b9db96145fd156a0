"""Razorpay's signatures are over the raw bytes, and its event id is signed by nobody."""

import hashlib
import hmac
import json
from typing import Any

import pytest

from adapters.processors.razorpay import RazorpayProcessor
from commands.processor import Hint

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
