"""The verb: accept an order."""

import msgspec

from commands.caller import Caller, Done, Idempotency
from commands.execute import commit, once, under_key
from commands.ports import Claim, ClaimTaken, Ports
from domain.errors import Conflict
from domain.events import CaptureMethod
from domain.ids import new_id
from domain.money import Money
from domain.order.commands import CreateOrder
from domain.order.decide import decide
from domain.personal import MetadataValue, Personal


class NewOrder(msgspec.Struct, frozen=True, kw_only=True):
    """What a merchant says of a new order; `amount_minor` from 1 to `AMOUNT_MAX`."""

    amount_minor: int
    currency: str
    external_id: str | None = None
    customer_id: str | None = None
    customer_email: str | None = None
    description: str | None = None
    metadata: dict[str, MetadataValue] | None = None
    return_url: str | None = None
    cancel_url: str | None = None
    capture_method: CaptureMethod = "automatic"


async def create_order(
    ports: Ports, caller: Caller, request: NewOrder, idempotency: Idempotency | None
) -> Done:
    """Append `order.created` and answer 201 with the order.

    Raises:
        Rejected: `idempotency_key_reused`.
        Conflict: `external_id_exists`, with the `orderId` that has it.
    """
    caller = under_key(caller, idempotency)

    async def attempt() -> Done:
        return await _create(ports, caller, request, idempotency)

    return await once(ports, caller, idempotency, attempt)


async def _create(
    ports: Ports, caller: Caller, request: NewOrder, idempotency: Idempotency | None
) -> Done:
    order_id = new_id("ord")
    personal = Personal(
        customer_id=request.customer_id,
        customer_email=request.customer_email,
        description=request.description,
        metadata=request.metadata,
        return_url=request.return_url,
        cancel_url=request.cancel_url,
    )
    sealed, key = None, None
    if personal != Personal():
        sealed, key = await ports.vault.seal(
            personal,
            merchant_id=caller.merchant_id,
            mode=caller.mode,
            owner=order_id,
            customer_id=request.customer_id,
        )
    command = CreateOrder(
        amount=Money(request.amount_minor, request.currency),
        capture_method=request.capture_method,
        external_id=request.external_id,
        personal=sealed,
    )
    claims = _claims(caller, request.external_id, order_id)
    try:
        return await commit(
            ports,
            caller,
            None,
            decide(None, command),
            order_id=order_id,
            idempotency=idempotency,
            status=201,
            claims=claims,
            data_keys=(key,) if key else (),
        )
    except ClaimTaken as taken:
        raise Conflict(
            "external_id_exists", "An order with this externalId exists.", orderId=taken.owner
        ) from taken


def _claims(caller: Caller, external_id: str | None, order_id: str) -> tuple[Claim, ...]:
    if external_id is None:
        return ()
    scope = f"{caller.merchant_id}:{caller.mode}"
    return (Claim(kind="external_id", scope=scope, value=external_id, owner=order_id),)
