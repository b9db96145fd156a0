"""The verb: pay an order. Routing decides, the intent is committed, the workers do the rest."""

import msgspec

from commands.await_outcome import answered, await_outcome
from commands.caller import Caller, Done, Idempotency
from commands.execute import commit, not_found, once, owned, under_key
from commands.ports import DataKeyRow, Ports
from commands.processor import unfit
from domain import merchant as merchants
from domain.ids import is_id, new_id
from domain.metadata import Sealed
from domain.order.commands import Pay
from domain.order.decide import decide
from domain.order.evolve import fold
from domain.order.state import Order
from domain.routing import Decision, Inputs, route


class PayOrder(msgspec.Struct, frozen=True, kw_only=True):
    """How the customer pays. `tokens` are by processor; `token` belongs to the one it names."""

    processor: str | None = None
    token: str | None = None
    tokens: dict[str, str] = {}
    brand: str | None = None
    country: str | None = None
    return_url: str | None = None


async def pay_order(
    ports: Ports,
    caller: Caller,
    order_id: str,
    request: PayOrder,
    idempotency: Idempotency | None,
    *,
    wait_s: float,
) -> Done:
    """Append `order.routed` and wait for the outcome, at most `wait_s` seconds.

    Raises:
        NotFound: no such order.
        Rejected: `invalid_status`, `order_quarantined`, `no_processor`, `idempotency_key_reused`.
        Conflict: `concurrent_change`, `idempotency_in_progress`.
    """
    if not is_id(order_id, "ord"):
        raise not_found()
    caller = under_key(caller, idempotency)

    async def attempt() -> Done:
        return await _pay(ports, caller, order_id, request, idempotency)

    with ports.watch.order(order_id) as changed:
        done = await once(ports, caller, idempotency, attempt, as_of_now=True)
        order = await await_outcome(ports, caller, done.order, changed, wait_s=wait_s)
    return answered(done, order)


async def _pay(
    ports: Ports,
    caller: Caller,
    order_id: str,
    request: PayOrder,
    idempotency: Idempotency | None,
) -> Done:
    streams = await ports.store.load([order_id, caller.merchant_id], caller_key=caller.key_id)
    order = owned(fold(streams[order_id]), caller)
    merchant = merchants.fold(streams[caller.merchant_id])
    assert merchant is not None, "a caller's merchant is registered"
    decision = _decision(ports, merchant, order, request)
    chosen = next((a for a in decision.inputs.accounts if a.processor == decision.chosen), None)
    return_to, key = await _sealed_return(ports, order, request)
    command = Pay(
        attempt_id=new_id("att"),
        decision=decision,
        account=chosen.fingerprint if chosen else "",
        credential_version=chosen.credential_version if chosen else 0,
        token=request.tokens.get(decision.chosen or "", request.token),
        return_url=f"{ports.public_url}/checkout/{order_id}/return",
        return_to=return_to,
    )
    return await commit(
        ports,
        caller,
        order,
        decide(order, command),
        order_id=order_id,
        idempotency=idempotency,
        data_keys=(key,) if key else (),
    )


def _decision(
    ports: Ports, merchant: merchants.Merchant, order: Order, request: PayOrder
) -> Decision:
    inputs = Inputs(
        order_id=order.id,
        amount_minor=order.amount.minor,
        currency=order.amount.currency,
        token=request.token,
        card_brand=request.brand,
        country=request.country,
        explicit=request.processor,
        unfit=unfit(ports.processors, order.amount),
        accounts=merchant.accounts_of(order.mode),
    )
    return route(merchant.policy_of(order.mode), inputs, tuple(ports.processors))


async def _sealed_return(
    ports: Ports, order: Order, request: PayOrder
) -> tuple[Sealed | None, DataKeyRow | None]:
    if request.return_url is None:
        return None, None
    return await ports.vault.seal(
        request.return_url,
        merchant_id=order.merchant_id,
        mode=order.mode,
        owner=order.id,
        beside=order.personal,
    )
