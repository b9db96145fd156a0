"""Counts what payments come to, as this process commits it; labels hold no ids."""

from typing import Final

from prometheus_client import Counter, Histogram

from domain import events as e
from domain.order.state import Order

_STATUS: Final[dict[type, str]] = {
    e.OrderChallenged: "challenged",
    e.OrderAuthorized: "authorized",
    e.OrderDeclined: "declined",
    e.OutcomeUnknown: "unknown",
    e.AttemptFenced: "fenced",
    e.OrderCaptured: "captured",
}

attempts_total = Counter(
    "payment_attempts_total", "What attempts came to", ["processor", "status", "currency"]
)
amount_total = Counter(
    "payment_amount_total", "Captured money, minor units", ["processor", "currency"]
)
latency = Histogram(
    "payment_latency_seconds", "From routing an attempt to this", ["processor", "status"]
)


def count(order: Order, events: tuple[e.OrderEvent, ...]) -> None:
    """Count events of an order, which is as they left it."""
    for event in events:
        status = _STATUS.get(type(event))
        attempt = order.attempt(getattr(event, "attempt_id", "")) if status else None
        if status is None or attempt is None:
            continue
        attempts_total.labels(attempt.processor, status, order.amount.currency).inc()
        seconds = (order.updated_at - attempt.created_at).total_seconds()
        latency.labels(attempt.processor, status).observe(max(0.0, seconds))
        if isinstance(event, e.OrderCaptured):
            amount_total.labels(attempt.processor, event.amount.currency).inc(event.amount.minor)
