"""Stripe's API as others play it: leaner, older, without reasons; here answers of localstripe's.

What they leave out is made up for, or it is a doubt: never an exception, never money that is not.
"""

from collections.abc import AsyncIterator, Iterator
from typing import Any, Final
from urllib.parse import parse_qs

import pytest

from adapters.processors.stripe import StripeProcessor
from commands.observed import Observed
from commands.outcomes import Challenged, Declined, Pending, Referenced, Succeeded, Unknown
from commands.processor import Credentials
from tests.adapters.processors.calls import STRIPE, money
from tests.adapters.processors.wire import Deed, Wire, answer, wire

KEYS: Final = Credentials({"secret_key": "sk_test_1"})
CHARGE: Final[dict[str, Any]] = {
    "id": "ch_1",
    "object": "charge",
    "amount": 1000,
    "amount_refunded": 0,
    "balance_transaction": None,
    "captured": False,
    "created": 1_700_000_000,
    "currency": "usd",
    "status": "succeeded",
}
INTENT: Final[dict[str, Any]] = {
    "id": "pi_1",
    "object": "payment_intent",
    "amount": 1000,
    "created": 1_700_000_000,
    "currency": "usd",
    "last_payment_error": None,
    "latest_charge": CHARGE,
    "metadata": {},
    "status": "requires_capture",
}
TAKEN: Final = INTENT | {"status": "succeeded", "latest_charge": CHARGE | {"captured": True}}
NOTHING: Final[dict[str, Any]] = {"object": "list", "data": [], "has_more": False}
OUTCOMES: Final = Succeeded | Challenged | Pending | Declined | Unknown


@pytest.fixture
def server() -> Iterator[Wire]:
    with wire() as made:
        yield made


@pytest.fixture
async def stripe(server: Wire) -> AsyncIterator[StripeProcessor]:
    processor = StripeProcessor(base_url=server.url, read_s=30)
    yield processor
    await processor.aclose()


def refused(message: str) -> Deed:
    return answer(400, {"error": {"type": "invalid_request_error", "message": message}})


async def do(stripe: StripeProcessor, verb: str) -> Any:
    return await STRIPE[verb](stripe, KEYS)


async def test_a_server_that_knows_no_return_url_is_asked_without_it(
    stripe: StripeProcessor, server: Wire
) -> None:
    server.deeds = [refused("Unexpected return_url"), answer(200, INTENT)]
    outcome = await do(stripe, "authorize")
    assert isinstance(outcome, Succeeded)
    assert (outcome.fact.payment_id, outcome.fact.amount_minor) == ("ch_1", 1000)
    first, second = server.asked
    assert "return_url" in parse_qs(first.body.decode())
    assert "return_url" not in parse_qs(second.body.decode())
    assert first.headers["idempotency-key"] != second.headers["idempotency-key"]


@pytest.mark.parametrize(("released", "minor"), [(0, 1000), (600, 400)])
async def test_a_capture_without_amounts_is_what_was_not_released(
    stripe: StripeProcessor, server: Wire, released: int, minor: int
) -> None:
    charge = TAKEN["latest_charge"] | {"amount_refunded": released}
    server.deeds = [refused("Unexpected metadata"), answer(200, TAKEN | {"latest_charge": charge})]
    outcome = await stripe.capture(money("cap_1", "pi_1", "ch_1", minor), KEYS)
    assert isinstance(outcome, Succeeded)
    assert outcome.fact.amount_minor == minor


async def test_what_was_taken_is_a_doubt_where_refunds_hide_it(
    stripe: StripeProcessor, server: Wire
) -> None:
    charge = TAKEN["latest_charge"] | {"amount_refunded": 600}
    server.deeds = [answer(200, TAKEN | {"latest_charge": charge}), answer(200, NOTHING)]
    assert isinstance(await do(stripe, "lookup"), Unknown)


async def test_a_lookup_without_amounts_says_what_is_held_and_what_was_taken(
    stripe: StripeProcessor, server: Wire
) -> None:
    server.deeds = [answer(200, INTENT), answer(200, TAKEN), answer(200, NOTHING)]
    held, taken = await do(stripe, "lookup"), await do(stripe, "lookup")
    assert isinstance(held, Observed)
    assert isinstance(taken, Observed)
    assert (held.status, held.held_minor, held.captures) == ("authorized", 1000, ())
    assert (taken.status, taken.held_minor) == ("captured", 0)
    assert [capture.amount_minor for capture in taken.captures] == [1000]


