"""Events of an order's life: accepted, routed, authorized, given back, ended."""

from datetime import datetime
from typing import Literal

from domain.events.base import Event
from domain.metadata import Sealed
from domain.money import Money
from domain.routing import Decision, RetryClass

CaptureMethod = Literal["automatic", "manual"]
ChallengeKind = Literal["redirect", "razorpay_checkout", "collect_payment_method"]
Next = Literal["failover", "customer", "end"]
Operation = Literal["authorize", "capture", "void", "refund"]
Proof = Literal["not_sent", "cancelled_at_processor", "capture_withheld"]


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
    `hosted`: the customer pays on our own page, and may try again there.
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
    hosted: bool = False


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
    """Proven that this attempt can never take money.

    `next`: what follows, where it changes. `evidence`: an operator's, sealed.
    """

    attempt_id: str
    proof: Proof
    next: Next | None = None
    evidence: Sealed | None = None


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
