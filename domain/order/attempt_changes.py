"""What events make of an order's attempts and of the money that they hold."""

from typing import Any, Literal, TypeVar

from msgspec.structs import replace

from domain import events as e
from domain.metadata import Metadata
from domain.money import Money
from domain.order.parts import Attempt, Capture, Dispute, Failure, Refund, Release
from domain.order.state import Order

P = TypeVar("P", Order, Attempt, Capture, Refund, Dispute)


def changed(part: P, meta: Metadata, **change: Any) -> P:
    """Change a part at an event's time; a processor's clock in whole seconds never sets it back."""
    return replace(part, **change, updated_at=max(part.updated_at, meta.occurred_at))


def change_attempt(order: Order, attempt_id: str, meta: Metadata, **change: Any) -> Order:
    """Replace fields of one attempt."""
    attempts = tuple(
        changed(a, meta, **change) if a.id == attempt_id else a for a in order.attempts
    )
    return replace(order, attempts=attempts)


def routed(order: Order, event: e.OrderRouted, meta: Metadata) -> Order:
    """Begin an attempt; whatever an earlier one failed for is no longer the order's failure."""
    attempt = Attempt(
        id=event.attempt_id,
        number=event.number,
        processor=event.processor,
        account=event.account,
        credential_version=event.credential_version,
        idempotency_key=event.idempotency_key,
        token=event.token,
        return_url=event.return_url,
        return_to=event.return_to,
        challenge_timeout_s=event.challenge_timeout_s,
        hosted=event.hosted,
        correlation_id=meta.correlation_id,
        status="in_flight",
        decision=event.decision,
        created_at=meta.occurred_at,
        updated_at=meta.occurred_at,
    )
    return replace(order, attempts=(*order.attempts, attempt), failure=None)


def challenged(order: Order, event: e.OrderChallenged, meta: Metadata) -> Order:
    """The customer has to act."""
    change = {"status": "challenged", "doubt": None}
    change |= {"challenge": event.kind, "deadline": event.deadline}
    return change_attempt(order, event.attempt_id, meta, **change)


def authorized(order: Order, event: e.OrderAuthorized, meta: Metadata) -> Order:
    """The attempt holds money."""
    return change_attempt(
        order,
        event.attempt_id,
        meta,
        status="authorized",
        payment_id=event.payment_id,
        authorized=event.amount,
        held=event.amount,
        capture_before=event.capture_before,
        failure=None,
        doubt=None,
        challenge=None,
        deadline=None,
    )


def declined(order: Order, event: e.OrderDeclined, meta: Metadata) -> Order:
    """The attempt was refused; whether it is also closed, the event says."""
    failure = Failure(
        code=event.code,
        retry_class=event.retry_class,
        message=event.message or event.code,
        processor_code=event.processor_code,
    )
    change = {"status": "declined", "failure": failure, "closed": event.closed}
    change |= {"next": event.next, "doubt": None, "challenge": None, "deadline": None}
    return change_attempt(order, event.attempt_id, meta, **change)


def fenced(order: Order, event: e.AttemptFenced, meta: Metadata) -> Order:
    """A declined attempt keeps its status and its reason; it is only closed."""
    attempt = order.attempt(event.attempt_id)
    assert attempt is not None, "only what was routed is fenced"
    change: dict[str, Any] = {"proof": event.proof, "closed": True, "doubt": None}
    change |= {"challenge": None, "deadline": None}
    if attempt.status != "declined":
        change["status"] = "fenced"
    if event.next is not None:
        change["next"] = event.next
    return change_attempt(order, event.attempt_id, meta, **change)


def void_failed(order: Order, event: e.VoidFailed, meta: Metadata) -> Order:
    """The hold stays; nobody tries to give it back again."""
    change = {"void_key": None, "void_failed": True, "doubt": None}
    return change_attempt(order, event.attempt_id, meta, **change)


def released(
    order: Order,
    event: e.OrderVoided | e.AuthorizationExpired,
    meta: Metadata,
    cause: Literal["voided", "expired"],
) -> Order:
    """A hold, or a kept remainder, went back; a stray's changes nothing else."""
    attempt = order.attempt(event.attempt_id)
    assert attempt is not None, "only what was held is released"
    if event.payment_id is not None:
        strays = tuple(
            replace(s, open=False) if s.payment_id == event.payment_id else s for s in order.strays
        )
        return replace(order, strays=strays)
    order = note_release(order, attempt, event.amount, meta, cause)
    change: dict[str, Any] = {"held": Money(0, order.amount.currency), "void_key": None}
    change |= {"doubt": None}
    if attempt.status == "authorized":
        change["status"] = cause
    return change_attempt(order, attempt.id, meta, **change)


def note_release(
    order: Order,
    attempt: Attempt,
    amount: Money,
    meta: Metadata,
    cause: Literal["voided", "expired"],
) -> Order:
    """Add what the merchant sees of a hold that went back."""
    release = Release(
        attempt_id=attempt.id,
        processor=attempt.processor,
        amount=amount,
        created_at=meta.occurred_at,
        cause=cause,
    )
    return replace(order, releases=(*order.releases, release))
