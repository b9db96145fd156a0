"""The movements of an order as its merchant sees them: a pure function of the order's state."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, Final, Literal

import msgspec

from domain.metadata import Mode
from domain.money import Money
from domain.order.parts import Attempt, Capture, Dispute, Refund, Release
from domain.order.state import Order

TransactionType = Literal["authorization", "capture", "refund", "void", "dispute"]
TransactionStatus = Literal["pending", "success", "failed"]


class Transaction(msgspec.Struct, frozen=True, kw_only=True):
    """One movement, as the merchant sees it.

    Attributes:
        id: of the attempt, capture, refund or dispute; a void's is made from its attempt's.
        processor_transaction_id: the processor's id of it, once there is one.
    """

    id: str
    order_id: str
    merchant_id: str
    mode: Mode
    type: TransactionType
    amount_minor: int
    currency: str
    status: TransactionStatus
    processor: str
    created_at: datetime
    updated_at: datetime
    processor_transaction_id: str | None = None
    error_code: str | None = None
    error_message: str | None = None


def transactions(order: Order) -> list[Transaction]:
    """Return the movements of an order, newest first; strays and their refunds are not shown."""
    return sorted(movements(order), key=lambda t: t.created_at, reverse=True)


def movements(order: Order) -> list[Transaction]:
    """Return the movements of an order by kind, each kind in the order of its parts."""
    found = [_authorization(order, attempt) for attempt in order.attempts]
    found.extend(_moved(order, "capture", capture) for capture in order.captures)
    asked = (refund for refund in order.refunds if refund.kind == "merchant")
    found.extend(_moved(order, "refund", refund) for refund in asked)
    found.extend(_voids(order))
    found.extend(_dispute(order, dispute) for dispute in order.disputes)
    return found


def _of(order: Order, kind: TransactionType, **fields: Any) -> Transaction:
    fields.setdefault("currency", order.amount.currency)
    return Transaction(
        order_id=order.id, merchant_id=order.merchant_id, mode=order.mode, type=kind, **fields
    )


def _authorization(order: Order, attempt: Attempt) -> Transaction:
    """An attempt that was authorized once stays a success, whatever became of the hold."""
    failed = attempt.status in {"declined", "fenced"}
    failure = attempt.failure
    status = "success" if attempt.authorized else "failed" if failed else "pending"
    return _of(
        order,
        "authorization",
        id=attempt.id,
        amount_minor=(attempt.authorized or order.amount).minor,
        status=status,
        processor=attempt.processor,
        processor_transaction_id=attempt.payment_id,
        error_code=failure.code if failure else attempt.proof if status == "failed" else None,
        error_message=failure.message if failure else None,
        created_at=attempt.created_at,
        updated_at=attempt.updated_at,
    )


_STATUS: Final[Mapping[str, TransactionStatus]] = {
    "pending": "pending",
    "unknown": "pending",
    "succeeded": "success",
    "failed": "failed",
}


def _moved(order: Order, kind: TransactionType, part: Capture | Refund) -> Transaction:
    return _of(
        order,
        kind,
        id=part.id,
        amount_minor=part.amount.minor,
        currency=part.amount.currency,
        status=_STATUS[part.status],
        processor=part.processor,
        processor_transaction_id=part.processor_id,
        error_code=part.error_code,
        error_message=part.error_message,
        created_at=part.created_at,
        updated_at=part.updated_at,
    )


def _voids(order: Order) -> list[Transaction]:
    """Return one movement per release of held money, numbered where an attempt has several."""
    found: list[Transaction] = []
    for release in (*order.releases, *_left(order)):
        if release.amount.minor == 0:
            continue
        stem = "void_" + release.attempt_id.removeprefix("att_")
        number = 1 + sum(1 for earlier in found if earlier.id.split(".")[0] == stem)
        attempt = order.attempt(release.attempt_id)
        void = _of(
            order,
            "void",
            id=stem if number == 1 else f"{stem}.{number}",
            amount_minor=release.amount.minor,
            status="success",
            processor=release.processor,
            processor_transaction_id=attempt.payment_id if attempt else None,
            created_at=release.created_at,
            updated_at=release.created_at,
        )
        found.append(void)
    return found


def _left(order: Order) -> Iterator[Release]:
    """Give what final captures left of a hold: it went back with them, nobody asked for a void."""
    for attempt in order.attempts:
        captures = [
            part
            for part in order.captures
            if part.attempt_id == attempt.id and part.status == "succeeded"
        ]
        if attempt.authorized is None or not captures:
            continue
        gone = sum(r.amount.minor for r in order.releases if r.attempt_id == attempt.id)
        taken = sum(part.amount.minor for part in captures)
        held = attempt.held.minor if attempt.held else 0
        left = attempt.authorized.minor - taken - gone - held
        if left > 0:
            yield Release(
                attempt_id=attempt.id,
                processor=attempt.processor,
                amount=Money(left, attempt.authorized.currency),
                created_at=captures[-1].updated_at,
                cause="voided",
            )


def _dispute(order: Order, dispute: Dispute) -> Transaction:
    """A dispute succeeds when the cardholder's bank gets the money."""
    outcome: dict[str, TransactionStatus] = {"open": "pending", "lost": "success"}
    return _of(
        order,
        "dispute",
        id=dispute.id,
        amount_minor=dispute.amount.minor,
        currency=dispute.amount.currency,
        status=outcome.get(dispute.status, "failed"),
        processor=dispute.processor,
        processor_transaction_id=dispute.processor_id,
        created_at=dispute.created_at,
        updated_at=dispute.updated_at,
    )
