"""The verb: cancel an order before money is taken."""

from commands.await_outcome import answered, await_outcome
from commands.caller import Caller, Done, Idempotency
from commands.execute import commit, load_order, once, under_key
from commands.ports import Ports
from commands.sealed_words import sealed_words
from domain.order.commands import Cancel
from domain.order.decide import decide


async def cancel_order(
    ports: Ports,
    caller: Caller,
    order_id: str,
    *,
    reason: str | None,
    idempotency: Idempotency | None,
    wait_s: float,
) -> Done:
    """End an order, or append `order.cancel_requested`, after which nothing captures.

    The answer waits at most `wait_s` seconds for the attempt to be closed.

    Raises:
        NotFound: no such order.
        Rejected: `invalid_status`, `order_quarantined`, `idempotency_key_reused`.
        Conflict: `concurrent_change`, `idempotency_in_progress`.
    """
    caller = under_key(caller, idempotency)

    async def attempt() -> Done:
        order = await load_order(ports, caller, order_id)
        sealed, key = await sealed_words(ports, order, reason)
        processor = ports.processors.get(order.live.processor) if order.live else None
        can_void = processor is not None and processor.capabilities.void
        return await commit(
            ports,
            caller,
            order,
            decide(order, Cancel(reason=sealed, can_void=can_void)),
            order_id=order_id,
            idempotency=idempotency,
            data_keys=(key,) if key else (),
        )

    with ports.watch.order(order_id) as changed:
        done = await once(ports, caller, idempotency, attempt, as_of_now=True)
        order = await await_outcome(ports, caller, done.order, changed, wait_s=wait_s)
    return answered(done, order)
