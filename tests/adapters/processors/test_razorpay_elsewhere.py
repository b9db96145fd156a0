"""Razorpay's API as others play it: what is left out or bent is a doubt, never an exception."""

from collections.abc import AsyncIterator, Iterator
from typing import Any, Final

import pytest

from adapters.processors.razorpay import RazorpayProcessor
from commands.observed import Absent, Observed
from commands.outcomes import Challenged, Declined, Referenced, Succeeded, Unknown
from commands.processor import Credentials
from tests.adapters.processors.calls import RAZORPAY
from tests.adapters.processors.wire import Wire, answer, wire

KEYS: Final = Credentials({"key_id": "rzp_test_1", "key_secret": "s3cr3t"})
PAYMENT: Final[dict[str, Any]] = {
    "id": "pay_1",
    "amount": 1000,
    "captured": True,
    "created_at": 1_700_000_000,
    "currency": "USD",
    "status": "captured",
}


@pytest.fixture
def server() -> Iterator[Wire]:
    with wire() as made:
        yield made


@pytest.fixture
async def razorpay(server: Wire) -> AsyncIterator[RazorpayProcessor]:
    processor = RazorpayProcessor(base_url=server.url, read_s=30)
    yield processor
    await processor.aclose()


@pytest.mark.parametrize("value", ["left out", None, [], {}, "text", 1000])
@pytest.mark.parametrize("name", sorted(PAYMENT))
async def test_whatever_a_server_leaves_out_or_bends_no_money_is_made_of_it(
    razorpay: RazorpayProcessor, server: Wire, name: str, value: object
) -> None:
    bent = {**PAYMENT, name: value}
    if value == "left out":
        del bent[name]
    server.deeds = [answer(200, bent)]
    for verb in ("prepare", "capture", "refund"):
        outcome = await RAZORPAY[verb](razorpay, KEYS)
        assert isinstance(outcome, Succeeded | Declined | Referenced | Unknown)
        if isinstance(outcome, Succeeded):
            assert outcome.fact.amount_minor == 1000
    for body in ({"items": [bent]}, {"items": bent}, {"items": [PAYMENT, bent]}, bent):
        server.deeds = [answer(200, body), answer(200, {"items": [bent, value]})]
        for verb in ("authorize", "lookup"):
            seen = await RAZORPAY[verb](razorpay, KEYS)
            assert isinstance(seen, Challenged | Succeeded | Observed | Absent | Unknown)
