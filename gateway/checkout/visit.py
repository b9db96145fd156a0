"""What the hosted page knows of an order: read from the log at every visit, by an id alone."""

from typing import Any, Final

import msgspec
from litestar import Request

from commands.caller import Caller
from commands.execute import not_found
from commands.ports import Ports
from commands.read_order import open_personal
from domain import merchant as merchants
from domain.ids import is_id, sibling
from domain.merchant import Merchant
from domain.metadata import Actor
from domain.order.evolve import fold
from domain.order.state import Order
from domain.personal import Personal, Profile
from gateway.edge import ids_of

PAID: Final = frozenset({"authorized", "captured", "partially_refunded", "refunded"})


class Visit(msgspec.Struct, frozen=True, kw_only=True):
    """An order and what the page shows of it.

    Attributes:
        id: of the session or order, as in the address.
        shop: the merchant's name, None once it was erased.
        return_url, cancel_url: the merchant's, http or https; None where there is none.
    """

    id: str
    order: Order
    merchant: Merchant
    personal: Personal
    shop: str | None
    return_url: str | None
    cancel_url: str | None

    @property
    def path(self) -> str:
        """Return the page's path."""
        return f"/checkout/{self.id}"


async def visit(ports: Ports, checkout_id: str) -> Visit:
    """Return what an id opens; a session's id and its order's open the same.

    Raises:
        NotFound: an id of nothing, or of an order that nobody has sent a customer to.
    """
    order = await _order(ports, checkout_id)
    rows = (await ports.store.load([order.merchant_id]))[order.merchant_id]
    merchant = merchants.fold(rows)
    assert merchant is not None, "an order's merchant is registered"
    (personal,) = await open_personal(ports, [order])
    profile = await _profile(ports, merchant)
    return Visit(
        id=checkout_id,
        order=order,
        merchant=merchant,
        personal=personal,
        shop=profile.name if profile else None,
        return_url=_web(await payment_return_url(ports, order) or personal.return_url),
        cancel_url=_web(personal.cancel_url),
    )


async def _order(ports: Ports, checkout_id: str) -> Order:
    if not is_id(checkout_id, "cs") and not is_id(checkout_id, "ord"):
        raise not_found()
    order_id = sibling(checkout_id, "ord")
    order = fold((await ports.store.load([order_id]))[order_id])
    if order is None or (order.checkout_session_id is None and order.live is None):
        raise not_found()
    if checkout_id not in {order.id, order.checkout_session_id}:
        raise not_found()
    return order


async def _profile(ports: Ports, merchant: Merchant) -> Profile | None:
    if merchant.profile is None:
        return None
    (raw,) = await ports.vault.open([merchant.profile])
    return msgspec.json.decode(raw, type=Profile) if raw else None


async def payment_return_url(ports: Ports, order: Order) -> str | None:
    """Return where the newest payment sends its customer, where it said so itself."""
    live = order.live
    if live is None or live.return_to is None:
        return None
    (raw,) = await ports.vault.open([live.return_to])
    return msgspec.json.decode(raw, type=str) if raw else None


def _web(url: str | None) -> str | None:
    """Return a URL if it is one that a customer may be sent to."""
    return url if url and url.startswith(("http://", "https://")) else None


def customer_of(request: Request[Any, Any, Any], order: Order) -> Caller:
    """Return the customer as a caller: no credentials, and nothing but this order."""
    ids = ids_of(request.scope)
    return Caller(
        actor=Actor(kind="saga", id="checkout"),
        merchant_id=order.merchant_id,
        mode=order.mode,
        correlation_id=ids.correlation_id,
        trace=ids.trace,
    )
