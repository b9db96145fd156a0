"""The verb: pay an order. Routing decides, the intent is committed, the workers do the rest."""

from collections.abc import Sequence
from datetime import datetime

import msgspec

from commands.append import DataKeyRow
from commands.await_outcome import answered, await_outcome
from commands.caller import Caller, Done, Idempotency
from commands.execute import commit, not_found, once, owned, under_key
from commands.new_attempt import may_start
from commands.ports import Ports
from commands.route_order import Wish, route_order
from commands.sealed_words import sealed_words
from domain import merchant as merchants
from domain.errors import Rejected
from domain.events import Recorded
from domain.ids import is_id, new_id
from domain.order.commands import Pay
from domain.order.decide import decide
from domain.order.evolve import fold
from domain.order.requests import check_payable
from domain.order.state import Order
from domain.routing import Decision, token_for


class PayOrder(msgspec.Struct, frozen=True, kw_only=True):
    """How the customer pays. `tokens` are by processor; `token` belongs to the one it names.

    `hosted`: on our own page, where another try can follow a no.
    """

    processor: str | None = None
    token: str | None = None
    tokens: dict[str, str] = {}
    brand: str | None = None
    country: str | None = None
    return_url: str | None = None
    hosted: bool = False


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
        Unavailable: `reconciling`, after a restore.
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
    until = customer_until(order)
    if until is not None and until <= ports.now():
        raise Rejected("invalid_status", "The customer's time to pay this order is over.")
    command, key = await payment(ports, streams[caller.merchant_id], order, request)
    return await commit(
        ports,
        caller,
        order,
        decide(order, command),
        order_id=order_id,
        idempotency=idempotency,
        data_keys=(key,) if key else (),
    )


def customer_until(order: Order) -> datetime | None:
    """Return until when the customer may pay; None without an end, or while it is not asked for."""
    return order.expires_at if order.status == "pending" else order.customer_deadline


async def payment(
    ports: Ports, merchant_rows: Sequence[Recorded], order: Order, request: PayOrder
) -> tuple[Pay, DataKeyRow | None]:
    """Return the command as routing decides it, and the fresh key's row if one was made."""
    merchant = merchants.fold(merchant_rows)
    assert merchant is not None, "a caller's merchant is registered"
    check_payable(order)
    await may_start(ports, order)
    attempt_id = new_id("att")
    decision = await _decision(ports, merchant, order, request, attempt_id)
    chosen = next((a for a in decision.inputs.accounts if a.processor == decision.chosen), None)
    return_to, key = await sealed_words(ports, order, request.return_url)
    command = Pay(
        attempt_id=attempt_id,
        decision=decision,
        account=chosen.fingerprint if chosen else "",
        credential_version=chosen.credential_version if chosen else 0,
        token=token_for(decision.inputs, decision.chosen) if decision.chosen else None,
        return_url=f"{ports.public_url}/checkout/{order.id}/return",
        return_to=return_to,
        hosted=request.hosted,
    )
    return command, key


async def _decision(
    ports: Ports, merchant: merchants.Merchant, order: Order, request: PayOrder, attempt_id: str
) -> Decision:
    wish = Wish(
        explicit=request.processor,
        token=request.token,
        tokens=tuple(sorted(request.tokens.items())),
        brand=request.brand,
        country=request.country,
        probe_as=attempt_id,
    )
    return await route_order(
        ports, merchant, order_id=order.id, amount=order.amount, mode=order.mode, wish=wish
    )
