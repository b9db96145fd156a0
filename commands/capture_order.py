"""The verb: capture held money, all of it or a part."""

from commands.await_outcome import answered, await_outcome
from commands.caller import Caller, Done, Idempotency
from commands.execute import commit, load_order, once, under_key
from commands.ports import Ports
from domain.ids import new_id
from domain.order.commands import RequestCapture
from domain.order.decide import decide
from domain.order.state import Order

WAIT_S = 3.0
"""How long the answer waits for the processor, in seconds."""


async def capture_order(
    ports: Ports,
    caller: Caller,
    order_id: str,
    *,
    amount_minor: int | None,
    final: bool,
    idempotency: Idempotency | None,
) -> Done:
    """Append `order.capture_requested` and wait for the outcome, at most `WAIT_S` seconds.

    Raises:
        NotFound: no such order.
        Rejected: `invalid_status`, `order_quarantined`, `capture_exceeds_authorization`,
            `partial_capture_unsupported`, `idempotency_key_reused`.
        Conflict: `concurrent_change`, `idempotency_in_progress`.
    """
    caller = under_key(caller, idempotency)

    async def attempt() -> Done:
        order = await load_order(ports, caller, order_id)
        capture_id = new_id("cap")
        command = _command(ports, order, capture_id, amount_minor, final=final)
        return await commit(
            ports,
            caller,
            order,
            decide(order, command),
            order_id=order_id,
            idempotency=idempotency,
            subject=capture_id,
        )

    with ports.watch.order(order_id) as changed:
        done = await once(ports, caller, idempotency, attempt, as_of_now=True)
        order = await await_outcome(ports, caller, done.order, changed, wait_s=WAIT_S)
    return answered(done, order)


def _command(
    ports: Ports, order: Order, capture_id: str, amount_minor: int | None, *, final: bool
) -> RequestCapture:
    processor = ports.processors.get(order.live.processor) if order.live else None
    able = processor.capabilities if processor else None
    return RequestCapture(
        capture_id=capture_id,
        amount_minor=amount_minor,
        final=final,
        partial=able is not None and able.partial_capture,
        several=able is not None and able.several_captures,
    )
