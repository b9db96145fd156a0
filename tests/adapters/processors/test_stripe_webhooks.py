"""Stripe's signatures: every corner that its own SDK lets through or stumbles over."""

import json
from typing import Any

import pytest
from stripe import WebhookSignature

from adapters.processors.stripe import StripeProcessor
from commands.processor import Hint

NOW = 1_800_000_000
SECRET, OLD = "whsec_new", "whsec_old"
INTENT = {"id": "pi_1", "object": "payment_intent", "metadata": {"attempt_id": "att_1"}}


def body(thing: Any = INTENT, kind: str = "payment_intent.succeeded") -> bytes:
    return json.dumps({"id": "evt_1", "type": kind, "data": {"object": thing}}).encode()


def signed(raw: bytes, secret: str = SECRET, at: int = NOW) -> dict[str, str]:
    header = WebhookSignature.generate_signature_header(raw.decode(), secret, timestamp=at)
    return {"Stripe-Signature": header}


def parse(raw: bytes, headers: dict[str, str], *secrets: str) -> list[Hint]:
    return StripeProcessor(now=lambda: NOW).parse_webhook(raw, headers, secrets or (SECRET,))


def test_a_signed_event_points_at_its_payment() -> None:
    hint = Hint(
        reference="pi_1",
        attempt_id="att_1",
        event_id="evt_1",
        kind="payment_intent.succeeded",
        tells="captured",
    )
    assert parse(body(), signed(body())) == [hint]


@pytest.mark.parametrize(
    ("thing", "reference"),
    [
        ({"object": "charge", "id": "ch_1", "payment_intent": "pi_2"}, "pi_2"),
        ({"object": "refund", "id": "re_1", "payment_intent": {"id": "pi_3"}}, "pi_3"),
        ({"object": "dispute", "id": "du_1", "payment_intent": "pi_4", "metadata": {}}, "pi_4"),
    ],
)
def test_charges_refunds_and_disputes_point_at_it_too(thing: Any, reference: str) -> None:
    raw = body(thing)
    assert [hint.reference for hint in parse(raw, signed(raw))] == [reference]


@pytest.mark.parametrize(
    "thing", [{"object": "payout", "id": "po_1"}, {"object": "charge", "payment_intent": None}]
)
def test_what_is_about_no_payment_gives_no_hint(thing: Any) -> None:
    raw = body(thing)
    assert parse(raw, signed(raw)) == []


def test_every_active_secret_is_tried_and_every_signature_read() -> None:
    raw = body()
    assert parse(raw, signed(raw, OLD), SECRET, OLD)
    both = f"{signed(raw)['Stripe-Signature']},v1={'0' * 64}"
    assert parse(raw, {"stripe-signature": both}, OLD, SECRET)
    spaced = signed(raw)["Stripe-Signature"].replace(",", ", ")
    assert parse(raw, {"stripe-signature": spaced})


@pytest.mark.parametrize(
    ("secret", "signature"),
    [
        ("whsec_test_secret", "849006c5c10b2b25fc0a055d4e78a69d4d5e85e8d2062cb7e4ec1fc4d554d829"),
        ("whsec_Grüße", "8103afddeb4719e4d409bd1758c4ef9f04c0f88b81afb3a50ef4ac8d794a129e"),
    ],
)
def test_what_stripes_sdk_for_node_signs_is_good(secret: str, signature: str) -> None:
    raw = (
        '{"id":"evt_1","object":"event","type":"payment_intent.succeeded","data":{"object":'
        '{"id":"pi_1","object":"payment_intent","description":"Café ₹ 🍯",'
        '"metadata":{"attempt_id":"att_1"}}}}'
    ).encode()
    wrong = "0" * 64
    for header in (
        f"t={NOW},v1={signature}",
        f"t={NOW},v1={wrong},v1={signature},v0={wrong}",
        f"v1={signature},t={NOW},v2=of_next_year",
    ):
        (hint,) = parse(raw, {"stripe-signature": header}, "", OLD, secret)
        assert (hint.reference, hint.attempt_id) == ("pi_1", "att_1")
    for header in (f"t={NOW},v0={signature}", f"t={NOW + 1},v1={signature}", f"t={NOW},v1={wrong}"):
        with pytest.raises(ValueError, match="does not verify"):
            parse(raw, {"stripe-signature": header}, secret)


@pytest.mark.parametrize("at", [NOW - 301, NOW + 301, NOW + 31_536_000])
def test_neither_old_nor_future_timestamps_are_taken(at: int) -> None:
    with pytest.raises(ValueError, match="does not verify"):
        parse(body(), signed(body(), at=at))


@pytest.mark.parametrize("at", [NOW - 299, NOW + 299])
def test_clocks_may_differ_a_little(at: int) -> None:
    assert parse(body(), signed(body(), at=at))


def corner(name: str) -> tuple[bytes, dict[str, str], tuple[str, ...]]:
    raw = body()
    header = signed(raw)["Stripe-Signature"]
    not_text = b"\xff\xfe" + raw
    a_list = b"[]"
    return {
        "altered": (raw + b" ", signed(raw), (SECRET,)),
        "another secret": (raw, signed(raw, "whsec_x"), (SECRET, OLD)),
        "no secret": (raw, signed(raw), ()),
        "an empty secret": (raw, signed(raw, ""), ("",)),
        "no header": (raw, {}, (SECRET,)),
        "empty header": (raw, {"stripe-signature": ""}, (SECRET,)),
        "no timestamp": (raw, {"stripe-signature": header.partition(",")[2]}, (SECRET,)),
        "two timestamps": (raw, {"stripe-signature": f"t={NOW},{header}"}, (SECRET,)),
        "no number": (raw, {"stripe-signature": header.replace(str(NOW), "now")}, (SECRET,)),
        "only v0": (raw, {"stripe-signature": header.replace("v1", "v0")}, (SECRET,)),
        "not ASCII": (raw, {"stripe-signature": header.replace("v1=", "v1=ü")}, (SECRET,)),
        "not UTF-8": (not_text, {"stripe-signature": header}, (SECRET,)),
        "a list": (a_list, signed(a_list), (SECRET,)),
        "no JSON": (b"hello", signed(b"hello"), (SECRET,)),
        "no object": (b"{}", signed(b"{}"), (SECRET,)),
    }[name]


@pytest.mark.parametrize(
    "name",
    ["altered", "another secret", "no secret", "an empty secret", "no header", "empty header",
     "no timestamp", "two timestamps", "no number", "only v0", "not ASCII", "not UTF-8", "a list",
     "no JSON", "no object"],
)  # fmt: skip
def test_whatever_is_wrong_is_one_kind_of_error_that_says_no_secret(name: str) -> None:
    raw, headers, secrets = corner(name)
    with pytest.raises(ValueError, match="does not verify") as refused:
        StripeProcessor(now=lambda: NOW).parse_webhook(raw, headers, secrets)
    assert "whsec" not in str(refused.value)
    assert refused.value.__cause__ is None
