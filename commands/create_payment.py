"""The verb: create and pay an order in one call and one append."""

from commands.append import ClaimTaken
from commands.await_outcome import answered, await_outcome
from commands.caller import Caller, Done, Idempotency
from commands.create_order import NewOrder, claims_of, creation, external_id_exists
from commands.execute import commit, once, under_key
from commands.pay_order import PayOrder, payment
from commands.ports import Ports
from domain.ids import new_id
from domain.order.decide import decide
from domain.order.evolve import evolve


async def create_payment(
    ports: Ports,
    caller: Caller,
    new: NewOrder,
    request: PayOrder,
    idempotency: Idempotency | None,
    *,
    wait_s: float,
) -> Done:
    """Append `order.created` and `order.routed` together; wait at most `wait_s` for the outcome.

    Nothing is created where nobody can take the payment. A repetition waits like the first and is
    answered from the order as it is now.

    Raises:
        Rejected: `no_processor`, `idempotency_key_reused`.
        Conflict: `external_id_exists`, `idempotency_in_progress`.
        Unavailable: `reconciling`, after a restore.
    """
    assert idempotency is not None or new.external_id is not None, "checked where it came in"
    assert request.return_url is None, "the order has it"
    caller = under_key(caller, idempotency)
    order_id = new_id("ord")

    async def attempt() -> Done:
        return await _create_and_pay(ports, caller, order_id, new, request, idempotency)

    with ports.watch.order(order_id) as changed:
        done = await once(ports, caller, idempotency, attempt, as_of_now=True)
        if not done.replayed:
            order = await await_outcome(ports, caller, done.order, changed, wait_s=wait_s)
            return answered(done, order)
    with ports.watch.order(done.order.id) as changed:
        order = await await_outcome(ports, caller, done.order, changed, wait_s=wait_s)
    return answered(done, order)


async def _create_and_pay(
    ports: Ports,
    caller: Caller,
    order_id: str,
    new: NewOrder,
    request: PayOrder,
    idempotency: Idempotency | None,
) -> Done:
    merchant_rows = await ports.store.load([caller.merchant_id], caller_key=caller.key_id)
    create, key = await creation(ports, caller, new, order_id)
    (created,) = decide(None, create)
    now = ports.now()
    order = evolve(None, created, caller.metadata(now, mode=caller.mode), stream_id=order_id)
    pay, _ = await payment(ports, merchant_rows[caller.merchant_id], order, request)
    try:
        return await commit(
            ports,
            caller,
            None,
            (created, *decide(order, pay)),
            order_id=order_id,
            occurred_at=now,
            idempotency=idempotency,
            status=201,
            claims=claims_of(caller, create, order_id),
            data_keys=(key,) if key else (),
        )
    except ClaimTaken as taken:
        raise external_id_exists(taken) from taken
