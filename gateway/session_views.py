"""What the answers about checkout sessions say: an order, seen as the page that it is paid on."""

from collections.abc import Sequence
from datetime import datetime
from typing import Literal

import msgspec

from commands.ports import Ports
from commands.read_order import open_personal
from domain.events import OrderAuthorized, Recorded
from domain.ids import sibling
from domain.order.evolve import fold
from domain.order.state import Order, OrderStatus
from domain.personal import LineItem, MetadataValue
from gateway.views import MinorUnits, Time, View, iso

SessionStatus = Literal["open", "complete", "expired"]


class LineItemView(View, frozen=True, kw_only=True):
    """One line of a checkout."""

    name: str
    amount: MinorUnits
    quantity: int


class NewSessionView(View, frozen=True, kw_only=True):
    """A new checkout session: send the customer to `url`."""

    id: str
    url: str
    expires_at: Time


class SessionView(NewSessionView, frozen=True, kw_only=True):
    """A checkout session. `expired` is every end without a payment; `orderStatus` says which."""

    status: SessionStatus
    amount: MinorUnits
    currency: str
    order_id: str
    order_status: OrderStatus
    external_id: str | None
    customer_id: str | None
    customer_email: str | None
    description: str | None
    metadata: dict[str, MetadataValue] | None
    line_items: list[LineItemView] | None
    success_url: str | None
    cancel_url: str | None
    livemode: bool
    completed_at: Time | None
    created_at: Time


class SessionsView(View, frozen=True, kw_only=True):
    """A page of checkout sessions, newest first."""

    data: list[SessionView]
    has_more: bool
    next_cursor: str | None


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """An order that a session opened, and when its customer had paid."""

    order: Order
    completed_at: datetime | None


def session_of(rows: Sequence[Recorded]) -> Session | None:
    """Return the session of an order's rows; None where none opened it.

    Complete is a session once the processor holds the money; what comes of it later is the order's.
    """
    order = fold(rows)
    if order is None or order.checkout_session_id is None:
        return None
    held = (row.metadata.occurred_at for row in rows if isinstance(row.data, OrderAuthorized))
    return Session(order=order, completed_at=next(held, None))


def new_session_view(order: Order, public_url: str) -> NewSessionView:
    """Render what a new session is answered with."""
    assert order.expires_at is not None, "a session ends some time"
    session_id = sibling(order.id, "cs")
    return NewSessionView(
        id=session_id,
        url=f"{public_url}/checkout/{session_id}",
        expires_at=iso(order.expires_at),
    )


async def session_views(ports: Ports, sessions: Sequence[Session]) -> list[SessionView]:
    """Open and render sessions as they are now."""
    opened = await open_personal(ports, [session.order for session in sessions])
    found: list[SessionView] = []
    for session, personal in zip(sessions, opened, strict=True):
        order, items = session.order, personal.line_items
        found.append(
            SessionView(
                **msgspec.structs.asdict(new_session_view(order, ports.public_url)),
                status=_status(session, ports.now()),
                amount=order.amount.minor,
                currency=order.amount.currency,
                order_id=order.id,
                order_status=order.status,
                external_id=order.external_id,
                customer_id=personal.customer_id,
                customer_email=personal.customer_email,
                description=personal.description,
                metadata=personal.metadata,
                line_items=None if items is None else [_line(item) for item in items],
                success_url=personal.return_url,
                cancel_url=personal.cancel_url,
                livemode=order.mode == "live",
                completed_at=iso(session.completed_at) if session.completed_at else None,
                created_at=iso(order.created_at),
            )
        )
    return found


def _line(item: LineItem) -> LineItemView:
    return LineItemView(name=item.name, amount=item.amount, quantity=item.quantity)


def _status(session: Session, now: datetime) -> SessionStatus:
    """Say whether the customer can still pay; nobody does after the time, due row or not."""
    order = session.order
    if session.completed_at is not None:
        return "complete"
    idle = order.status == "pending" or order.awaits_customer
    late = order.expires_at is not None and order.expires_at <= now
    return "expired" if order.ended or (idle and late) else "open"
