"""What answers say of money that moved: refunds and the list of an order's movements."""

from typing import Literal, TypeAlias

from domain.order.parts import Refund
from gateway.views import MinorUnits, Time, View, iso
from projections.movements import Transaction

RefundStatus: TypeAlias = Literal["pending", "succeeded", "failed"]


class NewRefundView(View, frozen=True, kw_only=True):
    """A refund that was asked for."""

    refund_id: str
    order_id: str
    amount: MinorUnits
    status: RefundStatus
    reason: str | None


class RefundView(View, frozen=True, kw_only=True):
    """A refund."""

    refund_id: str
    order_id: str
    amount: MinorUnits
    status: RefundStatus
    reason: str | None
    created_at: Time


class TransactionView(View, frozen=True, kw_only=True):
    """One thing that happened to the money, as the processor knows it."""

    id: str
    order_id: str
    type: Literal["authorization", "capture", "refund", "void", "dispute"]
    amount: MinorUnits
    status: Literal["pending", "success", "failed"]
    processor: str
    processor_transaction_id: str | None
    error_code: str | None
    error_message: str | None
    created_at: Time


def refund_status(refund: Refund) -> RefundStatus:
    """Return the public status: doubt is shown as pending."""
    return "pending" if refund.status == "unknown" else refund.status


def refund_view(refund: Refund, order_id: str, reason: str | None) -> RefundView:
    """Render a refund."""
    return RefundView(
        refund_id=refund.id,
        order_id=order_id,
        amount=refund.amount.minor,
        status=refund_status(refund),
        reason=reason,
        created_at=iso(refund.created_at),
    )


def new_refund_view(refund: Refund, order_id: str, reason: str | None) -> NewRefundView:
    """Render the answer of `/refund`."""
    return NewRefundView(
        refund_id=refund.id,
        order_id=order_id,
        amount=refund.amount.minor,
        status=refund_status(refund),
        reason=reason,
    )


def transaction_view(movement: Transaction) -> TransactionView:
    """Render a movement of an order's money."""
    return TransactionView(
        id=movement.id,
        order_id=movement.order_id,
        type=movement.type,
        amount=movement.amount_minor,
        status=movement.status,
        processor=movement.processor,
        processor_transaction_id=movement.processor_transaction_id,
        error_code=movement.error_code,
        error_message=movement.error_message,
        created_at=iso(movement.created_at),
    )
