"""What an operator does to an order that waits for a person: the saga's own facts, under a name.

Nothing is believed that the processor does not show in the same command; what it cannot show any
more is closed for ever, so that money that comes all the same is stray and goes back.
"""

from datetime import timedelta
from typing import Final, Literal

import msgspec

from commands.append import DataKeyRow, VersionTaken
from commands.execute import CONFLICTS_MAX, commit, not_found
from commands.observed import Absent, Observed
from commands.outcomes import Succeeded
from commands.ports import DueRow, Ports
from commands.sagas.act import Act, Facts, attempt_and_processor
from commands.sagas.calls import money_call
from commands.sagas.payment import PaymentSaga
from commands.sealed_words import sealed_words
from domain.errors import Conflict, Rejected
from domain.ids import is_id, new_id
from domain.metadata import Actor
from domain.order import commands as c
from domain.order.decide import decide
from domain.order.evolve import fold
from domain.order.state import Order
from domain.routing import Failover

ABSENT_AFTER: Final = timedelta(minutes=10)
"""What a processor does not know of is not there, once no call can be under way any more."""
OPEN: Final = frozenset({"open", "challenged"})
CLOSED: Final = frozenset({"declined", "cancelled", "expired"})


class ByHand(PaymentSaga):
    """An operator's deeds; `operator` is who, as it stands in the log."""

    def __init__(self, ports: Ports, *, operator: str, worker: int, call_limit_s: float) -> None:
        super().__init__(
            ports, worker=worker, call_limit_s=call_limit_s, actor=Actor("operator", operator)
        )

    async def as_found(self, order_id: str, subject: str) -> Order:
        """Record all that the processor shows of a subject's attempt.

        Raises:
            NotFound: no such order.
            Rejected: `invalid_status`, it has no such subject; `still_in_doubt`, the processor does
                not show it, or shows nothing new.
        """
        act = await self._act(order_id, subject)
        before = act.order.version
        seen = await self.look(act, "authorize")
        if not isinstance(seen, Observed):
            raise Rejected("still_in_doubt", f"The processor does not show it: {_said(seen)}.")
        await self._take(act, seen)
        if act.order.version == before:
            raise Rejected(
                "still_in_doubt", f"The processor says {seen.status}: that is known already."
            )
        return act.order

    async def not_charged(
        self, order_id: str, attempt_id: str, *, evidence: str | None, fence: bool
    ) -> Order:
        """Close an attempt that took no money; the processor has to agree, now.

        Args:
            order_id: which order.
            attempt_id: the attempt in doubt.
            evidence: why, sealed into the event that closes it.
            fence: close it where the processor cannot be asked, too: it will never capture.

        Raises:
            NotFound: no such order.
            Rejected: `invalid_status`, it has no such attempt, or that is closed already;
                `charged`, the processor says otherwise, and what it says is recorded;
                `still_in_doubt`, it says nothing.
        """
        act = await self._act(order_id, attempt_id)
        attempt, _ = attempt_and_processor(act)
        if attempt.id != attempt_id or not attempt.can_take_money or act.order.ended:
            raise Rejected("invalid_status", "This attempt is closed already, or its order ended.")
        seen = await self.look(act, "authorize")
        if isinstance(seen, Observed) and seen.status not in OPEN:
            await self._take(act, seen)
            if seen.status not in CLOSED:
                raise Rejected("charged", f"The processor says {seen.status}; that is recorded.")
            return act.order
        proof = await self._proof(act, seen)
        if proof is None and not fence:
            raise Rejected(
                "still_in_doubt",
                f"The processor does not prove it: {_said(seen)}. With --fence the attempt is "
                "closed anyway: it never captures, and money that comes goes back.",
            )
        return await self._closed(act, proof or "capture_withheld", evidence)

    async def resolved(
        self,
        order_id: str,
        subject: str,
        *,
        how: Literal["accepted_ours", "written_off"],
        evidence: str,
    ) -> Order:
        """Settle a discrepancy.

        Raises:
            NotFound: no such order.
            Rejected: `invalid_status`, there is no open discrepancy of that subject.
        """
        act = await self._act(order_id, subject, any_subject=True)
        sealed, key = await sealed_words(self._ports, act.order, evidence)
        command = c.ResolveDiscrepancy(
            subject=subject, how=how, capture_id=new_id("cap"), evidence=sealed
        )
        return await self._append(act, command, key)

    async def _act(self, order_id: str, subject: str, *, any_subject: bool = False) -> Act:
        if not is_id(order_id, "ord"):
            raise not_found()
        rows = (await self._ports.store.load([order_id]))[order_id]
        order = fold(rows)
        if order is None:
            raise not_found()
        row = DueRow(order_id=order_id, subject=subject, operation="by_hand", tries=2)
        act = await self.prepared(row, order, rows[-1].metadata.event_id)
        if act.attempt is None and not any_subject:
            message = f"{order_id} has no attempt, capture or refund {subject}."
            raise Rejected("invalid_status", message)
        return act

    async def _take(self, act: Act, seen: Observed) -> None:
        result = await self.observed(act, seen)
        if isinstance(result, Facts):
            for command in result.commands:
                await self.record(act, command, result.at)

    async def _proof(
        self, act: Act, seen: object
    ) -> Literal["cancelled_at_processor", "capture_withheld"] | None:
        """Return what proves that no money can come; an open object is closed at the processor."""
        attempt, processor = attempt_and_processor(act)
        if isinstance(seen, Absent):
            old = self._ports.now() - attempt.updated_at > ABSENT_AFTER
            return "capture_withheld" if old else None
        if not isinstance(seen, Observed) or processor is None:
            return None
        if not processor.capabilities.void:
            return "capture_withheld"
        call = money_call(act.order, attempt, attempt.id, act.order.amount, f"fence:{attempt.id}")
        outcome = await self.call(act, processor.void(call, act.credentials))
        return "cancelled_at_processor" if isinstance(outcome, Succeeded) else None

    async def _closed(
        self,
        act: Act,
        proof: Literal["cancelled_at_processor", "capture_withheld"],
        evidence: str | None,
    ) -> Order:
        attempt, _ = attempt_and_processor(act)
        sealed, key = await sealed_words(self._ports, act.order, evidence or None)
        command = c.RecordFenced(
            attempt_id=attempt.id,
            proof=proof,
            code="closed_by_operator",
            failover=Failover(enabled=False),
            evidence=sealed,
        )
        return await self._append(act, command, key)

    async def _append(self, act: Act, command: c.OrderCommand, key: DataKeyRow | None) -> Order:
        """Append what a command gives, decided anew on every conflict."""
        for _ in range(CONFLICTS_MAX):
            events = decide(act.order, command)
            if not events:
                raise Rejected("invalid_status", "Meanwhile somebody else settled it.")
            try:
                done = await commit(
                    self._ports,
                    act.caller,
                    act.order,
                    events,
                    order_id=act.order.id,
                    data_keys=(key,) if key else (),
                )
            except VersionTaken:
                await self.reload(act)
            else:
                return done.order
        raise Conflict("concurrent_change", "The order changed meanwhile; try again.")


def _said(seen: msgspec.Struct) -> str:
    """Return what a lookup came to, in a few words."""
    if isinstance(seen, Observed):
        return f"it says {seen.status} and does not close it"
    return "it knows of no such payment" if isinstance(seen, Absent) else "it does not answer"
