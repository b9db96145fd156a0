"""The sandbox: our own bank in the same process, with faults on the way to it and back.

The public verbs, then sending. What is not known is `Unknown`.
"""
# ruff: noqa: ARG002 - the protocol's credentials, amounts and webhooks mean nothing here

import asyncio
import os
import random
import signal
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

from adapters.processors import sandbox_answers as answers
from adapters.sandbox.bank import HOLD_S, PAGE, Bank
from adapters.sandbox.objects import Answer
from adapters.sandbox.tokens import APPROVE, Call, Fault, Place, fault_of
from commands.observed import (
    Absent,
    ListedPage,
    Observed,
)
from commands.outcomes import (
    Challenged,
    NotSent,
    Outcome,
    Pending,
    Referenced,
    Succeeded,
    Unknown,
)
from commands.processor import (
    AttemptCall,
    Capabilities,
    CheckoutProof,
    CredentialField,
    Credentials,
    Described,
    Hint,
    MoneyCall,
    Window,
)
from domain.events import Operation
from domain.metadata import Mode
from domain.money import Money

HANG_S: Final = 3600.0
"""Beyond every time limit of a caller."""

_Done = TypeVar("_Done")


class SandboxProcessor:
    """The bank as a processor; credentials open nothing here and are not read.

    Args:
        path: the bank's SQLite file; several processes may share it.
        public_url: where the customer's browser finds us, without a slash at the end.
        latency_s: the mean time of the way to the bank, and of the way back.
        hold_s: how long money stays held.
        seed: of the jitter.
    """

    name: str = "sandbox"
    capabilities: Capabilities = Capabilities(
        partial_capture=True, several_captures=True, void=True, closes_declined=False
    )
    fields: tuple[CredentialField, ...] = ()

    def __init__(
        self,
        path: Path,
        *,
        public_url: str,
        latency_s: float = 0.02,
        hold_s: int = HOLD_S,
        seed: int = 0,
    ) -> None:
        self.bank = Bank(path, hold_s=hold_s)
        self._at_once = Bank(path, hold_s=hold_s, busy_timeout_s=0)
        self._public_url = public_url.rstrip("/")
        self._latency_s = latency_s
        self._jitter = random.Random(seed)  # noqa: S311 - delays, not secrets
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="sandbox-bank")

    def close(self) -> None:
        """Finish what the bank is at and close its file."""
        self._worker.shutdown(wait=True)
        self._at_once.close()
        self.bank.close()

    async def aclose(self) -> None:
        """See `close`."""
        self.close()

    def takes(self, amount: Money) -> str | None:
        """Take every amount."""
        return None

    def account_of(self, credentials: Credentials, mode: Mode) -> str:
        """Return the one account that the bank has, for test money only."""
        if mode != "test":
            raise ValueError("the sandbox has no live mode")
        return self.name

    async def describe(self, token: str, credentials: Credentials) -> Described:
        """Tell nothing: the bank's cards have no brand."""
        return Described()

    async def prepare(self, call: AttemptCall, credentials: Credentials) -> Referenced | Outcome:
        """Make the payment at the bank; moves no money."""
        effect = partial(
            Bank.create,
            key=f"{call.idempotency_key}:create",
            order_id=call.order_id,
            attempt_id=call.attempt_id,
            merchant=call.merchant_id,
            mode=call.mode,
            amount=call.amount.minor,
            currency=call.amount.currency,
            token=call.token,
            correlation_id=call.correlation_id,
        )
        answer = await self._send("create", call.attempt_id, call.token, effect)
        if not isinstance(answer, Answer):
            return answer
        if answer.result == "ok" and answer.reference:
            return Referenced(reference=answer.reference)
        return Unknown(cause=answers.cause(answer))

    async def authorize(
        self, call: AttemptCall, reference: str, credentials: Credentials
    ) -> Outcome:
        """Confirm the payment: hold the money."""
        effect = partial(
            Bank.confirm,
            reference=reference,
            key=f"{call.idempotency_key}:confirm",
            return_url=call.return_url,
            correlation_id=call.correlation_id,
        )
        answer = await self._send("confirm", call.attempt_id, call.token, effect)
        if not isinstance(answer, Answer):
            return answer
        match answer.result:
            case "ok":
                return Succeeded(fact=answers.fact(answer))
            case "pending":
                return Pending(look_again_s=answers.LOOK_AGAIN_S)
            case "challenged":
                return self._challenged(reference)
            case "refused":
                return answers.declined(answer.code) or Unknown(cause=answers.cause(answer))
            case _:
                return Unknown(cause=answers.cause(answer))

    async def capture(self, call: MoneyCall, credentials: Credentials) -> Outcome:
        """Take held money."""
        effect = partial(
            Bank.capture,
            reference=call.payment_id,
            key=call.idempotency_key,
            amount=call.amount.minor,
            currency=call.amount.currency,
            final=call.final,
            subject=call.subject,
            correlation_id=call.correlation_id,
        )
        return answers.outcome(await self._send("capture", call.subject, None, effect))

    async def void(self, call: MoneyCall, credentials: Credentials) -> Outcome:
        """Cancel the payment by its reference: an attempt that holds nothing has no payment id."""
        effect = partial(
            Bank.cancel,
            reference=call.reference,
            key=call.idempotency_key,
            correlation_id=call.correlation_id,
        )
        return answers.outcome(await self._send("cancel", call.subject, None, effect))

    async def refund(self, call: MoneyCall, credentials: Credentials) -> Outcome:
        """Send captured money back."""
        effect = partial(
            Bank.refund,
            reference=call.payment_id,
            key=call.idempotency_key,
            amount=call.amount.minor,
            currency=call.amount.currency,
            subject=call.subject,
            correlation_id=call.correlation_id,
        )
        return answers.outcome(await self._send("refund", call.subject, None, effect))

    async def lookup(
        self, reference: str, operation: Operation, credentials: Credentials
    ) -> Observed | Absent | Unknown:
        """Read the payment whole."""
        await self._travel()
        try:
            view = await self._at_bank(partial(Bank.lookup, reference=reference))
        except sqlite3.Error as error:
            return Unknown(cause=f"the bank's file: {error}")
        await self._travel()
        if view is None:
            return Absent()
        return answers.observed(view, self._challenged(reference))

    async def listed(self, window: Window, credentials: Credentials) -> ListedPage | Unknown:
        """List a merchant's payments by when they last changed, 100 a page."""
        effect = partial(
            Bank.listed,
            merchant=window.merchant_id,
            mode=window.mode,
            since_us=answers.us(window.since),
            until_us=answers.us(window.until),
            after=window.after,
        )
        try:
            views = await self._at_bank(effect)
        except sqlite3.Error as error:
            return Unknown(cause=f"the bank's file: {error}")
        after = views[-1].payment.reference if len(views) >= PAGE else None
        return ListedPage(items=tuple(map(answers.listed, views)), after=after)

    def parse_webhook(
        self, raw: bytes, headers: Mapping[str, str], secrets: Sequence[str]
    ) -> list[Hint]:
        """Refuse: the sandbox in our own process sends no webhooks."""
        raise ValueError("the sandbox sends no webhooks")

    def unverified(self, raw: bytes) -> list[Hint]:
        """Refuse, as above."""
        raise ValueError("the sandbox sends no webhooks")

    def proves(self, proof: CheckoutProof, reference: str, credentials: Credentials) -> bool:
        """Deny: it has no checkout of its own."""
        del proof, reference, credentials
        return False

    async def _send(
        self, call: Call, scope: str, token: str | None, effect: Callable[[Bank], Answer]
    ) -> Answer | Outcome:
        """Go to the bank and come back, with what the token does to the way.

        Args:
            call: the bank's operation.
            scope: whose first try it is: our attempt, capture or refund, whatever the key.
            token: the payment's, where the caller knows it; faults before the effect need it.
            effect: what the bank does.
        """
        await self._travel()
        try:
            fault = await self._due(call, "before", scope, token or APPROVE)
            if fault is not None:
                return await _strike(fault)
            answer = await self._at_bank(effect)
            fault = await self._due(call, "after", scope, answer.token)
        except sqlite3.Error as error:
            return Unknown(cause=f"the bank's file: {error}")
        if fault is not None:
            return await _strike(fault)
        await self._travel()
        return answer

    async def _due(self, call: Call, place: Place, scope: str, token: str) -> Fault | None:
        """Give the fault that strikes now; that it does is on disk before it does."""
        fault = fault_of(token, call, place)
        if fault is None or fault.always:
            return fault
        first = await self._at_bank(partial(Bank.claim, scope=scope, fault=f"{call}:{token}"))
        return fault if first else None

    async def _travel(self) -> None:
        if self._latency_s:
            await asyncio.sleep(self._latency_s * self._jitter.uniform(0.5, 1.5))

    async def _at_bank(self, work: Callable[[Bank], _Done]) -> _Done:
        """Do the bank's work; a caller who gives up does not undo it.

        Right here it takes 0.1 ms. In a thread it takes 3 ms beside a busy event loop, because it
        gives up the interpreter at every statement; only a file that somebody else is writing to
        is waited for there.
        """
        try:
            return work(self._at_once)
        except sqlite3.OperationalError as error:
            if getattr(error, "sqlite_errorcode", None) != sqlite3.SQLITE_BUSY:
                raise
        waiting = partial(work, self.bank)
        return await asyncio.get_running_loop().run_in_executor(self._worker, waiting)

    def _challenged(self, reference: str) -> Challenged:
        url = f"{self._public_url}/sandbox/challenge/{reference}"
        return Challenged(kind="redirect", redirect_url=url)


async def _strike(fault: Fault) -> Outcome:
    """Damage the call."""
    match fault.do:
        case "die":
            os.kill(os.getpid(), signal.SIGKILL)
        case "hang":
            await asyncio.sleep(HANG_S)
        case "unavailable":
            return NotSent(cause="connection refused")
        case "error":
            return Unknown(cause="http 500")
    return Unknown(cause="no answer")
