"""Every row of the table of what Razorpay's wire can say, through the real SDK."""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from typing import Any

import msgspec
import pytest

from adapters.processors import vendor_calls
from adapters.processors.razorpay import RazorpayProcessor
from commands.observed import Absent, Observed
from commands.outcomes import Challenged, Declined, NotSent, Referenced, Succeeded, Unknown
from commands.processor import Credentials
from tests.adapters.processors.calls import RAZORPAY, attempt, money
from tests.adapters.processors.wire import Deed, Wire, answer, close, hang, unused_url, wire

SECRET = "s3cr3t-HidDeN"
KEYS = Credentials({"key_id": "rzp_test_1", "key_secret": SECRET})
MONEY = ("prepare", "capture", "refund")


def error(code: str = "BAD_REQUEST_ERROR", text: str = "No good.", **more: Any) -> dict[str, Any]:
    return {"error": {"code": code, "description": text, **more}}


MISSING = error(text="The id provided does not exist")
OTHER_BODY = error(text="Different request body sent for the same Idempotency Header")
PAYMENT = {
    "id": "pay_1",
    "amount": 1000,
    "currency": "USD",
    "status": "authorized",
    "captured": False,
    "created_at": 1_700_000_000,
}
ORDER = {"id": "order_1", "amount": 1000, "currency": "USD", "created_at": 1_700_000_000}

ROWS: dict[str, tuple[Deed, type]] = {
    "closed before the answer": (close, Unknown),
    "no answer": (hang, Unknown),
    "half an answer": (answer(200, ORDER, part=0.5), Unknown),
    "200 that is no JSON": (answer(200, b"<html>"), Unknown),
    "200 that is a list": (answer(200, []), Unknown),
    "200 of something else": (answer(200, {"entity": "riddle"}), Unknown),
    "204": (answer(204), Unknown),
    "302": (answer(302, {}, {"location": "http://127.0.0.1:1/"}), Unknown),
    "302 of a proxy": (answer(302, b"", {"location": "http://127.0.0.1:1/"}), Unknown),
    "400 of another code": (answer(400, error("GATEWAY_ERROR")), Unknown),
    "400 without an error": (answer(400, {}), Unknown),
    "400 of a key with another body": (answer(400, OTHER_BODY), Unknown),
    "400 of an id that is not there": (answer(400, MISSING), Unknown),
    "401": (answer(401, error(text="Authentication failed")), NotSent),
    "403": (answer(403, error()), NotSent),
    "404": (answer(404, error()), Unknown),
    "409": (answer(409, error(text="In progress")), Unknown),
    "429": (answer(429, error(text="Too many requests")), NotSent),
    "500": (answer(500, error("SERVER_ERROR")), Unknown),
    "502": (answer(502, error("GATEWAY_ERROR")), Unknown),
    "502 of a proxy": (answer(502, b"<html><h1>Bad Gateway"), Unknown),
    "503": (answer(503, b""), Unknown),
    "504": (answer(504, error("GATEWAY_ERROR")), Unknown),
}


@pytest.fixture
def server() -> Iterator[Wire]:
    with wire() as made:
        yield made


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vendor_calls, "THROTTLE_WAITS_S", (0.001, 0.001))


@pytest.fixture
async def razorpay(
    server: Wire, request: pytest.FixtureRequest
) -> AsyncIterator[RazorpayProcessor]:
    waits_in_vain = "no answer" in request.node.name
    processor = RazorpayProcessor(base_url=server.url, read_s=0.5 if waits_in_vain else 30)
    yield processor
    await processor.aclose()


@pytest.mark.parametrize("verb", [*MONEY, "authorize"])
@pytest.mark.parametrize("row", ROWS)
async def test_every_answer_has_its_class_and_is_asked_for_once(
    razorpay: RazorpayProcessor, server: Wire, row: str, verb: str
) -> None:
    deed, expected = ROWS[row]
    server.deeds = [deed]
    outcome = await RAZORPAY[verb](razorpay, KEYS)
    assert type(outcome) is expected, outcome
    assert len(server.asked) == (3 if row == "429" else 1)
    assert SECRET not in repr(outcome)


@pytest.mark.parametrize("row", ROWS)
async def test_a_lookup_that_fails_is_a_doubt_and_only_what_does_not_exist_is_absent(
    razorpay: RazorpayProcessor, server: Wire, row: str
) -> None:
    server.deeds = [ROWS[row][0]]
    outcome = await RAZORPAY["lookup"](razorpay, KEYS)
    absent = row in {"404", "400 of an id that is not there"}
    assert type(outcome) is (Absent if absent else Unknown)


