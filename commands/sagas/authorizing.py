"""The steps of an attempt: authorize, challenge, close for ever, go on to the next."""

from typing import Any, Final

from commands.observed import Observed
from commands.outcomes import Challenged, Declined, NotSent, Pending, Referenced, Succeeded, Unknown
from commands.sagas.act import (
    OPEN_LOOKS_MAX,
    PREPARE_TRIES_MAX,
    Act,
    Facts,
    Later,
    Result,
    Step,
    attempt_and_processor,
    operation_of,
    step_of,
)
from commands.sagas.at_processor import AtProcessor
from commands.sagas.calls import attempt_call, money_call
from domain.ids import new_id
from domain.order import commands as c
from domain.order.rules import may_fail_over
from domain.routing import token_for

HELD_S: Final = {"restored": 5.0, "orphan": 3600.0}
"""How long a failover waits for what holds new attempts back."""


class Authorizing(AtProcessor):
    """Holds money, or proves that it never will be held."""

    @property
    def steps(self) -> dict[str, Step]:
        """Return what is done for each operation."""
        return {
            "authorize": self._authorize,
            "lookup_authorize": self._lookup_authorize,
            "challenge": self._challenge,
            "fence": self._fence,
            "withhold": self._withhold,
            "fail_over": self._fail_over,
            "expire_session": self._expire_session,
        }

    async def _authorize(self, act: Act) -> Result:
        attempt, processor = attempt_and_processor(act)
        if processor is None:
            return act.doubt if attempt.reference else await self._not_sent(act)
        call = attempt_call(act.order, attempt)
        if attempt.reference is None:
            outcome = await self.call(act, processor.prepare(call, act.credentials))
            if not isinstance(outcome, Referenced):
                return await self._of_authorization(act, outcome, prepared=False)
            reference = c.RecordReference(attempt_id=attempt.id, reference=outcome.reference)
            await self.record(act, reference, None)
            if operation_of(act) != "authorize":
                return Later(0.0)
        elif not act.first_try:
            return await self.look_then(act, "authorize", self._send_authorize)
        return await self._send_authorize(act)

    async def _send_authorize(self, act: Act) -> Result:
        attempt, processor = attempt_and_processor(act)
        assert processor is not None, "checked before"
        assert attempt.reference is not None, "the reference is committed first"
        call = attempt_call(act.order, attempt)
        outcome = await self.call(
            act, processor.authorize(call, attempt.reference, act.credentials), decides=True
        )
        return await self._of_authorization(act, outcome, prepared=True)

    async def _of_authorization(self, act: Act, outcome: Any, *, prepared: bool) -> Result:
        """Classify the answer to prepare or authorize."""
        attempt, processor = attempt_and_processor(act)
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
                return await self.challenged(act, outcome)
            case Declined():
                closed = processor.capabilities.closes_declined or not prepared
                declined = c.RecordDeclined(
                    attempt_id=attempt.id,
                    code=outcome.code,
                    retry_class=outcome.retry_class,
                    closed=closed,
                    failover=await self.failover_of(act.order),
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
                return self.uncertain(act, "authorize", cause)
            case _:
                return self.uncertain(act, "authorize", f"unexpected {type(outcome).__name__}")

    async def _not_reached(self, act: Act) -> Result:
        """Ask again a few times, unless somebody else can be asked.

        Without a reference no money can have moved, however often it was tried.
        """
        alone = not (await self.failover_of(act.order)).enabled
        if alone and act.row.tries < PREPARE_TRIES_MAX:
            return act.retry
        return await self._not_sent(act)

    async def _not_sent(self, act: Act) -> Result:
        """It is proven that nothing was sent: the attempt is closed by that."""
        attempt, _ = attempt_and_processor(act)
        failover = await self.failover_of(act.order)
        fenced = c.RecordFenced(attempt_id=attempt.id, proof="not_sent", failover=failover)
        return Facts((fenced,))

    async def _lookup_authorize(self, act: Act) -> Result:
        """Look; what nobody has confirmed is confirmed again, and after some time closed."""
        again = self._send_authorize if act.row.tries <= OPEN_LOOKS_MAX else self._give_up
        return await self.look_then(act, "authorize", again)

    async def _give_up(self, act: Act) -> Result:
        """Close an attempt whose key gives nothing but errors: Stripe keeps a 500 for a day."""
        return await self._fence(act, code="processor_unavailable")

    async def _challenge(self, act: Act) -> Result:
        """Look whether the customer is done; after the deadline the attempt is closed."""
        attempt, _ = attempt_and_processor(act)
        assert attempt.deadline is not None, "a challenge has a deadline"
        left_s = (attempt.deadline - self._ports.now()).total_seconds()
        seen = await self.look(act, "authorize")
        if isinstance(seen, Observed) and seen.status not in {"challenged", "open", "processing"}:
            return await self.observed(act, seen)
        if left_s > 0:
            return Later(left_s)
        return await self._fence(act, code="authentication_timeout")

    async def _fence(self, act: Act, *, code: str = "cancelled_at_processor") -> Result:
        """Close an attempt for ever, so that what follows cannot charge a second time."""
        attempt, processor = attempt_and_processor(act)
        failover = await self.failover_of(act.order)
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
        call = money_call(act.order, attempt, attempt.id, act.order.amount, f"fence:{attempt.id}")
        outcome = await self.call(act, processor.void(call, act.credentials))
        if isinstance(outcome, Succeeded):
            fenced = c.RecordFenced(
                attempt_id=attempt.id,
                proof="cancelled_at_processor",
                code=code,
                failover=failover,
            )
            return Facts((fenced,), outcome.fact.at)
        if isinstance(outcome, Declined):
            seen = await self.look(act, "authorize")
            if isinstance(seen, Observed) and seen.status not in {"challenged", "open"}:
                return await self.observed(act, seen)
        return act.retry

    async def _withhold(self, act: Act) -> Result:
        attempt, _ = attempt_and_processor(act)
        return Facts((c.RecordFenced(attempt_id=attempt.id, proof="capture_withheld"),))

    async def _fail_over(self, act: Act) -> Result:
        """Route again without the processors that were tried, or end the order."""
        attempt, _ = attempt_and_processor(act)
        order, attempt_id = act.order, new_id("att")
        held = await self._ports.reconciliation.holds_back(order.merchant_id, order.mode, order.id)
        if held is not None:
            return Later(HELD_S[held])
        failover, decision = await self.rerouted(order, probe_as=attempt_id)
        retry_class = attempt.failure.retry_class if attempt.failure else "failover"
        if decision is None or not may_fail_over(order, failover, retry_class):
            return Facts((c.FailOver(attempt_id=attempt_id, decision=None),))
        accounts = decision.inputs.accounts
        chosen = next((a for a in accounts if a.processor == decision.chosen), None)
        command = c.FailOver(
            attempt_id=attempt_id,
            decision=decision,
            account=chosen.fingerprint if chosen else "",
            credential_version=chosen.credential_version if chosen else 0,
            token=token_for(decision.inputs, chosen.processor) if chosen else None,
            return_url=attempt.return_url,
            return_to=attempt.return_to,
            challenge_timeout_s=attempt.challenge_timeout_s,
        )
        return Facts((command,))

    async def _expire_session(self, act: Act) -> Result:
        assert act.row.subject == act.order.id, "a session is of the order itself"
        step = step_of(act.order, act.row.subject)
        assert step is not None, "it is due"
        assert step.at is not None, "a session and a customer have a deadline"
        left_s = (step.at - self._ports.now()).total_seconds()
        return Later(left_s) if left_s > 0 else Facts((c.ExpireSession(),))
