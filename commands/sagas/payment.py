"""The payment saga: takes a due row, acts at the processor, and records what came of it.

Intent first: whatever is sent was committed before, and comes from the log alone. A try is counted
before the call, so an answer is called "never sent" only when it was the first try. A definite no
to a capture, void or refund is believed only after a lookup.
"""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Any, Final, TypeAlias

import msgspec

from commands.caller import Caller
from commands.execute import commit
from commands.ports import DueRow, Ports, VersionTaken
from commands.processor import (
    Absent,
    AttemptCall,
    Challenged,
    Credentials,
    Declined,
    MoneyCall,
    NotSent,
    Observed,
    Outcome,
    Pending,
    Processor,
    Referenced,
    Succeeded,
    Unknown,
    unfit,
)
from commands.read_order import CHALLENGE_FIELD, ChallengeSecret
from commands.sagas.observe import facts
from domain import merchant as merchants
from domain.events import Operation
from domain.ids import new_id
from domain.metadata import Actor
from domain.money import Money
from domain.order import commands as c
from domain.order.decide import decide
from domain.order.evolve import fold
from domain.order.rules import may_fail_over
from domain.order.state import Attempt, Capture, Order, Refund
from domain.order.steps import Step, steps
from domain.routing import Failover, Inputs, route

log = logging.getLogger(__name__)

TRIES_MAX: Final = 5
"""Tries of one call before its outcome is called unknown in the log."""
PREPARE_TRIES_MAX: Final = 3
"""Tries to reach the only processor before the order fails, with proof that nothing was sent."""
OPEN_LOOKS_MAX: Final = 3
"""Lookups of a doubt that still find nothing done, before the attempt is closed instead."""
RETRY_CAP_S: Final = 60.0
PENDING_CAP_S: Final = 3_600.0
DOUBT_S: Final = (5.0, 15.0, 60.0, 300.0, 900.0, 3600.0)
"""Between lookups of an unknown outcome; then hourly for a day, then daily."""
HOURLY_TRIES: Final = 30
DAY_S: Final = 86_400.0
CONFLICTS_MAX: Final = 1_000
"""An outcome is decided anew until it lands; more conflicts than this are a bug."""


class Later(msgspec.Struct, frozen=True):
    """Nothing to record; look again after so many seconds."""

    in_s: float


class Facts(msgspec.Struct, frozen=True):
    """What to record, and when it happened at the processor."""

    commands: tuple[c.OrderCommand, ...]
    at: datetime | None = None


Result: TypeAlias = Later | Facts


class Act(msgspec.Struct, kw_only=True):
    """One claimed row being worked on: the order as it was read, and what is needed to act."""

    row: DueRow
    order: Order
    caller: Caller
    attempt: Attempt | None = None
    processor: Processor | None = None
    credentials: Credentials = msgspec.field(default_factory=lambda: Credentials({}))

    @property
    def first_try(self) -> bool:
        """Whether nothing of this operation can have been sent before."""
        return self.row.tries == 1

    @property
    def retry(self) -> Later:
        """When to try the same call again: 1 s, 2 s, 4 s … with full jitter."""
        cap = min(RETRY_CAP_S, 2.0 ** (self.row.tries - 1))
        return Later(random.uniform(cap / 2, cap))  # noqa: S311 - jitter is no secret

    @property
    def pending(self) -> Later:
        """When to look again at what the processor is still doing: 1 s, 2 s, 4 s … to an hour."""
        return Later(min(PENDING_CAP_S, 2.0 ** min(self.row.tries - 1, 20)))

    @property
    def doubt(self) -> Later:
        """When to look again at an unknown outcome."""
        tries = self.row.tries
        if tries > HOURLY_TRIES:
            return Later(DAY_S)
        return Later(DOUBT_S[min(tries, len(DOUBT_S)) - 1])