@pytest.mark.parametrize("verb", ["prepare", "refund"])
async def test_a_bad_request_is_a_definite_no(
    razorpay: RazorpayProcessor, server: Wire, verb: str
) -> None:
    server.deeds = [answer(400, error(reason="input_validation_failed"))]
    assert isinstance(await RAZORPAY[verb](razorpay, KEYS), Declined)


@pytest.mark.parametrize("verb", MONEY)
async def test_what_nobody_listens_to_was_never_sent(
    verb: str, capfd: pytest.CaptureFixture[str]
) -> None:
    razorpay = RazorpayProcessor(base_url=unused_url())
    assert isinstance(await RAZORPAY[verb](razorpay, KEYS), NotSent)
    assert isinstance(await RAZORPAY["lookup"](razorpay, KEYS), Unknown)
    await razorpay.aclose()
    assert capfd.readouterr().out == ""


@pytest.mark.parametrize("verb", MONEY)
async def test_without_credentials_or_with_live_ones_nothing_is_sent_to_a_sandbox(
    razorpay: RazorpayProcessor, server: Wire, verb: str
) -> None:
    unusable: list[dict[str, str]] = [
        {},
        {"key_id": "rzp_live_1", "key_secret": "x"},
        {"key_id": "rzp_test_1"},
    ]
    for keys in unusable:
        assert isinstance(await RAZORPAY[verb](razorpay, Credentials(keys)), NotSent)
        assert isinstance(await RAZORPAY["lookup"](razorpay, Credentials(keys)), Unknown)
    assert server.asked == []


async def test_the_order_is_ours_by_its_receipt_and_captured_by_hand(
    razorpay: RazorpayProcessor, server: Wire
) -> None:
    server.deeds = [answer(200, ORDER)]
    assert await razorpay.prepare(attempt(), KEYS) == Referenced(reference="order_1")
    sent = msgspec.json.decode(server.asked[0].body)
    assert (sent["receipt"], sent["unique_receipt"]) == ("att_1", True)
    assert sent["payment"]["capture"] == "manual"
    assert sent["notes"] == {
        "order_id": "ord_1", "attempt_id": "att_1", "merchant_id": "mer_1",
        "correlation_id": "req_1",
    }  # fmt: skip


async def test_an_order_of_another_amount_under_our_receipt_is_a_doubt(
    razorpay: RazorpayProcessor, server: Wire
) -> None:
    server.deeds = [answer(200, ORDER | {"amount": 1})]
    assert isinstance(await razorpay.prepare(attempt(), KEYS), Unknown)


async def test_r18_the_third_decimal_is_not_lost(razorpay: RazorpayProcessor, server: Wire) -> None:
    call = attempt(5_124, "KWD")
    assert razorpay.takes(call.amount) == "amount not representable"
    assert razorpay.takes(attempt(5_120, "KWD").amount) is None
    assert isinstance(await razorpay.prepare(call, KEYS), Declined)
    assert server.asked == []


@pytest.mark.parametrize(
    ("payment", "kind", "expired"),
    [
        ({"status": "captured", "captured": True}, Succeeded, None),
        ({"status": "captured", "captured": True, "amount": 999}, Unknown, None),
        ({"status": "refunded", "captured": True}, Succeeded, None),
        ({"status": "refunded"}, Declined, True),
        ({"status": "authorized"}, Declined, False),
        ({"status": "failed"}, Declined, False),
    ],
)
async def test_r7_a_refused_capture_means_what_the_payment_shows(
    razorpay: RazorpayProcessor, server: Wire, payment: Any, kind: type, expired: Any
) -> None:
    said = error(text="This payment has already been captured")
    server.deeds = [answer(400, said), answer(200, PAYMENT | payment)]
    outcome = await RAZORPAY["capture"](razorpay, KEYS)
    assert isinstance(outcome, kind)
    if isinstance(outcome, Declined):
        assert outcome.expired is expired
    assert [asked.method for asked in server.asked] == ["POST", "GET"]


async def test_a_refused_capture_that_cannot_be_looked_up_is_a_doubt(
    razorpay: RazorpayProcessor, server: Wire
) -> None:
    server.deeds = [answer(400, error()), close]
    assert isinstance(await RAZORPAY["capture"](razorpay, KEYS), Unknown)


