"""The event catalogue: every fact that the log can hold, with its tag. Rows are never changed.

A tag ends in the version of its shape. A field may be added with a default; any other change is a
new tag and an upcaster (`adapters/codec.py`), and the old tag keeps its golden file.
"""

from datetime import datetime
from typing import Any, Literal, TypeAlias, get_args

import msgspec

from domain.metadata import Metadata, Mode, Sealed
from domain.money import Money
from domain.routing import Decision, RetryClass, RoutingPolicy

CaptureMethod = Literal["automatic", "manual"]
ChallengeKind = Literal["redirect", "razorpay_checkout", "collect_payment_method"]
Next = Literal["failover", "customer", "end"]
Operation = Literal["authorize", "capture", "void", "refund"]
Proof = Literal["not_sent", "cancelled_at_processor", "capture_withheld"]
Remainder = Literal["released", "kept"]
RefundKind = Literal["merchant", "stray"]


class Event(msgspec.Struct, frozen=True, kw_only=True, tag_field="tag", omit_defaults=True):
    """Base of all events: frozen, keyword only, tagged."""


class OrderCreated(Event, frozen=True, kw_only=True, tag="order.created.v1"):
    """An order was accepted. `personal` holds a sealed `Personal`."""

    amount: Money
    capture_method: CaptureMethod = "automatic"
    external_id: str | None = None
    checkout_session_id: str | None = None
    expires_at: datetime | None = None
    personal: Sealed | None = None


class OrderRouted(Event, frozen=True, kw_only=True, tag="order.routed.v1"):
    """The intent to try one processor; all that is sent comes from this event alone.

    `return_url` is ours and goes to the processor; `return_to` is the merchant's own, sealed.
    """

    attempt_id: str
    number: int
    processor: str
    account: str
    credential_version: int
    idempotency_key: str
    amount: Money
    decision: Decision
    token: str | None = None
    return_url: str | None = None
    return_to: Sealed | None = None
    challenge_timeout_s: int = 900


class ProcessorReferenced(Event, frozen=True, kw_only=True, tag="order.processor_referenced.v1"):
    """The processor's object exists; no money has moved."""

    attempt_id: str
    processor: str
    reference: str


class OrderChallenged(Event, frozen=True, kw_only=True, tag="order.challenged.v1"):
    """The customer has to act until the deadline; URL and client secret stand in the vault."""

    attempt_id: str
    kind: ChallengeKind
    deadline: datetime


class OrderAuthorized(Event, frozen=True, kw_only=True, tag="order.authorized.v1"):
    """The processor holds the money."""

    attempt_id: str
    processor: str
    payment_id: str
    amount: Money
    capture_before: datetime | None = None


class OrderDeclined(Event, frozen=True, kw_only=True, tag="order.declined.v1"):
    """A definite no. `closed`: the attempt can take no money any more without being cancelled."""

    attempt_id: str
    processor: str
    code: str
    retry_class: RetryClass
    next: Next
    closed: bool = False
    processor_code: str | None = None
    message: str | None = None


class OutcomeUnknown(Event, frozen=True, kw_only=True, tag="order.outcome_unknown.v1"):
    """The operation may or may not have happened. `subject` is the attempt, capture or refund."""

    subject: str
    attempt_id: str
    operation: Operation
    cause: str


class AttemptFenced(Event, frozen=True, kw_only=True, tag="order.attempt_fenced.v1"):
    """Proven that this attempt can never take money."""

    attempt_id: str
    proof: Proof


class CaptureRequested(Event, frozen=True, kw_only=True, tag="order.capture_requested.v1"):
    """The one permission to capture; `remainder` says what happens to the rest of the hold."""

    attempt_id: str
    capture_id: str
    processor: str
    amount: Money
    remainder: Remainder
    idempotency_key: str


class OrderCaptured(Event, frozen=True, kw_only=True, tag="order.captured.v1"):
    """The processor took the money. `remaining` is what is still held afterwards."""

    attempt_id: str
    capture_id: str
    processor: str
    processor_id: str
    amount: Money
    released: Money
    remaining: Money
    remaining_expires_at: datetime | None = None


class CaptureFailed(Event, frozen=True, kw_only=True, tag="order.capture_failed.v1"):
    """A definite no to a capture. `hold`: what became of the authorization."""

    attempt_id: str
    capture_id: str
    processor: str
    code: str
    hold: Literal["held", "expired"]
    released: Money | None = None
    message: str | None = None


class VoidRequested(Event, frozen=True, kw_only=True, tag="order.void_requested.v1"):
    """The intent to give a hold back."""

    attempt_id: str
    processor: str
    amount: Money
    idempotency_key: str


class OrderVoided(Event, frozen=True, kw_only=True, tag="order.voided.v1"):
    """A hold was given back. `payment_id` names a stray's; None is the attempt's own."""

    attempt_id: str
    processor: str
    amount: Money
    payment_id: str | None = None


class VoidFailed(Event, frozen=True, kw_only=True, tag="order.void_failed.v1"):
    """A definite no to a void."""

    attempt_id: str
    code: str
    message: str | None = None


class AuthorizationExpiring(
    Event, frozen=True, kw_only=True, tag="order.authorization_expiring.v1"
):
    """The hold of a manual order lapses within a day; the merchant is told."""

    attempt_id: str
    capture_before: datetime


class AuthorizationExpired(Event, frozen=True, kw_only=True, tag="order.authorization_expired.v1"):
    """A hold, or what was left of it, lapsed. `payment_id` names a stray's; None is our own."""

    attempt_id: str
    processor: str
    amount: Money
    payment_id: str | None = None