class PaymentSaga:
    """Acts on due rows. `call_limit_s` bounds every call of a processor, in seconds."""

    def __init__(self, ports: Ports, *, worker: int, call_limit_s: float) -> None:
        self._ports = ports
        self._worker = worker
        self._limit_s = call_limit_s
        self._handlers: dict[str, Callable[[Act], Awaitable[Result]]] = {
            "authorize": self._authorize,
            "lookup_authorize": self._lookup_authorize,
            "challenge": self._challenge,
            "fence": self._fence,
            "withhold": self._withhold,
            "fail_over": self._fail_over,
            "void": self._void,
            "lookup_void": self._void,
            "void_stray": self._void_stray,
            "refund_stray": self._refund_stray,
            "warn_expiring": self._warn_expiring,
            "expire": self._watch_hold,
            "watch_hold": self._watch_hold,
            "capture": self._capture,
            "lookup_capture": self._capture,
            "refund": self._refund,
            "lookup_refund": self._refund,
            "expire_session": self._expire_session,
        }

    @property
    def operations(self) -> set[str]:
        """Return what this saga can do."""
        return set(self._handlers)

    async def act(self, row: DueRow) -> None:
        """Do what the row asks for and record the outcome.

        Raises:
            domain.errors.Unavailable: the log cannot be reached; the row's lease runs out and
                somebody looks again.
        """
        rows = (await self._ports.store.load([row.order_id]))[row.order_id]
        order = fold(rows)
        step = _step_of(order, row.subject) if order else None
        if order is None or step is None:
            await self._ports.due.drop(row)
            return
        if step.operation != row.operation:
            await self._ports.due.again(row, in_s=1.0)
            return
        act = await self._prepared(row, order, rows[-1].metadata.event_id)
        result = await self._handlers[row.operation](act)
        match result:
            case Later():
                await self._ports.due.again(row, in_s=result.in_s)
            case Facts():
                await self._record(act, result)

    async def _prepared(self, row: DueRow, order: Order, causation_id: str) -> Act:
        attempt = _attempt_of(order, row.subject)
        caller = Caller(
            actor=Actor("saga", "payment"),
            merchant_id=order.merchant_id,
            mode=order.mode,
            correlation_id=attempt.correlation_id if attempt else new_id("req"),
            causation_id=causation_id,
        )
        act = Act(row=row, order=order, caller=caller, attempt=attempt)
        if attempt is not None:
            act.processor = self._ports.processors.get(attempt.processor)
            act.credentials = await self._ports.vault.credentials(
                order.merchant_id, order.mode, attempt.processor, attempt.credential_version
            )
        return act

    async def _record(self, act: Act, result: Facts) -> None:
        """Append the facts, each decided on the newest state, until they have landed."""
        before = act.order
        for command in result.commands:
            await self._record_one(act, command, result.at)
        step = _step_of(act.order, act.row.subject)
        if step is not None and step == _step_of(before, act.row.subject):
            # The same thing is still to be done: the row is ours until we give it back.
            await self._ports.due.again(act.row, in_s=act.retry.in_s)

    async def _record_one(self, act: Act, command: c.OrderCommand, at: datetime | None) -> None:
        for _ in range(CONFLICTS_MAX):
            events = decide(act.order, command)
            if not events:
                return
            now = self._ports.now()
            try:
                done = await commit(
                    self._ports,
                    act.caller,
                    act.order,
                    events,
                    order_id=act.order.id,
                    occurred_at=min(at, now) if at else now,
                    worker=self._worker,
                )
            except VersionTaken:
                await self._reload(act)
            else:
                act.order = done.order
                act.attempt = _attempt_of(done.order, act.row.subject)
                return
        raise AssertionError("an outcome lands sooner or later")

    async def _reload(self, act: Act) -> None:
        rows = (await self._ports.store.load([act.row.order_id]))[act.row.order_id]
        order = fold(rows)
        assert order is not None, "an order does not vanish"
        act.order = order
        act.attempt = _attempt_of(order, act.row.subject)

    async def _call(self, call: Awaitable[Any]) -> Any:
        """Bound one call in time; whatever goes wrong in an adapter is an unknown outcome."""
        try:
            async with asyncio.timeout(self._limit_s):
                return await call
        except TimeoutError:
            return Unknown(cause="timeout")
        except Exception as error:
            log.exception("a processor adapter raised")
            return Unknown(cause=type(error).__name__)

    async def _failover_of(self, order: Order) -> Failover:
        streams = await self._ports.store.load([order.merchant_id])
        merchant = merchants.fold(streams[order.merchant_id])
        return merchant.policy_of(order.mode).failover if merchant else Failover(enabled=False)

    # Authorization

    async def _authorize(self, act: Act) -> Result:
        attempt, processor = _both(act)
        if processor is None:
            return act.doubt if attempt.reference else await self._not_sent(act)
        call = _attempt_call(act.order, attempt)
        if attempt.reference is None:
            outcome = await self._call(processor.prepare(call, act.credentials))
            if not isinstance(outcome, Referenced):
                return await self._of_authorization(act, outcome, prepared=False)
            reference = c.RecordReference(attempt_id=attempt.id, reference=outcome.reference)
            await self._record_one(act, reference, None)
            if _operation(act) != "authorize":
                return Later(0.0)
        elif not act.first_try:
            return await self._look_then(act, "authorize", self._send_authorize)
        return await self._send_authorize(act)

    async def _send_authorize(self, act: Act) -> Result:
        attempt, processor = _both(act)
        assert processor is not None, "checked before"
        assert attempt.reference is not None, "the reference is committed first"
        call = _attempt_call(act.order, attempt)
        outcome = await self._call(processor.authorize(call, attempt.reference, act.credentials))
        return await self._of_authorization(act, outcome, prepared=True)

    async def _of_authorization(self, act: Act, outcome: Any, *, prepared: bool) -> Result:
        """Classify the answer to prepare or authorize."""
        attempt, processor = _both(act)
        assert processor is not None, "checked before"
        match outcome:
            case Succeeded(fact=fact):
                authorized = c.RecordAuthorized(
                    attempt_id=attempt.id,
                    payment_id=fact.payment_id,
                    amount_minor=fact.amount_minor,
                    currency=fact.currency,
                    capture_id=new_id("cap"),
                    capture_before=fact.capture_before,
                )
                return Facts((authorized,), fact.at)
            case Challenged():
                return await self._challenged(act, outcome)
            case Declined():
                closed = processor.capabilities.closes_declined or not prepared
                declined = c.RecordDeclined(
                    attempt_id=attempt.id,
                    code=outcome.code,
                    retry_class=outcome.retry_class,
                    closed=closed,
                    failover=await self._failover_of(act.order),
                    processor_code=outcome.processor_code,
                    message=outcome.message,
                )
                return Facts((declined,))
            case Pending(look_again_s=seconds):
                return Later(seconds)
            case NotSent() if not prepared:
                return await self._not_reached(act)
            case NotSent() if act.first_try:
                return await self._not_sent(act)
            case NotSent(cause=cause) | Unknown(cause=cause):
                return self._uncertain(act, "authorize", cause)
            case _:
                return self._uncertain(act, "authorize", f"unexpected {type(outcome).__name__}")

    async def _not_reached(self, act: Act) -> Result:
        """Ask again a few times, unless somebody else can be asked.

        Without a reference no money can have moved, however often it was tried.
        """
        attempt, _ = _both(act)
        others = {a.processor for a in attempt.decision.inputs.accounts if a.enabled}
        alone = not others - {a.processor for a in act.order.attempts}
        if alone and act.row.tries < PREPARE_TRIES_MAX:
            return act.retry
        return await self._not_sent(act)

    async def _not_sent(self, act: Act) -> Result:
        """It is proven that nothing was sent: the attempt is closed by that."""
        attempt, _ = _both(act)
        failover = await self._failover_of(act.order)
        fenced = c.RecordFenced(attempt_id=attempt.id, proof="not_sent", failover=failover)
        return Facts((fenced,))

    def _uncertain(self, act: Act, operation: Operation, cause: str) -> Result:
        """Try the same call again; after the last try the doubt is written down."""
        if act.row.operation.startswith("lookup_"):
            return act.doubt
        if act.row.tries < TRIES_MAX:
            return act.retry
        attempt, _ = _both(act)
        unknown = c.RecordUnknown(
            attempt_id=attempt.id, operation=operation, subject=act.row.subject, cause=cause
        )
        return Facts((unknown,))

    async def _challenged(self, act: Act, challenge: Challenged) -> Result:
        """Keep the URL in the vault, then record the challenge and its deadline."""
        attempt, _ = _both(act)
        secret = ChallengeSecret(
            redirect_url=challenge.redirect_url,
            client_secret=challenge.client_secret,
            publishable_key=challenge.publishable_key,
            key_id=challenge.key_id,
        )
        await self._ports.vault.put_secret(
            attempt.id,
            CHALLENGE_FIELD,
            msgspec.json.encode(secret),
            merchant_id=act.order.merchant_id,
        )
        challenged = c.RecordChallenge(
            attempt_id=attempt.id, kind=challenge.kind, deadline=self._deadline(attempt)
        )
        return Facts((challenged,))

    def _deadline(self, attempt: Attempt) -> datetime:
        return self._ports.now() + timedelta(seconds=attempt.challenge_timeout_s)

    async def _lookup_authorize(self, act: Act) -> Result:
        """Look; what nobody has confirmed is confirmed again, and after some time closed."""
        again = self._send_authorize if act.row.tries <= OPEN_LOOKS_MAX else self._give_up
        return await self._look_then(act, "authorize", again)

    async def _give_up(self, act: Act) -> Result:
        """Close an attempt whose key gives nothing but errors: Stripe keeps a 500 for a day."""
        return await self._fence(act, code="processor_unavailable")

    async def _challenge(self, act: Act) -> Result:
        """Look whether the customer is done; after the deadline the attempt is closed."""
        attempt, _ = _both(act)
        assert attempt.deadline is not None, "a challenge has a deadline"
        left_s = (attempt.deadline - self._ports.now()).total_seconds()
        seen = await self._look(act, "authorize")
        if isinstance(seen, Observed) and seen.status not in {"challenged", "open", "processing"}:
            return await self._observed(act, seen)
        if left_s > 0:
            return Later(left_s)
        return await self._fence(act, code="authentication_timeout")

    async def _fence(self, act: Act, *, code: str = "cancelled_at_processor") -> Result:
        """Close an attempt for ever, so that what follows cannot charge a second time."""
        attempt, processor = _both(act)
        failover = await self._failover_of(act.order)
        if attempt.reference is None:
            return Facts(
                (c.RecordFenced(attempt_id=attempt.id, proof="not_sent", failover=failover),)
            )
        assert processor is not None, "an attempt with a reference has a processor"
        if not processor.capabilities.void:
            withheld = c.RecordFenced(
                attempt_id=attempt.id, proof="capture_withheld", code=code, failover=failover
            )
            return Facts((withheld,))
        call = _money_call(act.order, attempt, attempt.id, act.order.amount, f"fence:{attempt.id}")
        outcome = await self._call(processor.void(call, act.credentials))
        if isinstance(outcome, Succeeded):
            fenced = c.RecordFenced(
                attempt_id=attempt.id,
                proof="cancelled_at_processor",
                code=code,
                failover=failover,
            )
            return Facts((fenced,), outcome.fact.at)
        if isinstance(outcome, Declined):
            seen = await self._look(act, "authorize")
            if isinstance(seen, Observed) and seen.status not in {"challenged", "open"}:
                return await self._observed(act, seen)
        return act.retry

    async def _withhold(self, act: Act) -> Result:
        attempt, _ = _both(act)
        return Facts((c.RecordFenced(attempt_id=attempt.id, proof="capture_withheld"),))

    async def _fail_over(self, act: Act) -> Result:
        """Route again without the processors that were tried, or end the order."""
        attempt, _ = _both(act)
        order = act.order
        streams = await self._ports.store.load([order.merchant_id])
        merchant = merchants.fold(streams[order.merchant_id])
        assert merchant is not None, "an order's merchant is registered"
        policy = merchant.policy_of(order.mode)
        retry_class = attempt.failure.retry_class if attempt.failure else "failover"
        if not may_fail_over(order, policy.failover, retry_class):
            return Facts((c.FailOver(attempt_id=new_id("att"), decision=None),))
        inputs = Inputs(
            order_id=order.id,
            amount_minor=order.amount.minor,
            currency=order.amount.currency,
            token=attempt.token,
            card_brand=attempt.decision.inputs.card_brand,
            country=attempt.decision.inputs.country,
            excluded=tuple(a.processor for a in order.attempts),
            unfit=unfit(self._ports.processors, order.amount),
            accounts=merchant.accounts_of(order.mode),
        )
        decision = route(policy, inputs, tuple(self._ports.processors))
        chosen = next((a for a in inputs.accounts if a.processor == decision.chosen), None)
        command = c.FailOver(
            attempt_id=new_id("att"),
            decision=decision,
            account=chosen.fingerprint if chosen else "",
            credential_version=chosen.credential_version if chosen else 0,
            token=attempt.token,
            return_url=attempt.return_url,
            return_to=attempt.return_to,
            challenge_timeout_s=attempt.challenge_timeout_s,
        )
        return Facts((command,))

    # Capture, void, refund

    async def _capture(self, act: Act) -> Result:
        if act.first_try and act.row.operation == "capture":
            return await self._send_capture(act)
        return await self._look_then(act, "capture", self._send_capture)

    async def _send_capture(self, act: Act) -> Result:
        attempt, processor = _both(act)
        capture = act.order.capture(act.row.subject)
        assert capture is not None, "the step is of a capture"
        if processor is None:
            return act.doubt
        call = _money_call(
            act.order,
            attempt,
            capture.id,
            capture.amount,
            capture.idempotency_key,
            final=capture.remainder == "released",
        )
        outcome = await self._call(processor.capture(call, act.credentials))
        match outcome:
            case Succeeded(fact=fact):
                captured = c.RecordCaptured(
                    attempt_id=attempt.id,
                    capture_id=capture.id,
                    payment_id=fact.payment_id,
                    processor_id=fact.processor_id,
                    amount_minor=fact.amount_minor,
                    currency=fact.currency,
                    new_id=new_id("cap"),
                    refund_id=new_id("ref"),
                    remaining_expires_at=fact.capture_before,
                )
                return Facts((captured,), fact.at)
            case Declined():
                return await self._capture_refused(act, capture, outcome)
            case _:
                return self._still_open(act, "capture", outcome)

    async def _capture_refused(self, act: Act, capture: Capture, no: Declined) -> Result:
        """Believe a no only when the processor also shows that nothing was captured."""
        seen = await self._look(act, "capture")
        if not isinstance(seen, Observed):
            return act.doubt
        if any(x.capture_id in {capture.id, None} for x in seen.captures):
            # Not every processor keeps our id; one hold is captured once.
            return await self._observed(act, seen)
        gone = no.expired or seen.status in {"cancelled", "expired"}
        failed = c.RecordCaptureFailed(
            capture_id=capture.id,
            code=no.code,
            hold="expired" if gone else "held",
            message=no.message,
        )
        return Facts((failed,), seen.at)

    async def _void(self, act: Act) -> Result:
        if act.first_try and act.row.operation == "void":
            return await self._send_void(act)
        return await self._look_then(act, "void", self._send_void)

    async def _send_void(self, act: Act) -> Result:
        attempt, processor = _both(act)
        assert attempt.void_key is not None, "the step is of a void"
        if processor is None:
            return act.doubt
        held = attempt.held or act.order.amount
        call = _money_call(act.order, attempt, attempt.id, held, attempt.void_key)
        outcome = await self._call(processor.void(call, act.credentials))
        match outcome:
            case Succeeded(fact=fact):
                return Facts((c.RecordVoided(attempt_id=attempt.id),), fact.at)
            case Declined():
                seen = await self._look(act, "void")
                if not isinstance(seen, Observed):
                    return act.doubt
                if seen.status != "authorized":
                    return await self._observed(act, seen)
                failed = c.RecordVoidFailed(
                    attempt_id=attempt.id, code=outcome.code, message=outcome.message
                )
                return Facts((failed,))
            case _:
                return self._still_open(act, "void", outcome)

    async def _void_stray(self, act: Act) -> Result:
        """Give back a hold that was made against our will."""
        attempt, processor = _both(act)
        if processor is None or attempt.reference is None:
            return act.doubt
        seen = await self._look(act, "void")
        voided = c.RecordVoided(attempt_id=attempt.id, payment_id=act.row.subject)
        if isinstance(seen, Observed) and seen.status in {"cancelled", "expired"}:
            return Facts((voided,), seen.at)
        if isinstance(seen, Observed) and seen.status == "captured":
            return await self._observed(act, seen)
        if not processor.capabilities.void:
            return act.doubt
        stray = next(s for s in act.order.strays if s.payment_id == act.row.subject)
        key = f"void:{stray.payment_id}"
        call = _money_call(act.order, attempt, stray.payment_id, stray.amount, key)
        outcome = await self._call(processor.void(call, act.credentials))
        if isinstance(outcome, Succeeded):
            return Facts((voided,), outcome.fact.at)
        return act.doubt

    async def _refund_stray(self, act: Act) -> Result:
        """Send stray money back again whose refund came to nothing."""
        return Facts((c.RefundStray(payment_id=act.row.subject, refund_id=new_id("ref")),))

    async def _refund(self, act: Act) -> Result:
        """Send a refund; before it is repeated, the processor's refunds are listed."""
        if act.first_try and act.row.operation == "refund":
            return await self._send_refund(act)
        attempt, processor = _both(act)
        refund = act.order.refund(act.row.subject)
        assert refund is not None, "the step is of a refund"
        seen = await self._look(act, "refund")
        if not isinstance(seen, Observed) or processor is None:
            return self._uncertain(act, "refund", "lookup failed")
        known = next((r for r in seen.refunds if r.refund_id == refund.id), None)
        if known is None:
            age_s = (self._ports.now() - refund.created_at).total_seconds()
            if age_s > processor.capabilities.idempotency_s:
                # Past the horizon a repeated key is a new refund: only the list decides.
                return act.doubt
            return await self._send_refund(act)
        if known.status == "pending":
            return act.pending
        del attempt
        return await self._observed(act, seen)

    async def _send_refund(self, act: Act) -> Result:
        attempt, processor = _both(act)
        refund = act.order.refund(act.row.subject)
        assert refund is not None, "the step is of a refund"
        if processor is None:
            return act.doubt
        call = _money_call(
            act.order, attempt, refund.id, refund.amount, refund.idempotency_key, refund.payment_id
        )
        outcome = await self._call(processor.refund(call, act.credentials))
        match outcome:
            case Succeeded(fact=fact):
                refunded = c.RecordRefunded(
                    attempt_id=attempt.id,
                    refund_id=refund.id,
                    processor_id=fact.processor_id,
                    amount_minor=fact.amount_minor,
                    currency=fact.currency,
                    new_id=new_id("ref"),
                )
                return Facts((refunded,), fact.at)
            case Declined():
                return await self._refund_refused(act, refund, outcome)
            case _:
                return self._still_open(act, "refund", outcome)

    async def _refund_refused(self, act: Act, refund: Refund, no: Declined) -> Result:
        seen = await self._look(act, "refund")
        if not isinstance(seen, Observed):
            return act.doubt
        if any(r.refund_id == refund.id and r.status != "failed" for r in seen.refunds):
            return await self._observed(act, seen)
        failed = c.RecordRefundFailed(refund_id=refund.id, code=no.code, message=no.message)
        return Facts((failed,), seen.at)

    def _still_open(self, act: Act, operation: Operation, outcome: Outcome) -> Result:
        match outcome:
            case Pending(look_again_s=seconds):
                return Later(seconds)
            case NotSent(cause=cause) | Unknown(cause=cause):
                return self._uncertain(act, operation, cause)
            case _:
                return self._uncertain(act, operation, f"unexpected {type(outcome).__name__}")

    # Looking

    async def _look(self, act: Act, operation: Operation) -> Observed | Absent | Unknown:
        attempt, processor = _both(act)
        if processor is None or attempt.reference is None:
            return Unknown(cause="nothing to look up")
        look = processor.lookup(attempt.reference, operation, act.credentials)
        seen: Observed | Absent | Unknown = await self._call(look)
        return seen.about(_payment_of(act, attempt)) if isinstance(seen, Observed) else seen

    async def _look_then(
        self, act: Act, operation: Operation, send: Callable[[Act], Awaitable[Result]]
    ) -> Result:
        """Look first; repeat the call with its old key only if it has not happened."""
        seen = await self._look(act, operation)
        if not isinstance(seen, Observed):
            return self._uncertain(act, operation, "lookup failed")
        if seen.status == "processing":
            return act.pending
        before = {"authorize": {"open"}, "capture": {"authorized"}, "void": {"authorized"}}
        undone = seen.status in before[operation]
        if operation == "capture":
            undone = not any(x.capture_id == act.row.subject for x in seen.captures) and (
                seen.held_minor > 0
            )
        if undone:
            return await send(act)
        if operation == "capture" and seen.status in {"cancelled", "expired"}:
            failed = c.RecordCaptureFailed(
                capture_id=act.row.subject, code=f"hold_{seen.status}", hold="expired"
            )
            return Facts((failed,), seen.at)
        return await self._observed(act, seen)

    async def _observed(self, act: Act, seen: Observed) -> Result:
        attempt, _ = _both(act)
        if seen.challenge is not None and seen.status == "challenged":
            await self._challenged(act, seen.challenge)
        commands = facts(
            act.order,
            attempt,
            seen,
            failover=await self._failover_of(act.order),
            deadline=self._deadline(attempt),
        )
        if not commands:
            return act.doubt
        return Facts(tuple(commands), seen.at)

    async def _watch_hold(self, act: Act) -> Result:
        """A hold should have lapsed: record it when the processor says so."""
        seen = await self._look(act, "void")
        if isinstance(seen, Observed) and seen.status in {"cancelled", "expired", "captured"}:
            return await self._observed(act, seen)
        return Later(DOUBT_S[-1])

    async def _warn_expiring(self, act: Act) -> Result:
        attempt, _ = _both(act)
        return Facts((c.WarnExpiring(attempt_id=attempt.id),))

    async def _expire_session(self, act: Act) -> Result:
        assert act.row.subject == act.order.id, "a session is of the order itself"
        return Facts((c.ExpireSession(),))