async def test_captures_at_the_same_time_keep_their_amounts(
    razorpay: RazorpayProcessor, server: Wire
) -> None:
    """The SDK's default body is one dict for all calls of a process."""
    server.deeds = [answer(500, {})]
    calls = [money(f"cap_{n}", "order_1", f"pay_{n}", minor=n) for n in range(1, 65)]
    await asyncio.gather(*(razorpay.capture(call, KEYS) for call in calls))
    sent = {
        asked.path.split("/")[3]: msgspec.json.decode(asked.body)["amount"]
        for asked in server.asked
    }
    assert sent == {f"pay_{n}": n for n in range(1, 65)}


async def test_a_refund_has_a_key_that_razorpay_takes(
    razorpay: RazorpayProcessor, server: Wire
) -> None:
    server.deeds = [close]
    await RAZORPAY["refund"](razorpay, KEYS)
    assert server.asked[0].headers["x-refund-idempotency"] == "key-ref_1"
    assert msgspec.json.decode(server.asked[0].body)["receipt"] == "ref_1"


async def test_there_is_no_void_and_nothing_is_sent(
    razorpay: RazorpayProcessor, server: Wire
) -> None:
    assert isinstance(await RAZORPAY["void"](razorpay, KEYS), Declined)
    assert server.asked == []


async def test_a_token_does_not_spare_the_customer_the_checkout(
    razorpay: RazorpayProcessor, server: Wire
) -> None:
    server.deeds = [answer(200, {"items": [PAYMENT | {"status": "failed"}]})]
    outcome = await RAZORPAY["authorize"](razorpay, KEYS)
    assert outcome == Challenged(kind="razorpay_checkout", key_id="rzp_test_1")


async def test_a_reference_that_is_a_path_goes_nowhere(
    razorpay: RazorpayProcessor, server: Wire
) -> None:
    assert isinstance(await razorpay.lookup("../x", "authorize", KEYS), Unknown)
    assert server.asked == []


async def test_no_secret_gets_into_logs_or_onto_the_screen(
    razorpay: RazorpayProcessor,
    server: Wire,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    caplog.set_level(logging.DEBUG)
    for deed in (close, answer(401, error()), answer(200, b"x"), answer(200, {"items": []})):
        server.deeds = [deed]
        for verb in RAZORPAY.values():
            await verb(razorpay, KEYS)
    told = capfd.readouterr()
    assert SECRET not in caplog.text + told.out + told.err + repr(razorpay) + repr(KEYS)
    assert told.out == ""


async def test_r2_a_failed_payment_does_not_hide_the_one_that_follows(
    razorpay: RazorpayProcessor, server: Wire
) -> None:
    failed = PAYMENT | {"id": "pay_0", "status": "failed", "error_reason": "card_declined"}
    server.deeds = [answer(200, {"items": [PAYMENT, failed]})]
    seen = await RAZORPAY["lookup"](razorpay, KEYS)
    assert isinstance(seen, Observed)
    assert (seen.status, seen.payment_id, seen.others) == ("authorized", "pay_1", ())


async def test_r6_a_second_payment_of_an_order_is_seen_beside_the_first(
    razorpay: RazorpayProcessor, server: Wire
) -> None:
    taken = PAYMENT | {"id": "pay_2", "status": "captured", "captured": True}
    late = PAYMENT | {"id": "pay_3", "status": "refunded", "created_at": 1_700_000_009}
    server.deeds = [
        answer(200, {"items": [late, taken, PAYMENT]}),
        answer(200, {"items": []}),
    ]
    seen = await RAZORPAY["lookup"](razorpay, KEYS)
    assert isinstance(seen, Observed)
    assert (seen.status, seen.payment_id) == ("captured", "pay_2")
    assert [(x.payment_id, x.status, x.held_minor) for x in seen.others] == [
        ("pay_1", "authorized", 1000),
        ("pay_3", "cancelled", 0),
    ]
    about = seen.about("pay_1")
    assert (about.status, about.held_minor, about.captures) == ("authorized", 1000, ())
    assert {x.payment_id for x in about.others} == {"pay_2", "pay_3"}
    assert about.about("pay_2").captures == seen.captures


@pytest.mark.parametrize(
    ("reason", "code"), [("insufficient_funds", "insufficient_funds"), ("payment_timed_out", None)]
)
async def test_r3_only_an_issuers_no_is_one_and_the_checkout_stays_open(
    razorpay: RazorpayProcessor, server: Wire, reason: str, code: str | None
) -> None:
    failed = PAYMENT | {"status": "failed", "error_reason": reason}
    server.deeds = [answer(200, {"items": [failed]})]
    seen = await RAZORPAY["lookup"](razorpay, KEYS)
    assert isinstance(seen, Observed)
    assert seen.status == "challenged"
    assert (seen.decline.code if seen.decline else None) == code
