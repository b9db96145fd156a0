"""What is shown of an order wherever it is shown: answers, webhooks. Closed, in camelCase."""

from datetime import UTC, datetime
from typing import Annotated, TypeAlias

import msgspec
from msgspec import UNSET, Meta, UnsetType

from domain.events import CaptureMethod, ChallengeKind
from domain.metadata import Mode
from domain.order.parts import Attempt, AttemptStatus, Failure
from domain.order.state import Order, OrderStatus
from domain.personal import MetadataValue, Personal
from domain.routing import RetryClass

Time: TypeAlias = Annotated[str, Meta(extra_json_schema={"format": "date-time"})]
MinorUnits: TypeAlias = Annotated[int, Meta(description="Minor units of the currency.")]


def whole_ms(at: datetime) -> datetime:
    """Return the end of a time's millisecond: what `iso` tells of an event leads back to it."""
    return at.replace(microsecond=at.microsecond // 1000 * 1000 + 999)


def iso(at: datetime) -> str:
    """Return a time as ISO 8601 in UTC with milliseconds and `Z`."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class View(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """Base of answers."""


class FailureView(View, frozen=True, kw_only=True):
    """Why a payment came to nothing."""

    code: str
    retry_class: RetryClass = msgspec.field(name="class")
    message: str
    processor_code: str | UnsetType = UNSET


class NextActionView(View, frozen=True, kw_only=True):
    """What the customer has to do; the members depend on the type."""

    type: ChallengeKind
    redirect_url: str
    expires_at: Time | None
    client_secret: str | UnsetType = UNSET
    publishable_key: str | UnsetType = UNSET
    key_id: str | UnsetType = UNSET
    order_id: str | UnsetType = UNSET
    amount: MinorUnits | UnsetType = UNSET
    currency: str | UnsetType = UNSET


class AttemptView(View, frozen=True, kw_only=True):
    """One try at one processor."""

    id: str
    number: int
    processor: str
    status: AttemptStatus
    processor_order_id: str | None
    processor_transaction_id: str | None
    failure: FailureView | None
    livemode: bool
    created_at: Time
    updated_at: Time


class OrderView(View, frozen=True, kw_only=True):
    """An order. What a person can be recognised by is null once it was erased."""

    id: str
    external_id: str | None
    amount: MinorUnits
    currency: str
    status: OrderStatus
    processor: str | None
    processor_order_id: str | None
    metadata: dict[str, MetadataValue] | None
    created_at: Time
    updated_at: Time
    customer_id: str | None
    customer_email: str | None
    description: str | None
    return_url: str | None
    cancel_url: str | None
    capture_method: CaptureMethod
    amount_authorized: MinorUnits
    amount_captured: MinorUnits
    amount_refunded: MinorUnits
    capture_before: Time | None
    next_action: NextActionView | None
    attempts: list[AttemptView]
    failure: FailureView | None
    livemode: bool
    version: int


def failure_view(failure: Failure) -> FailureView:
    """Render a failure."""
    return FailureView(
        code=failure.code,
        retry_class=failure.retry_class,
        message=failure.message,
        processor_code=failure.processor_code or UNSET,
    )


def attempt_view(attempt: Attempt, mode: Mode) -> AttemptView:
    """Render an attempt."""
    return AttemptView(
        id=attempt.id,
        number=attempt.number,
        processor=attempt.processor,
        status=attempt.status,
        processor_order_id=attempt.reference,
        processor_transaction_id=attempt.payment_id,
        failure=failure_view(attempt.failure) if attempt.failure else None,
        livemode=mode == "live",
        created_at=iso(attempt.created_at),
        updated_at=iso(attempt.updated_at),
    )


def order_view(order: Order, personal: Personal, next_action: NextActionView | None) -> OrderView:
    """Render an order with its opened personal part."""
    live = order.live
    return OrderView(
        id=order.id,
        external_id=order.external_id,
        amount=order.amount.minor,
        currency=order.amount.currency,
        status=order.status,
        processor=live.processor if live else None,
        processor_order_id=live.reference if live else None,
        metadata=personal.metadata,
        created_at=iso(order.created_at),
        updated_at=iso(order.updated_at),
        customer_id=personal.customer_id,
        customer_email=personal.customer_email,
        description=personal.description,
        return_url=personal.return_url,
        cancel_url=personal.cancel_url,
        capture_method=order.capture_method,
        amount_authorized=order.amount_authorized,
        amount_captured=order.amount_captured,
        amount_refunded=order.amount_refunded,
        capture_before=iso(live.capture_before) if live and live.capture_before else None,
        next_action=next_action,
        attempts=[attempt_view(attempt, order.mode) for attempt in order.attempts],
        failure=failure_view(order.failure) if order.failure else None,
        livemode=order.mode == "live",
        version=order.version,
    )
