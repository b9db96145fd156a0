"""Events of an order's money: captured, refunded, disputed, charged for, found astray."""

from datetime import datetime
from typing import Literal

from domain.events.base import Event
from domain.events.order import Operation
from domain.metadata import Sealed
from domain.money import Money

Remainder = Literal["released", "kept"]
RefundKind = Literal["merchant", "stray"]
FeeOf = Literal["capture", "refund", "dispute"]


class CaptureRequested(Event, frozen=True, kw_only=True, tag="order.capture_requested.v1"):
    """The one permission to capture; `remainder` says what happens to the rest of the hold."""

    attempt_id: str
    capture_id: str
    processor: str
    amount: Money
    remainder: Remainder
    idempotency_key: str


class OrderCaptured(Event, frozen=True, kw_only=True, tag="order.captured.v1"):
    """The processor took the money. `remaining` is what is still held afterwards.

    `fee_expected`: the processor's fee becomes known later, and is looked up.
    """

    attempt_id: str
    capture_id: str
    processor: str
    processor_id: str
    amount: Money
    released: Money
    remaining: Money
    remaining_expires_at: datetime | None = None
    fee_expected: bool = False


class CaptureFailed(Event, frozen=True, kw_only=True, tag="order.capture_failed.v1"):
    """A definite no to a capture. `hold`: what became of the authorization."""

    attempt_id: str
    capture_id: str
    processor: str
    code: str
    hold: Literal["held", "expired"]
    released: Money | None = None
    message: str | None = None


class RefundRequested(Event, frozen=True, kw_only=True, tag="order.refund_requested.v1"):
    """The intent to send money back. `reason` is sealed."""

    refund_id: str
    attempt_id: str
    processor: str
    payment_id: str
    amount: Money
    kind: RefundKind
    idempotency_key: str
    reason: Sealed | None = None


class OrderRefunded(Event, frozen=True, kw_only=True, tag="order.refunded.v1"):
    """The processor sent the money back. `payment_id` names a stray's that we did not ask for."""

    refund_id: str
    attempt_id: str
    processor: str
    processor_id: str
    amount: Money
    kind: RefundKind
    payment_id: str | None = None


class RefundFailed(Event, frozen=True, kw_only=True, tag="order.refund_failed.v1"):
    """A definite no to a refund."""

    refund_id: str
    code: str
    message: str | None = None


class RefundReversed(Event, frozen=True, kw_only=True, tag="order.refund_reversed.v1"):
    """A refund that had succeeded came back."""

    refund_id: str
    processor: str
    amount: Money
    kind: RefundKind
    code: str


class DisputeOpened(Event, frozen=True, kw_only=True, tag="order.dispute_opened.v1"):
    """The cardholder's bank contests the payment; no money has moved yet."""

    dispute_id: str
    attempt_id: str
    processor: str
    processor_id: str
    amount: Money
    reason: str


class DisputeFundsWithdrawn(
    Event, frozen=True, kw_only=True, tag="order.dispute_funds_withdrawn.v1"
):
    """The processor took the disputed money."""

    dispute_id: str
    processor: str
    amount: Money


class DisputeFundsReinstated(
    Event, frozen=True, kw_only=True, tag="order.dispute_funds_reinstated.v1"
):
    """The processor gave disputed money back."""

    dispute_id: str
    processor: str
    amount: Money


class DisputeClosed(Event, frozen=True, kw_only=True, tag="order.dispute_closed.v1"):
    """The dispute was decided. `lost_amount` is what was still withdrawn when it was lost."""

    dispute_id: str
    processor: str
    outcome: Literal["won", "lost", "withdrawn"]
    lost_amount: Money | None = None


class FeeRecorded(Event, frozen=True, kw_only=True, tag="order.fee_recorded.v1"):
    """The processor's fee for a capture, refund or dispute became known.

    It is in the currency that the processor settles in. `subject` is our capture, refund or
    dispute, or a stray payment, with `:reversed` behind it where the money came back.
    """

    processor: str
    of: FeeOf
    subject: str
    amount: Money


class StrayPaymentFound(Event, frozen=True, kw_only=True, tag="order.stray_payment_found.v1"):
    """Money held or taken on a fenced attempt, or of an order that has ended."""

    attempt_id: str
    processor: str
    payment_id: str
    state: Literal["held", "captured"]
    amount: Money


class DiscrepancyFound(Event, frozen=True, kw_only=True, tag="order.discrepancy_found.v1"):
    """The processor's amount or currency is not ours; nothing moves until an operator settles it.

    The processor's side is plain text and number: its currency may be none that exists.
    """

    attempt_id: str
    operation: Operation
    subject: str
    ours: Money
    theirs_minor: int
    theirs_currency: str


class DiscrepancyResolved(Event, frozen=True, kw_only=True, tag="order.discrepancy_resolved.v1"):
    """An operator settled a discrepancy; `evidence` is what they say of it, sealed."""

    subject: str
    how: Literal["accepted_ours", "written_off"]
    evidence: Sealed | None = None
