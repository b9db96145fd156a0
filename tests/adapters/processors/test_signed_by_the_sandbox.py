"""Webhooks that somebody else signed: the sandbox server, over HTTP, in both dialects."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from adapters.processors.razorpay import RazorpayProcessor
from adapters.processors.stripe import StripeProcessor
from commands.outcomes import Referenced
from commands.processor import Credentials, Processor
from tests.adapters.processors.calls import attempt
from tests.sandbox_server import Heard, Listener, SandboxServer, sandbox_server

SECRET = "whsec_of_the_test"


@pytest.fixture
def listener() -> Iterator[Listener]:
    opened = Listener()
    yield opened
    opened.close()


@pytest.fixture
def server(tmp_path: Path, listener: Listener) -> Iterator[SandboxServer]:
    with sandbox_server(tmp_path, webhooks=(f"{listener.url}={SECRET}",)) as running:
        yield running


async def prepared(processor: Processor, keys: Credentials) -> str:
    made = await processor.prepare(attempt(), keys)
    assert isinstance(made, Referenced)
    return made.reference


def check(processor: Processor, heard: list[Heard], reference: str, attempt_id: str | None) -> None:
    for webhook in heard:
        (hint,) = processor.parse_webhook(webhook.body, webhook.headers, ["whsec_old", SECRET])
        assert (hint.reference, hint.attempt_id) == (reference, attempt_id)
        assert hint.kind == webhook.kind
        with pytest.raises(ValueError, match="does not verify"):
            processor.parse_webhook(webhook.body, webhook.headers, ["whsec_old"])


async def test_stripes_are_understood(server: SandboxServer, listener: Listener) -> None:
    stripe = StripeProcessor(base_url=server.ready.stripe_url)
    keys = Credentials({"secret_key": server.ready.stripe_key})
    reference = await prepared(stripe, keys)
    await stripe.authorize(attempt(), reference, keys)
    check(stripe, listener.wait(3), reference, "att_1")
    await stripe.aclose()


async def test_razorpays_are_understood(server: SandboxServer, listener: Listener) -> None:
    razorpay = RazorpayProcessor(base_url=server.ready.razorpay_url)
    ready = server.ready
    keys = Credentials({"key_id": ready.razorpay_key_id, "key_secret": ready.razorpay_key_secret})
    reference = await prepared(razorpay, keys)
    server.page("POST", f"/checkout/{reference}/pay", outcome="success")
    # A payment has no notes of its order: the reference says whose it is.
    check(razorpay, listener.wait(1), reference, None)
    await razorpay.aclose()
