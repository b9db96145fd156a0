"""The verb: send captured money back, all of it or a part."""

from commands.caller import Caller, Done, Idempotency
from commands.execute import commit, load_order, once, under_key
from commands.ports import Ports
from commands.sealed_words import sealed_words
from domain.ids import new_id
from domain.order.commands import RequestRefund
from domain.order.decide import decide


async def refund_order(
    ports: Ports,
    caller: Caller,
    order_id: str,
    *,
    amount_minor: int | None,
    reason: str | None,
    idempotency: Idempotency | None,
) -> Done:
    """Append `order.refund_requested` and answer 201; the refund is `pending` until it is done.

    `Done.subject` is the refund's id.

    Raises:
        NotFound: no such order.
        Rejected: `invalid_status`, `order_quarantined`, `refund_exceeds_captured`,
            `idempotency_key_reused`.
        Conflict: `concurrent_change`.
    """
    caller = under_key(caller, idempotency)

    async def attempt() -> Done:
        order = await load_order(ports, caller, order_id)
        refund_id = new_id("ref")
        sealed, key = await sealed_words(ports, order, reason)
        command = RequestRefund(refund_id=refund_id, amount_minor=amount_minor, reason=sealed)
        return await commit(
            ports,
            caller,
            order,
            decide(order, command),
            order_id=order_id,
            idempotency=idempotency,
            status=201,
            subject=refund_id,
            data_keys=(key,) if key else (),
        )

    return await once(ports, caller, idempotency, attempt)
