"""The payment saga: takes a due row, acts at the processor, and records what came of it.

Intent first: whatever is sent was committed before, and comes from the log alone. A try is counted
before the call, so an answer is called "never sent" only when it was the first try. A definite no
to a capture, void or refund is believed only after a lookup.
"""

from typing import Final, Literal

from commands.caller import Caller
from commands.observed import Observed
from commands.ports import DueRow, Ports
from commands.sagas.act import Act, Facts, Later, attempt_of, step_of
from commands.sagas.at_processor import AtProcessor
from commands.sagas.authorizing import Authorizing
from commands.sagas.destroyed_credentials import blocked, without_credentials
from commands.sagas.moving import Moving
from domain.ids import new_id
from domain.metadata import Actor
from domain.order.evolve import fold
from domain.order.state import Order

Looked = Literal["changed", "same", "unseen"]
"""What a look at the processor came to."""
SAGA: Final = Actor("saga", "payment")


class PaymentSaga(AtProcessor):
    """Acts on due rows. `call_limit_s` bounds every call of a processor, in seconds."""

    def __init__(
        self, ports: Ports, *, worker: int, call_limit_s: float, actor: Actor = SAGA
    ) -> None:
        super().__init__(ports, worker=worker, call_limit_s=call_limit_s)
        self._actor = actor
        authorizing = Authorizing(ports, worker=worker, call_limit_s=call_limit_s)
        moving = Moving(ports, worker=worker, call_limit_s=call_limit_s)
        self._steps = {**authorizing.steps, **moving.steps}

    @property
    def operations(self) -> set[str]:
        """Return what this saga can do."""
        return set(self._steps)

    async def act(self, row: DueRow) -> None:
        """Do what the row asks for and record the outcome.

        Raises:
            domain.errors.Unavailable: the log cannot be reached; the row's lease runs out and
                somebody looks again.
        """
        rows = (await self._ports.store.load([row.order_id]))[row.order_id]
        order = fold(rows)
        step = step_of(order, row.subject) if order else None
        if order is None or step is None:
            await self._ports.due.drop(row)
            return
        if step.operation != row.operation:
            await self._ports.due.again(row, in_s=1.0)
            return
        act = await self.prepared(row, order, rows[-1].metadata.event_id)
        if blocked(act):
            failover = await self.failover_of(order)
            result = without_credentials(act, failover, self._ports.now())
        else:
            result = await self._steps[row.operation](act)
        match result:
            case Later():
                await self._ports.due.again(row, in_s=result.in_s)
            case Facts():
                await self._record(act, result)

    async def look_at(self, order_id: str, attempt_id: str) -> Looked:
        """Record what the processor has for an attempt, whatever the order waits for.

        For hints about attempts that are closed, and for whoever compares with the processor.
        Tells whether the order changed, or that the processor did not show it.

        Raises:
            domain.errors.Unavailable: the log cannot be reached.
        """
        rows = (await self._ports.store.load([order_id]))[order_id]
        order = fold(rows)
        if order is None or order.attempt(attempt_id) is None:
            return "unseen"
        row = DueRow(order_id=order_id, subject=attempt_id, operation="look", tries=1)
        act = await self.prepared(row, order, rows[-1].metadata.event_id)
        seen = await self.look(act, "authorize")
        if not isinstance(seen, Observed):
            return "unseen"
        result = await self.observed(act, seen)
        if isinstance(result, Facts):
            for command in result.commands:
                await self.record(act, command, result.at)
        return "changed" if act.order.version > order.version else "same"

    async def prepared(self, row: DueRow, order: Order, causation_id: str) -> Act:
        """Return what is needed to act on a row."""
        attempt = attempt_of(order, row.subject)
        caller = Caller(
            actor=self._actor,
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
            await self.record(act, command, result.at)
        step = step_of(act.order, act.row.subject)
        if step is not None and step == step_of(before, act.row.subject):
            # The same thing is still to be done: the row is ours until we give it back.
            await self._ports.due.again(act.row, in_s=act.retry.in_s)