async def test_a_charge_that_is_only_an_id_is_fetched(
    stripe: StripeProcessor, server: Wire
) -> None:
    pi = INTENT | {"latest_charge": "ch_1"}
    server.deeds = [answer(200, pi), answer(200, CHARGE)]
    outcome = await do(stripe, "authorize")
    assert isinstance(outcome, Succeeded)
    assert outcome.fact.payment_id == "ch_1"
    assert [asked.path.partition("?")[0] for asked in server.asked][1] == "/v1/charges/ch_1"
    server.deeds = [answer(200, pi), refused("Bad request")]
    assert isinstance(await do(stripe, "lookup"), Unknown)


@pytest.mark.parametrize(
    ("verb", "status", "kind"),
    [
        ("authorize", "requires_capture", Unknown),
        ("authorize", "requires_action", Unknown),
        ("authorize", "requires_confirmation", Declined),
        ("capture", "succeeded", Declined),
        ("capture", "requires_capture", Declined),
        ("void", "processing", Pending),
        ("void", "succeeded", Declined),
    ],
)
async def test_a_refusal_without_a_reason_means_what_is_there(
    stripe: StripeProcessor, server: Wire, verb: str, status: str, kind: type
) -> None:
    server.deeds = [refused("Bad request"), answer(200, INTENT | {"status": status})]
    outcome = await do(stripe, verb)
    assert isinstance(outcome, kind)
    if (verb, status) == ("capture", "succeeded"):
        assert outcome.code == "already_captured"


@pytest.mark.parametrize("verb", ["authorize", "capture", "void"])
async def test_a_refusal_without_a_reason_that_cannot_be_looked_up_is_a_doubt(
    stripe: StripeProcessor, server: Wire, verb: str
) -> None:
    server.deeds = [refused("Bad request"), answer(500, {})]
    assert isinstance(await do(stripe, verb), Unknown)


@pytest.mark.parametrize("value", ["left out", None, [], {}, "text", 7])
@pytest.mark.parametrize("name", sorted(INTENT))
async def test_whatever_a_server_leaves_out_or_bends_no_money_is_made_of_it(
    stripe: StripeProcessor, server: Wire, name: str, value: object
) -> None:
    for whole in (INTENT, TAKEN):
        bent = {**whole, name: value}
        if value == "left out":
            del bent[name]
        server.deeds = [answer(200, bent)]
        for verb in ("authorize", "capture", "void", "refund"):
            outcome = await do(stripe, verb)
            assert isinstance(outcome, OUTCOMES)
            if isinstance(outcome, Succeeded) and verb != "refund":
                assert outcome.fact.amount_minor == 1000
        assert isinstance(await do(stripe, "prepare"), Referenced | Unknown)
        server.deeds = [answer(200, bent), answer(200, NOTHING)]
        seen = await do(stripe, "lookup")
        assert isinstance(seen, Observed | Unknown)
        if isinstance(seen, Observed) and seen.status in {"authorized", "captured"}:
            assert seen.held_minor + sum(taken.amount_minor for taken in seen.captures) == 1000


@pytest.mark.parametrize("value", ["left out", None, [], {}, "text"])
@pytest.mark.parametrize("name", sorted({*CHARGE, "amount_captured", "payment_method_details"}))
async def test_a_charge_that_is_bent_makes_no_money(
    stripe: StripeProcessor, server: Wire, name: str, value: object
) -> None:
    for whole in (INTENT, TAKEN):
        charge = {**whole["latest_charge"], name: value}
        if value == "left out":
            del charge[name]
        pi = whole | {"latest_charge": charge}
        server.deeds = [answer(200, pi)]
        for verb in ("authorize", "capture", "void"):
            outcome = await do(stripe, verb)
            assert isinstance(outcome, OUTCOMES)
            if isinstance(outcome, Succeeded):
                assert outcome.fact.payment_id in {"ch_1", "text", "pi_1"}
                assert outcome.fact.amount_minor == 1000
        server.deeds = [answer(200, pi), answer(200, NOTHING)]
        assert isinstance(await do(stripe, "lookup"), Observed | Unknown)


@pytest.mark.parametrize("refunds", [None, {}, [None], ["text"], [{}], [{"id": "re_1"}]])
async def test_refunds_that_are_none_are_a_doubt(
    stripe: StripeProcessor, server: Wire, refunds: object
) -> None:
    server.deeds = [answer(200, TAKEN), answer(200, {"object": "list", "data": refunds})]
    assert isinstance(await do(stripe, "lookup"), Unknown)
