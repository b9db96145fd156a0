"""Every row of the table of what Stripe's wire can say, through the real SDK."""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from adapters.processors import vendor_calls
from adapters.processors.stripe import StripeProcessor
from commands.observed import Absent
from commands.outcomes import Declined, NotSent, Referenced, Unknown
from commands.processor import Credentials
from tests.adapters.processors.calls import STRIPE, attempt
from tests.adapters.processors.wire import Deed, Wire, answer, close, hang, unused_url, wire
from tests.waiting import until

SECRET = "sk_test_51HidDeN"
KEYS = Credentials({"secret_key": SECRET})
MONEY = ("prepare", "authorize", "capture", "void", "refund")


def error(kind: str, **more: Any) -> dict[str, Any]:
    return {"error": {"type": kind, "message": f"No good: {SECRET}", **more}}


IN_USE = error("api_error", code="idempotency_key_in_use")
LOCKED = error("invalid_request_error", code="lock_timeout")
LIMITED = error("invalid_request_error", code="rate_limit")
REUSED = error("idempotency_error")
INVALID = error("invalid_request_error", param="amount")
MISSING = error("invalid_request_error", code="resource_missing", param="intent")
REFUSED = error("card_error", code="card_declined", decline_code="generic_decline")

ROWS: dict[str, tuple[Deed, type]] = {
    "closed before the answer": (close, Unknown),
    "no answer": (hang, Unknown),
    "half an answer": (answer(200, {"id": "pi_1", "object": "payment_intent"}, part=0.5), Unknown),
    "200 that is no JSON": (answer(200, b"<html>"), Unknown),
    "200 that is a list": (answer(200, []), Unknown),
    "204": (answer(204), Unknown),
    "302": (answer(302, b"", {"location": "http://127.0.0.1:1/"}), Unknown),
    "400 of a key with other parameters": (answer(400, REUSED), Unknown),
    "400 of another type": (answer(400, error("api_error")), Unknown),
    "400 without an error": (answer(400, {}), Unknown),
    "400": (answer(400, INVALID), Declined),
    "401": (answer(401, error("invalid_request_error")), NotSent),
    "402": (answer(402, REFUSED), Declined),
    "403": (answer(403, error("invalid_request_error")), NotSent),
    "404": (answer(404, MISSING), Unknown),
    "404 of a proxy": (answer(404, b"<html>"), Unknown),
    "409 in flight": (answer(409, IN_USE), Unknown),
    "409 locked": (answer(409, LOCKED), Unknown),
    "424": (answer(424, error("api_error")), Unknown),
    "429": (answer(429, LIMITED), NotSent),
    "429 locked": (answer(429, LOCKED), Unknown),
    "500": (answer(500, error("api_error")), Unknown),
    "500 to be repeated": (answer(500, {}, {"stripe-should-retry": "true"}), Unknown),
    "502 of a proxy": (answer(502, b"<html><h1>Bad Gateway"), Unknown),
    "503": (answer(503, error("api_error")), Unknown),
    "504": (answer(504, b""), Unknown),
}


@pytest.fixture
def server() -> Iterator[Wire]:
    with wire() as made:
        yield made


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vendor_calls, "THROTTLE_WAITS_S", (0.001, 0.001))


@pytest.fixture
async def stripe(server: Wire, request: pytest.FixtureRequest) -> AsyncIterator[StripeProcessor]:
    waits_in_vain = "no answer" in request.node.name
    processor = StripeProcessor(base_url=server.url, read_s=0.5 if waits_in_vain else 30)
    yield processor
    await processor.aclose()


@pytest.mark.parametrize("verb", MONEY)
@pytest.mark.parametrize("row", ROWS)
async def test_every_answer_has_its_class_and_is_asked_for_once(
    stripe: StripeProcessor, server: Wire, row: str, verb: str
) -> None:
    deed, expected = ROWS[row]
    server.deeds = [deed]
    outcome = await STRIPE[verb](stripe, KEYS)
    assert type(outcome) is expected, outcome
    assert len(server.asked) == (3 if row == "429" else 1)
    assert SECRET not in repr(getattr(outcome, "cause", ""))


@pytest.mark.parametrize("row", ROWS)
async def test_a_lookup_that_fails_is_a_doubt_and_only_a_real_404_says_absent(
    stripe: StripeProcessor, server: Wire, row: str
) -> None:
    server.deeds = [ROWS[row][0]]
    outcome = await STRIPE["lookup"](stripe, KEYS)
    assert type(outcome) is (Absent if row == "404" else Unknown)


