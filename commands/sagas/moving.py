"""The steps of held and captured money: capture, void, refund, and holds that lapse."""

from typing import Final

from commands.observed import Observed
from commands.outcomes import Declined, Succeeded
from commands.sagas.act import Act, Facts, Later, Result, Step, attempt_and_processor
from commands.sagas.at_processor import AtProcessor
from commands.sagas.calls import money_call
from domain.ids import new_id
from domain.money import Money
from domain.order import commands as c
from domain.order.parts import Attempt, Capture, Refund

_DAY_S: Final = 86_400.0
FEE_WAITS_S: Final = (60.0, 3_600.0, 21_600.0, *[_DAY_S] * 30, *[30 * _DAY_S] * 5)
"""Between looks for a fee; who has not said it by then never does: the report will."""
NEVER_S: Final = 100 * 366 * _DAY_S
_LISTED_S: Final = 3_600.0
"""After so long a refund is in the processor's list, or it was never made."""
_LIST_MAX: Final = 100
"""Refunds that a processor lists; there may be more."""


class Moving(AtProcessor):
    """Moves money that is held; a definite no is believed only after a lookup."""

    @property
    def steps(self) -> dict[str, Step]:
        """Return what is done for each operation."""
        return {
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
            "lookup_fee": self._lookup_fee,
        }

    async def _capture(self, act: Act) -> Result:
        if act.first_try and act.row.operation == "capture":
            return await self._send_capture(act)
        return await self.look_then(act, "capture", self._send_capture)

    async def _send_capture(self, act: Act) -> Result:
        attempt, processor = attempt_and_processor(act)
        capture = act.order.capture(act.row.subject)
        assert capture is not None, "the step is of a capture"
        if processor is None:
            return act.doubt
        call = money_call(
            act.order,
            attempt,
            capture.id,
            capture.amount,
            capture.idempotency_key,
            final=capture.remainder == "released",
        )
        outcome = await self.call(act, processor.capture(call, act.credentials))
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
                    fee_expected=fact.fee_expected,
                )
                fees = () if fact.fee is None else (_fee(attempt, capture, fact.fee),)
                return Facts((captured, *fees), fact.at)
            case Declined():
                return await self._capture_refused(act, capture, outcome)
            case _:
                return self.still_open(act, "capture", outcome)

    async def _capture_refused(self, act: Act, capture: Capture, no: Declined) -> Result:
        """Believe a no only when the processor also shows that nothing was captured."""
        seen = await self.look(act, "capture")
        if not isinstance(seen, Observed):
            return act.doubt
        done = {x.id for x in act.order.captures if x.status == "succeeded"}
        if any(x.capture_id not in done for x in seen.captures):
            # Not every processor keeps our id, and a restored log has lost some.
            return await self.observed(act, seen)
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
        return await self.look_then(act, "void", self._send_void)

    async def _send_void(self, act: Act) -> Result:
        attempt, processor = attempt_and_processor(act)
        assert attempt.void_key is not None, "the step is of a void"
        if processor is None:
            return act.doubt
        held = attempt.held or act.order.amount
        call = money_call(act.order, attempt, attempt.id, held, attempt.void_key)
        outcome = await self.call(act, processor.void(call, act.credentials))
        match outcome:
            case Succeeded(fact=fact):
                return Facts((c.RecordVoided(attempt_id=attempt.id),), fact.at)
            case Declined():
                seen = await self.look(act, "void")
                if not isinstance(seen, Observed):
                    return act.doubt
                if seen.status != "authorized":
                    return await self.observed(act, seen)
                failed = c.RecordVoidFailed(
                    attempt_id=attempt.id, code=outcome.code, message=outcome.message
                )
                return Facts((failed,))
            case _:
                return self.still_open(act, "void", outcome)

    async def _void_stray(self, act: Act) -> Result:
        """Give back a hold that was made against our will."""
        attempt, processor = attempt_and_processor(act)
        if processor is None or attempt.reference is None:
            return act.doubt
        seen = await self.look(act, "void")
        voided = c.RecordVoided(attempt_id=attempt.id, payment_id=act.row.subject)
        if isinstance(seen, Observed) and seen.status in {"cancelled", "expired"}:
            return Facts((voided,), seen.at)
        if isinstance(seen, Observed) and seen.status == "captured":
            return await self.observed(act, seen)
        if not processor.capabilities.void:
            return act.doubt
        stray = next(s for s in act.order.strays if s.payment_id == act.row.subject)
        key = f"void:{stray.payment_id}"
        call = money_call(act.order, attempt, stray.payment_id, stray.amount, key)
        outcome = await self.call(act, processor.void(call, act.credentials))
        if isinstance(outcome, Succeeded):
            return Facts((voided,), outcome.fact.at)
        return act.doubt

    async def _refund_stray(self, act: Act) -> Result:
        """Send stray money back again whose refund came to nothing."""
        return Facts((c.RefundStray(payment_id=act.row.subject, refund_id=new_id("ref")),))

    async def _refund(self, act: Act) -> Result:
        """Send a refund; before it is repeated, the processor's refunds are listed.

        So they are before a first try that comes late: of a restored log it may not be the first.
        """
        _, processor = attempt_and_processor(act)
        refund = act.order.refund(act.row.subject)
        assert refund is not None, "the step is of a refund"
        first = act.first_try and act.row.operation == "refund"
        age_s = (self._ports.now() - refund.created_at).total_seconds()
        young = processor is not None and age_s <= processor.capabilities.idempotency_s
        if first and young:
            return await self._send_refund(act)
        seen = await self.look(act, "refund")
        if not isinstance(seen, Observed) or processor is None:
            return self.uncertain(act, "refund", "lookup failed")
        known = next((r for r in seen.refunds if r.refund_id == refund.id), None)
        if known is not None:
            return act.pending if known.status == "pending" else await self.observed(act, seen)
        if first or young:
            return await self._send_refund(act)
        listed = age_s > processor.capabilities.idempotency_s + _LISTED_S
        if listed and len(seen.refunds) < _LIST_MAX:
            # Past the horizon a repeated key is a new refund: only the list decides.
            return Facts((c.RecordRefundFailed(refund_id=refund.id, code="not_found"),))
        return act.doubt

    async def _send_refund(self, act: Act) -> Result:
        attempt, processor = attempt_and_processor(act)
        refund = act.order.refund(act.row.subject)
        assert refund is not None, "the step is of a refund"
        if processor is None:
            return act.doubt
        call = money_call(
            act.order, attempt, refund.id, refund.amount, refund.idempotency_key, refund.payment_id
        )
        outcome = await self.call(act, processor.refund(call, act.credentials))
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
                return self.still_open(act, "refund", outcome)

    async def _refund_refused(self, act: Act, refund: Refund, no: Declined) -> Result:
        seen = await self.look(act, "refund")
        if not isinstance(seen, Observed):
            return act.doubt
        if any(r.refund_id == refund.id and r.status != "failed" for r in seen.refunds):
            return await self.observed(act, seen)
        failed = c.RecordRefundFailed(refund_id=refund.id, code=no.code, message=no.message)
        return Facts((failed,), seen.at)

    async def _lookup_fee(self, act: Act) -> Result:
        """Ask what a capture cost, ever more seldom and not for ever: the report says it, too."""
        attempt, _ = attempt_and_processor(act)
        seen = await self.look(act, "capture")
        capture = act.order.capture(act.row.subject)
        assert capture is not None, "the step is of a capture"
        found = seen.captures if isinstance(seen, Observed) else ()
        fee = next((x.fee for x in found if x.processor_id == capture.processor_id), None)
        if fee is not None and fee.minor:
            return Facts((_fee(attempt, capture, fee),))
        asked = act.row.tries
        return Later(FEE_WAITS_S[asked - 1] if asked <= len(FEE_WAITS_S) else NEVER_S)

    async def _watch_hold(self, act: Act) -> Result:
        """A hold should have lapsed: record it when the processor says so."""
        seen = await self.look(act, "void")
        if isinstance(seen, Observed) and seen.status in {"cancelled", "expired", "captured"}:
            return await self.observed(act, seen)
        return act.doubt

    async def _warn_expiring(self, act: Act) -> Result:
        attempt, _ = attempt_and_processor(act)
        return Facts((c.WarnExpiring(attempt_id=attempt.id),))


def _fee(attempt: Attempt, capture: Capture, fee: Money) -> c.RecordFee:
    return c.RecordFee(attempt_id=attempt.id, of="capture", subject=capture.id, amount=fee)
