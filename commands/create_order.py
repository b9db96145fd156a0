"""The verb: accept an order."""

from datetime import datetime

import msgspec

from commands.append import Claim, ClaimTaken, DataKeyRow
from commands.caller import Caller, Done, Idempotency
from commands.execute import commit, once, under_key
from commands.ports import Ports
from domain.errors import Conflict
from domain.events import CaptureMethod
from domain.ids import new_id, sibling
from domain.money import Money
from domain.order.commands import CreateOrder
from domain.order.decide import decide
from domain.personal import LineItem, MetadataValue, Personal


class NewOrder(msgspec.Struct, frozen=True, kw_only=True):
    """What a merchant says of a new order; `amount_minor` from 1 to `AMOUNT_MAX`.

    Attributes:
        session: whether a checkout session opens it: its id is the order's with `cs_`.
        expires_at: when a session that nobody paid ends.
        line_items: what is paid for; they add up to the amount.
    """

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
    session: bool = False
    expires_at: datetime | None = None
    line_items: tuple[LineItem, ...] | None = None


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
    command, key = await creation(ports, caller, request, order_id)
    try:
        return await commit(
            ports,
            caller,
            None,
            decide(None, command),
            order_id=order_id,
            idempotency=idempotency,
            status=201,
            claims=claims_of(caller, command, order_id),
            data_keys=(key,) if key else (),
        )
    except ClaimTaken as taken:
        raise external_id_exists(taken) from taken


async def creation(
    ports: Ports, caller: Caller, request: NewOrder, order_id: str
) -> tuple[CreateOrder, DataKeyRow | None]:
    """Return the command, its personal part sealed, and the fresh key's row if one was made."""
    personal = Personal(
        customer_id=request.customer_id,
        customer_email=request.customer_email,
        description=request.description,
        metadata=request.metadata,
        line_items=request.line_items,
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
        checkout_session_id=sibling(order_id, "cs") if request.session else None,
        expires_at=request.expires_at,
        personal=sealed,
    )
    return command, key


def claims_of(caller: Caller, command: CreateOrder, order_id: str) -> tuple[Claim, ...]:
    """Return what a new order claims: its external id, and its session."""
    scope = f"{caller.merchant_id}:{caller.mode}"
    found: list[Claim] = []
    if command.external_id is not None:
        found.append(
            Claim(kind="external_id", scope=scope, value=command.external_id, owner=order_id)
        )
    session_id = command.checkout_session_id
    if session_id is not None:
        found.append(Claim(kind="checkout_session", scope=scope, value=session_id, owner=order_id))
    return tuple(found)


def external_id_exists(taken: ClaimTaken) -> Conflict:
    """Return the refusal of an external id that another order has."""
    return Conflict(
        "external_id_exists", "An order with this externalId exists.", orderId=taken.owner
    )