@pytest.mark.parametrize("verb", MONEY)
async def test_what_nobody_listens_to_was_never_sent(verb: str) -> None:
    stripe = StripeProcessor(base_url=unused_url())
    assert isinstance(await STRIPE[verb](stripe, KEYS), NotSent)
    assert isinstance(await STRIPE["lookup"](stripe, KEYS), Unknown)
    await stripe.aclose()


@pytest.mark.parametrize("verb", MONEY)
async def test_without_credentials_or_with_live_ones_nothing_is_sent_to_a_sandbox(
    stripe: StripeProcessor, server: Wire, verb: str
) -> None:
    unusable: list[dict[str, str]] = [{}, {"secret_key": "sk_live_1"}, {"secret_key": "rk_live_1"}]
    for keys in unusable:
        assert isinstance(await STRIPE[verb](stripe, Credentials(keys)), NotSent)
        assert isinstance(await STRIPE["lookup"](stripe, Credentials(keys)), Unknown)
    assert server.asked == []


async def test_a_call_that_is_given_up_was_sent(server: Wire) -> None:
    stripe = StripeProcessor(base_url=server.url, read_s=20)
    server.deeds = [hang]
    calling = asyncio.ensure_future(stripe.prepare(attempt(), KEYS))
    await until(lambda: server.asked)
    calling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await calling
    await stripe.aclose()


async def test_what_a_limiter_turned_away_is_sent_again_with_the_same_key(
    stripe: StripeProcessor, server: Wire
) -> None:
    made = {"id": "pi_1", "object": "payment_intent", "status": "requires_confirmation"}
    server.deeds = [answer(429, LIMITED), answer(429, LIMITED), answer(200, made)]
    assert await stripe.prepare(attempt(), KEYS) == Referenced(reference="pi_1")
    assert {asked.headers["idempotency-key"] for asked in server.asked} == {"pay:att_1:create"}


async def test_a_doubt_after_a_limiter_is_a_doubt(stripe: StripeProcessor, server: Wire) -> None:
    server.deeds = [answer(429, LIMITED), close]
    assert isinstance(await stripe.prepare(attempt(), KEYS), Unknown)


async def test_every_call_says_version_account_and_key(
    stripe: StripeProcessor, server: Wire
) -> None:
    server.deeds = [close]
    for verb in STRIPE.values():
        await verb(stripe, KEYS)
    sent = [(asked.method, asked.headers.get("idempotency-key")) for asked in server.asked]
    assert sent == [
        ("POST", "pay:att_1:create"),
        ("POST", "pay:att_1:confirm"),
        ("POST", "key:cap_1"),
        ("POST", "key:att_1"),
        ("POST", "key:ref_1"),
        ("GET", None),
    ]
    for asked in server.asked:
        assert asked.headers["stripe-version"] == "2026-10-28.endive"
        assert asked.headers["authorization"] == f"Bearer {SECRET}"
        assert "telemetry_id" not in str(asked.headers)
    assert b"capture_method=manual" in server.asked[0].body


async def test_no_secret_gets_into_logs_or_onto_the_screen(
    stripe: StripeProcessor,
    server: Wire,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    caplog.set_level(logging.DEBUG)
    for deed in (close, answer(401, error("invalid_request_error")), answer(200, {"id": "pi_1"})):
        server.deeds = [deed]
        for verb in STRIPE.values():
            await verb(stripe, KEYS)
    told = capfd.readouterr()
    assert SECRET not in caplog.text + told.out + told.err + repr(stripe) + repr(KEYS)


async def test_a_confirmation_that_was_made_before_is_looked_up_and_no_decline(
    stripe: StripeProcessor, server: Wire
) -> None:
    for status in ("requires_capture", "succeeded", "processing", "requires_action", "new_one"):
        intent = {"id": "pi_1", "object": "payment_intent", "status": status}
        said = error(
            "invalid_request_error", code="payment_intent_unexpected_state", payment_intent=intent
        )
        server.deeds = [answer(400, said)]
        assert isinstance(await STRIPE["authorize"](stripe, KEYS), Unknown)


@pytest.mark.parametrize("status", ["requires_confirmation", "a_new_one", None])
async def test_a_status_that_nobody_expects_is_a_doubt(
    stripe: StripeProcessor, server: Wire, status: str | None
) -> None:
    intent = {"id": "pi_1", "object": "payment_intent", "status": status, "currency": "usd"}
    server.deeds = [answer(200, intent)]
    for verb in ("authorize", "capture", "void", "refund"):
        assert isinstance(await STRIPE[verb](stripe, KEYS), Unknown), verb
