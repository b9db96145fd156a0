"""The processors that stand under the contract, each with its test tokens by role."""

import secrets
from collections.abc import Callable, Generator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol, TypeAlias

from adapters.processors.razorpay import RazorpayProcessor
from adapters.processors.sandbox import SandboxProcessor
from adapters.processors.stripe import StripeProcessor
from commands.processor import Credentials, Processor
from tests.sandbox_server import SandboxServer

Vendors: TypeAlias = Callable[[], SandboxServer]
"""Starts the sandbox server of both dialects when it is first asked for."""


class AnswerChallenge(Protocol):
    def __call__(self, reference: str, *, approve: bool) -> None: ...


@dataclass(frozen=True, kw_only=True)
class Rig:
    """A processor with what a test needs to know about it.

    `tokens` gives the processor's token for each role; a test is skipped where there is none.
    `amounts` gives an amount where that is what makes the role.
    `answer_challenge` is the customer in front of the 3-D Secure page, or of the checkout.
    `time_passes` lets the processor's clock run, in seconds.
    `checkout`: every payment is made by the customer, on the processor's own page.
    `keeps_capture_ids`: a capture can be found by our id.
    """

    processor: Processor
    credentials: Credentials
    tokens: Mapping[str, str | None]
    answer_challenge: AnswerChallenge
    amounts: Mapping[str, int] = field(default_factory=dict)
    time_passes: Callable[[float], None] = lambda _: None
    checkout: bool = False
    keeps_capture_ids: bool = True


SANDBOX_TOKENS: Final[Mapping[str, str | None]] = {
    "none": None,
    "approve": "sbx_approve",
    "decline failover": "sbx_decline",
    "decline later": "sbx_decline_insufficient_funds",
    "decline stop": "sbx_decline_lost_card",
    "decline fix_input": "sbx_decline_expired_card",
    "challenge": "sbx_challenge",
    "challenge then decline": "sbx_challenge_decline",
    "challenge approved by itself": "sbx_challenge_auto",
    "pending": "sbx_pending",
    "unavailable": "sbx_unavailable",
    "unavailable once": "sbx_unavailable_once",
    "authorize, answer lost": "sbx_error_after",
    "capture, answer lost": "sbx_capture_error_after",
    "refund, answer lost": "sbx_refund_error_after",
    "capture refused": "sbx_capture_decline",
    "refund refused": "sbx_refund_decline",
    "void refused": "sbx_void_decline",
    "refund pending": "sbx_refund_pending",
    "wrong amount": "sbx_wrong_amount",
    "hold lapses": "sbx_expire",
}


@contextmanager
def sandbox(folder: Path, _: Vendors) -> Generator[Rig]:
    processor = SandboxProcessor(
        folder / "bank.sqlite3", public_url="http://loop.invalid/", latency_s=0
    )

    def answer_challenge(reference: str, *, approve: bool) -> None:
        processor.bank.challenge(reference, approve=approve)

    try:
        yield Rig(
            processor=processor,
            credentials=Credentials({}),
            tokens=SANDBOX_TOKENS,
            answer_challenge=answer_challenge,
        )
    finally:
        processor.close()


STRIPE_TOKENS: Final[Mapping[str, str | None]] = {
    "approve": "pm_card_visa",
    "decline failover": "pm_card_visa_chargeDeclined",
    "decline later": "pm_card_visa_chargeDeclinedInsufficientFunds",
    "decline stop": "pm_card_visa_chargeDeclinedLostCard",
    "decline fix_input": "pm_card_chargeDeclinedExpiredCard",
    "challenge": "pm_card_threeDSecure2Required",
    "challenge then decline": "pm_card_threeDSecureRequiredChargeDeclined",
    "pending": "pm_card_visa",
    "authorize, answer lost": "pm_card_visa",
    "refund pending": "pm_card_pendingRefund",
    "hold lapses": "pm_card_visa",
}
STRIPE_AMOUNTS: Final = {"pending": 12_002, "authorize, answer lost": 15_004}

RAZORPAY_TOKENS: Final[Mapping[str, str | None]] = dict.fromkeys(
    ("approve", "challenge", "capture, answer lost", "refund pending", "hold lapses")
)
RAZORPAY_AMOUNTS: Final = {
    "capture, answer lost": 15_004,
    "refund pending": 18_001,
    "hold lapses": 19_003,
}


@contextmanager
def stripe(_: Path, vendors: Vendors) -> Generator[Rig]:
    running = vendors()

    def answer_challenge(reference: str, *, approve: bool) -> None:
        running.page("POST", f"/3ds/{reference}/{'approve' if approve else 'fail'}")

    yield Rig(
        processor=StripeProcessor(base_url=running.ready.stripe_url),
        credentials=Credentials({"secret_key": f"sk_test_{secrets.token_hex(8)}"}),
        tokens=STRIPE_TOKENS,
        answer_challenge=answer_challenge,
        amounts=STRIPE_AMOUNTS,
        time_passes=running.advance,
    )


@contextmanager
def razorpay(_: Path, vendors: Vendors) -> Generator[Rig]:
    running = vendors()

    def answer_challenge(reference: str, *, approve: bool) -> None:
        outcome = "success" if approve else "authentication_failed"
        running.page("POST", f"/checkout/{reference}/pay", outcome=outcome)

    keys = {"key_id": f"rzp_test_{secrets.token_hex(8)}", "key_secret": "secret"}
    yield Rig(
        processor=RazorpayProcessor(base_url=running.ready.razorpay_url),
        credentials=Credentials(keys),
        tokens=RAZORPAY_TOKENS,
        answer_challenge=answer_challenge,
        amounts=RAZORPAY_AMOUNTS,
        time_passes=running.advance,
        checkout=True,
        keeps_capture_ids=False,
    )


RIGS: Final[Mapping[str, Callable[[Path, Vendors], AbstractContextManager[Rig]]]] = {
    "sandbox": sandbox,
    "stripe": stripe,
    "razorpay": razorpay,
}
"""One line per processor."""
