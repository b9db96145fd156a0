"""The faults on the way to the bank and back, and what the adapter makes of what it cannot read."""

import asyncio
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest

from adapters.processors.sandbox import SandboxProcessor
from adapters.processors.sandbox_answers import CODES, REFUSALS
from adapters.sandbox.tokens import SCRIPTS
from commands.outcomes import Declined, Outcome, Referenced, Succeeded, Unknown
from commands.processor import AttemptCall, Credentials, MoneyCall
from domain.money import Money
from tests.waiting import until

NONE = Credentials({})
PAY = """
import asyncio, sys
from pathlib import Path
from adapters.processors.sandbox import SandboxProcessor
from tests.adapters.sandbox.test_faults import life
processor = SandboxProcessor(Path(sys.argv[1]), public_url="", latency_s=0)
print(asyncio.run(life(processor, sys.argv[2])))
processor.close()
"""


def attempt(token: str) -> AttemptCall:
    return AttemptCall(
        order_id="ord_1",
        attempt_id="att_1",
        merchant_id="mer_1",
        mode="test",
        amount=Money(100, "EUR"),
        idempotency_key="pay:att_1",
        correlation_id="corr-1",
        token=token,
    )


def money(reference: str, subject: str) -> MoneyCall:
    return MoneyCall(
        order_id="ord_1",
        attempt_id="att_1",
        merchant_id="mer_1",
        mode="test",
        subject=subject,
        reference=reference,
        payment_id=reference,
        amount=Money(100, "EUR"),
        idempotency_key=f"key:{subject}",
        correlation_id="corr-1",
    )


async def prepared(processor: SandboxProcessor, token: str) -> str:
    referenced = await processor.prepare(attempt(token), NONE)
    assert isinstance(referenced, Referenced)
    return referenced.reference


async def life(processor: SandboxProcessor, token: str) -> list[str]:
    """Pay, capture and refund, always with the same keys."""
    reference = await prepared(processor, token)
    outcomes: list[Outcome] = [
        await processor.authorize(attempt(token), reference, NONE),
        await processor.capture(money(reference, "cap_1"), NONE),
        await processor.refund(money(reference, "ref_1"), NONE),
    ]
    return [type(outcome).__name__ for outcome in outcomes]


@pytest.fixture
def processor(path: Path) -> Iterator[SandboxProcessor]:
    made = SandboxProcessor(path, public_url="http://loop.invalid", latency_s=0.001)
    yield made
    made.close()


@pytest.mark.parametrize(
    ("token", "totals"),
    [
        ("sbx_die_before", (0, 0, 0)),
        ("sbx_die_after", (100, 0, 0)),
        ("sbx_capture_die_after", (100, 100, 0)),
        ("sbx_refund_die_after", (100, 100, 100)),
    ],
)
def test_the_process_dies_once_before_or_after_the_effect(
    path: Path, token: str, totals: tuple[int, int, int]
) -> None:
    def run() -> subprocess.CompletedProcess[str]:
        arguments = [sys.executable, "-c", PAY, str(path), token]
        return subprocess.run(arguments, capture_output=True, text=True, check=False, timeout=60)

    assert run().returncode == -signal.SIGKILL
    processor = SandboxProcessor(path, public_url="", latency_s=0)
    order = processor.bank.books().orders["ord_1"]
    assert (order.authorized, order.captured, order.refunded) == totals
    assert len(order.payments) == 1
    second = run()
    assert (second.returncode, second.stderr) == (0, "")
    assert second.stdout.strip() == str(["Succeeded"] * 3)
    order = processor.bank.books().orders["ord_1"]
    assert (order.authorized, order.captured, order.refunded) == (100, 100, 100)
    processor.close()


@pytest.mark.parametrize(("token", "held"), [("sbx_hang_before", 0), ("sbx_hang_after", 100)])
async def test_an_authorization_hangs_once_before_or_after_the_effect(
    processor: SandboxProcessor, path: Path, token: str, held: int
) -> None:
    reference = await prepared(processor, token)
    hanging = asyncio.create_task(processor.authorize(attempt(token), reference, NONE))
    await until(lambda: faults(path))
    assert not hanging.done()
    hanging.cancel()
    with suppress(asyncio.CancelledError):
        await hanging
    assert processor.bank.books().orders["ord_1"].held == held
    outcome = await processor.authorize(attempt(token), reference, NONE)
    assert isinstance(outcome, Succeeded)
    assert processor.bank.books().orders["ord_1"].held == 100


async def test_a_capture_hangs_once_after_the_effect(
    processor: SandboxProcessor, path: Path
) -> None:
    token = "sbx_capture_hang_after"
    reference = await prepared(processor, token)
    await processor.authorize(attempt(token), reference, NONE)
    hanging = asyncio.create_task(processor.capture(money(reference, "cap_1"), NONE))
    await until(lambda: faults(path))
    hanging.cancel()
    with suppress(asyncio.CancelledError):
        await hanging
    assert processor.bank.books().orders["ord_1"].captured == 100
    assert isinstance(await processor.capture(money(reference, "cap_1"), NONE), Succeeded)
    assert processor.bank.books().orders["ord_1"].captured == 100


def faults(path: Path) -> int:
    with closing(sqlite3.connect(path)) as db:
        return int(db.execute("SELECT count(*) FROM faults").fetchone()[0])


async def test_a_caller_who_gives_up_does_not_stop_the_bank(
    processor: SandboxProcessor, path: Path
) -> None:
    """A slow bank: another process has the file, and the caller's time limit passes."""
    reference = await prepared(processor, "sbx_approve")
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await processor.authorize(attempt("sbx_approve"), reference, NONE)
        other.execute("ROLLBACK")
    await until(lambda: processor.bank.books().orders["ord_1"].held == 100)


async def test_a_decline_that_the_adapter_does_not_know_is_a_doubt(
    processor: SandboxProcessor, path: Path
) -> None:
    reference = await prepared(processor, "sbx_decline")
    declined = await processor.authorize(attempt("sbx_decline"), reference, NONE)
    assert isinstance(declined, Declined)
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("UPDATE payments SET decline_code = 'a_new_code'")
        db.execute("UPDATE keys SET answer = replace(answer, 'generic_decline', 'a_new_code')")
    assert isinstance(await processor.lookup(reference, "authorize", NONE), Unknown)
    assert isinstance(await processor.authorize(attempt("sbx_decline"), reference, NONE), Unknown)


async def test_a_broken_bank_is_a_doubt(processor: SandboxProcessor) -> None:
    reference = await prepared(processor, "sbx_approve")
    processor.close()
    outcome = await processor.authorize(attempt("sbx_approve"), reference, NONE)
    assert isinstance(outcome, Unknown)
    assert isinstance(await processor.lookup(reference, "authorize", NONE), Unknown)


def test_every_code_of_a_token_is_classified() -> None:
    scripts = SCRIPTS.values()
    assert {script.decline for script in scripts} - {None} <= set(CODES)
    refusals = {code for s in scripts for code in (s.capture, s.refund, s.cancel)}
    assert refusals - {None} <= REFUSALS


async def test_a_token_that_does_not_exist_is_declined(processor: SandboxProcessor) -> None:
    reference = await prepared(processor, "sbx_nonsense")
    outcome = await processor.authorize(attempt("sbx_nonsense"), reference, NONE)
    assert isinstance(outcome, Declined)
    assert (outcome.code, outcome.retry_class) == ("invalid_token", "fix_input")