class CancelRequested(Event, frozen=True, kw_only=True, tag="order.cancel_requested.v1"):
    """From here no attempt may start or capture. `reason` is sealed."""

    reason: Sealed | None = None


class OrderFailed(Event, frozen=True, kw_only=True, tag="order.failed.v1"):
    """The end without money, because of the attempt's failure."""

    code: str
    retry_class: RetryClass
    message: str
    processor_code: str | None = None


class OrderCancelled(Event, frozen=True, kw_only=True, tag="order.cancelled.v1"):
    """The end without money, as the merchant asked."""

    reason: Sealed | None = None


class OrderExpired(Event, frozen=True, kw_only=True, tag="order.expired.v1"):
    """The end without money, because time ran out."""

    cause: Literal["authorization", "session"]


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
    """The processor's fee for a capture, refund or dispute became known."""

    processor: str
    of: Literal["capture", "refund", "dispute"]
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
    """An operator settled a discrepancy. `how` and `evidence` are theirs, sealed."""

    subject: str
    how: Literal["accepted_ours", "written_off"]
    evidence: Sealed | None = None


OrderEvent: TypeAlias = (
    OrderCreated
    | OrderRouted
    | ProcessorReferenced
    | OrderChallenged
    | OrderAuthorized
    | OrderDeclined
    | OutcomeUnknown
    | AttemptFenced
    | CaptureRequested
    | OrderCaptured
    | CaptureFailed
    | VoidRequested
    | OrderVoided
    | VoidFailed
    | AuthorizationExpiring
    | AuthorizationExpired
    | CancelRequested
    | OrderFailed
    | OrderCancelled
    | OrderExpired
    | RefundRequested
    | OrderRefunded
    | RefundFailed
    | RefundReversed
    | DisputeOpened
    | DisputeFundsWithdrawn
    | DisputeFundsReinstated
    | DisputeClosed
    | FeeRecorded
    | StrayPaymentFound
    | DiscrepancyFound
    | DiscrepancyResolved
)


class MerchantRegistered(Event, frozen=True, kw_only=True, tag="merchant.registered.v1"):
    """A merchant exists. `profile` holds a sealed name and e-mail."""

    profile: Sealed | None = None


class ProfileChanged(Event, frozen=True, kw_only=True, tag="merchant.profile_changed.v1"):
    """The sealed profile was replaced."""

    profile: Sealed


class KeyIssued(Event, frozen=True, kw_only=True, tag="merchant.key_issued.v1"):
    """An API key was made; the secret itself is shown once and stored nowhere."""

    key_id: str
    name: str
    prefix: str
    scopes: tuple[str, ...]
    mode: Mode
    expires_at: datetime | None = None


class KeyRevoked(Event, frozen=True, kw_only=True, tag="merchant.key_revoked.v1"):
    """An API key stopped working."""

    key_id: str


class ProcessorConfigured(Event, frozen=True, kw_only=True, tag="merchant.processor_configured.v1"):
    """A processor account can be used; its credentials stand in the vault, by version."""

    processor: str
    mode: Mode
    account: str
    credential_version: int
    enabled: bool = True
    priority: int = 1


class ProcessorRemoved(Event, frozen=True, kw_only=True, tag="merchant.processor_removed.v1"):
    """New attempts no longer use this processor."""

    processor: str
    mode: Mode


class RoutingSet(Event, frozen=True, kw_only=True, tag="merchant.routing_set.v1"):
    """The routing policy was replaced."""

    mode: Mode
    policy: RoutingPolicy


class EndpointAdded(Event, frozen=True, kw_only=True, tag="merchant.endpoint_added.v1"):
    """A webhook endpoint was made; its secret stands in the vault."""

    endpoint_id: str
    mode: Mode
    url: Sealed
    events: tuple[str, ...]
    api_version: str
    description: Sealed | None = None


class EndpointChanged(Event, frozen=True, kw_only=True, tag="merchant.endpoint_changed.v1"):
    """What is not None was changed."""

    endpoint_id: str
    url: Sealed | None = None
    events: tuple[str, ...] | None = None
    status: Literal["enabled", "disabled", "failing"] | None = None
    disabled_reason: str | None = None


class EndpointRemoved(Event, frozen=True, kw_only=True, tag="merchant.endpoint_removed.v1"):
    """Nothing more is sent to this endpoint."""

    endpoint_id: str


class CustomerErased(Event, frozen=True, kw_only=True, tag="merchant.customer_erased.v1"):
    """A customer's data key was destroyed; `subject` is its keyed hash."""

    subject: str
    mode: Mode


MerchantEvent: TypeAlias = (
    MerchantRegistered
    | ProfileChanged
    | KeyIssued
    | KeyRevoked
    | ProcessorConfigured
    | ProcessorRemoved
    | RoutingSet
    | EndpointAdded
    | EndpointChanged
    | EndpointRemoved
    | CustomerErased
)

AnyEvent: TypeAlias = OrderEvent | MerchantEvent


def tag_of(event: Event | type[Event]) -> str:
    """Return the event's tag, for example `order.created.v1`."""
    tag = event.__struct_config__.tag
    assert isinstance(tag, str)
    return tag


EVENT_TYPES: dict[str, type[Any]] = {tag_of(kind): kind for kind in get_args(AnyEvent)}
"""Every tag of the catalogue and its type."""


class Recorded(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the log as the domain reads it.

    Attributes:
        stream_id: `ord_…`, `mer_…` or `set_…`.
        version: 1 for the first event of a stream, without gaps.
        position: place in the whole log, from 1, without gaps.
        recorded_at: UTC, set at the commit, never going back.
    """

    stream_id: str
    version: int
    position: int
    recorded_at: datetime
    metadata: Metadata
    data: AnyEvent
