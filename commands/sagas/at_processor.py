"""What every step does: call within limits, look, doubt, and record what came of it."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from commands.append import VersionTaken
from commands.execute import commit
from commands.observed import Absent, Observed
from commands.outcomes import (
    Challenged,
    Declined,
    NotSent,
    Outcome,
    Pending,
    Referenced,
    Succeeded,
    Unknown,
)
from commands.ports import CircuitKey, Ports
from commands.read_order import CHALLENGE_FIELD, ChallengeSecret, open_personal
from commands.route_order import Wish, route_order
from commands.sagas.act import (
    CONFLICTS_MAX,
    TRIES_MAX,
    Act,
    Facts,
    Later,
    Result,
    attempt_and_processor,
    attempt_of,
    payment_of,
)
from commands.sagas.observe import facts
from domain import merchant as merchants
from domain.events import Operation
from domain.order import commands as c
from domain.order.decide import decide
from domain.order.evolve import fold
from domain.order.parts import Attempt
from domain.order.state import Order
from domain.routing import Decision, Failover

TIMEOUT: Final = "timeout"
_LABELS: Final = {
    Succeeded: "succeeded",
    Challenged: "challenged",
    Pending: "pending",
    Declined: "declined",
    Referenced: "referenced",
    Observed: "observed",
    Absent: "absent",
    NotSent: "not_sent",
}
"""What a call came to, as the metric names it; everything else is `unknown`."""

log = logging.getLogger(__name__)


class AtProcessor:
    """Base of the steps. `call_limit_s` bounds every call of a processor, in seconds."""

    def __init__(self, ports: Ports, *, worker: int, call_limit_s: float) -> None:
        self._ports = ports
        self._worker = worker
        self._limit_s = call_limit_s

    async def record(self, act: Act, command: c.OrderCommand, at: datetime | None) -> None:
        """Append what a fact gives, decided anew on every conflict until it has landed."""
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
                await self.reload(act)
            else:
                act.order = done.order
                act.attempt = attempt_of(done.order, act.row.subject)
                return
        raise AssertionError("an outcome lands sooner or later")

    async def reload(self, act: Act) -> None:
        """Read the order again, because somebody else changed it."""
        rows = (await self._ports.store.load([act.row.order_id]))[act.row.order_id]
        order = fold(rows)
        assert order is not None, "an order does not vanish"
        act.order = order
        act.attempt = attempt_of(order, act.row.subject)

    async def call(self, act: Act, call: Awaitable[Any], *, decides: bool = False) -> Any:
        """Bound one call in time; whatever goes wrong in an adapter is an unknown outcome.

        `decides`: when it works, the processor takes attempts again.
        """
        attempt, _ = attempt_and_processor(act)
        outcome = await self._bounded(call)
        key = CircuitKey(
            merchant_id=act.order.merchant_id, processor=attempt.processor, account=attempt.account
        )
        label = _LABELS.get(type(outcome), "unknown")
        if isinstance(outcome, Unknown) and outcome.cause == TIMEOUT:
            label = "timeout"
        await self._ports.circuits.record(key, attempt.id, label, decides=decides)
        return outcome

    async def _bounded(self, call: Awaitable[Any]) -> Any:
        try:
            async with asyncio.timeout(self._limit_s):
                return await call
        except TimeoutError:
            return Unknown(cause=TIMEOUT)
        except Exception as error:
            log.exception("a processor adapter raised")
            return Unknown(cause=type(error).__name__)

    async def failover_of(self, order: Order) -> Failover:
        """Return the merchant's rules for going on after a no; off where nobody else is there."""
        policy, decision = await self.rerouted(order)
        return policy if decision and decision.chosen else replace(policy, enabled=False)

    async def rerouted(
        self, order: Order, *, probe_as: str | None = None
    ) -> tuple[Failover, Decision | None]:
        """Return the merchant's rules for going on, and who would be next; None: no rule does."""
        streams = await self._ports.store.load([order.merchant_id])
        merchant = merchants.fold(streams[order.merchant_id])
        assert merchant is not None, "an order's merchant is registered"
        failover = merchant.policy_of(order.mode).failover
        live = order.live
        if live is None or not failover.enabled or live.decision.inputs.explicit is not None:
            return failover, None
        first = live.decision.inputs
        wish = Wish(
            token=first.token,
            tokens=first.tokens,
            brand=first.card_brand,
            country=first.country,
            excluded=tuple(a.processor for a in order.round),
            asks=await self._asks(order, live),
            probe_as=probe_as,
        )
        decision = await route_order(
            self._ports,
            merchant,
            order_id=order.id,
            amount=order.amount,
            mode=order.mode,
            wish=wish,
        )
        return failover, decision

    async def _asks(self, order: Order, live: Attempt) -> tuple[str, ...]:
        """Return who may ask the customer for a payment method, where one can be reached."""
        inputs = live.decision.inputs
        if inputs.token is None and not inputs.tokens:
            return ()
        if not order.page_open and live.return_to is None:
            (personal,) = await open_personal(self._ports, [order])
            if personal.return_url is None:
                return ()
        processors = self._ports.processors.items()
        return tuple(name for name, processor in processors if processor.capabilities.collects)

    def uncertain(self, act: Act, operation: Operation, cause: str) -> Result:
        """Try the same call again; after the last try the doubt is written down."""
        if act.row.operation.startswith("lookup_"):
            return act.doubt
        if act.row.tries < TRIES_MAX:
            return act.retry
        attempt, _ = attempt_and_processor(act)
        unknown = c.RecordUnknown(
            attempt_id=attempt.id, operation=operation, subject=act.row.subject, cause=cause
        )
        return Facts((unknown,))

    def still_open(self, act: Act, operation: Operation, outcome: Outcome) -> Result:
        """Classify an answer that is neither a success nor a definite no."""
        match outcome:
            case Pending(look_again_s=seconds):
                return Later(seconds)
            case NotSent(cause=cause) | Unknown(cause=cause):
                return self.uncertain(act, operation, cause)
            case _:
                return self.uncertain(act, operation, f"unexpected {type(outcome).__name__}")

    async def look(self, act: Act, operation: Operation) -> Observed | Absent | Unknown:
        """Read what the processor has now; never moves money."""
        attempt, processor = attempt_and_processor(act)
        if processor is None or attempt.reference is None:
            return Unknown(cause="nothing to look up")
        look = processor.lookup(attempt.reference, operation, act.credentials)
        seen: Observed | Absent | Unknown = await self.call(act, look)
        return seen.about(payment_of(act, attempt)) if isinstance(seen, Observed) else seen

    async def look_then(
        self, act: Act, operation: Operation, send: Callable[[Act], Awaitable[Result]]
    ) -> Result:
        """Look first; repeat the call with its old key only if it has not happened."""
        seen = await self.look(act, operation)
        if not isinstance(seen, Observed):
            return self.uncertain(act, operation, "lookup failed")
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
        if operation == "capture" and _is_gone(act, seen):
            gone = "expired" if seen.status == "captured" else seen.status
            failed = c.RecordCaptureFailed(
                capture_id=act.row.subject, code=f"hold_{gone}", hold="expired"
            )
            return Facts((failed,), seen.at)
        return await self.observed(act, seen)

    async def observed(self, act: Act, seen: Observed) -> Result:
        """Record all that a lookup shows; what is known already gives no events."""
        attempt, _ = attempt_and_processor(act)
        if seen.challenge is not None and seen.status == "challenged":
            await self.challenged(act, seen.challenge)
        commands = facts(
            act.order,
            attempt,
            seen,
            failover=await self.failover_of(act.order),
            deadline=self.deadline(attempt),
        )
        if not commands:
            return act.doubt
        return Facts(tuple(commands), seen.at)

    async def challenged(self, act: Act, challenge: Challenged) -> Result:
        """Keep the URL in the vault, then record the challenge and its deadline."""
        attempt, _ = attempt_and_processor(act)
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
            attempt_id=attempt.id, kind=challenge.kind, deadline=self.deadline(attempt)
        )
        return Facts((challenged,))

    def deadline(self, attempt: Attempt) -> datetime:
        """Return until when the customer has to act."""
        return self._ports.now() + timedelta(seconds=attempt.challenge_timeout_s)


def _is_gone(act: Act, seen: Observed) -> bool:
    """Tell whether the hold that a capture wants is gone without it, as far as it was asked for.

    Of a capture that bears no id of ours nobody can say whose it is.
    """
    if seen.status in {"cancelled", "expired"}:
        return True
    done = {x.id for x in act.order.captures if x.status == "succeeded"}
    others = all(x.capture_id in done for x in seen.captures)
    return seen.status == "captured" and not seen.held_minor and others