def _step_of(order: Order, subject: str) -> Step | None:
    return next((step for step in steps(order) if step.subject == subject), None)


def _operation(act: Act) -> str | None:
    step = _step_of(act.order, act.row.subject)
    return step.operation if step else None


def _attempt_of(order: Order, subject: str) -> Attempt | None:
    """Return the attempt that a step's subject belongs to."""
    part = order.capture(subject) or order.refund(subject)
    stray = next((s for s in order.strays if s.payment_id == subject), None)
    attempt_id = part.attempt_id if part else stray.attempt_id if stray else subject
    return order.attempt(attempt_id)


def _payment_of(act: Act, attempt: Attempt) -> str | None:
    """Return the processor's payment that a step is about, where a reference has several."""
    refund = act.order.refund(act.row.subject)
    stray = act.order.stray(act.row.subject)
    return refund.payment_id if refund else stray.payment_id if stray else attempt.payment_id


def _both(act: Act) -> tuple[Attempt, Processor | None]:
    assert act.attempt is not None, "this step is of an attempt"
    return act.attempt, act.processor


def _attempt_call(order: Order, attempt: Attempt) -> AttemptCall:
    return AttemptCall(
        order_id=order.id,
        attempt_id=attempt.id,
        merchant_id=order.merchant_id,
        mode=order.mode,
        amount=order.amount,
        idempotency_key=attempt.idempotency_key,
        correlation_id=attempt.correlation_id,
        token=attempt.token,
        return_url=attempt.return_url,
        challenge_timeout_s=attempt.challenge_timeout_s,
    )


def _money_call(
    order: Order,
    attempt: Attempt,
    subject: str,
    amount: Money,
    key: str,
    payment_id: str | None = None,
    *,
    final: bool = True,
) -> MoneyCall:
    assert attempt.reference is not None, "money is at a reference"
    return MoneyCall(
        order_id=order.id,
        attempt_id=attempt.id,
        merchant_id=order.merchant_id,
        mode=order.mode,
        subject=subject,
        reference=attempt.reference,
        payment_id=payment_id or attempt.payment_id or attempt.reference,
        amount=amount,
        idempotency_key=key,
        correlation_id=attempt.correlation_id,
        final=final,
    )
