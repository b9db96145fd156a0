"""The processors that stand under the contract, each with its test tokens by role."""

from collections.abc import Callable, Generator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from adapters.processors.sandbox import SandboxProcessor
from commands.processor import Credentials, Processor


class AnswerChallenge(Protocol):
    def __call__(self, reference: str, *, approve: bool) -> None: ...


@dataclass(frozen=True, kw_only=True)
class Rig:
    """A processor with what a test needs to know about it.

    `tokens` gives the processor's token for each role; a test is skipped where there is none.
    `answer_challenge` is the customer in front of the 3-D Secure page.
    """

    processor: Processor
    credentials: Credentials
    tokens: Mapping[str, str | None]
    answer_challenge: AnswerChallenge


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
def sandbox(folder: Path) -> Generator[Rig]:
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


RIGS: Final[Mapping[str, Callable[[Path], AbstractContextManager[Rig]]]] = {"sandbox": sandbox}
"""One line per processor."""
