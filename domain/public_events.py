"""Which events of the log are told to merchants, under which type, and when a delivery is tried."""

from collections.abc import Callable, Mapping
from typing import Any, Final, Literal, TypeAlias

from domain import events as e

EventType: TypeAlias = Literal[
    "order.created", "order.processing", "order.requires_action", "order.cancelled",
    "order.expired", "payment.authorized", "payment.captured", "payment.failed",
    "payment.authorization_expiring", "payment.stray_found", "refund.pending", "refund.succeeded",
    "refund.failed", "dispute.opened", "dispute.funds_withdrawn", "dispute.funds_reinstated",
    "dispute.closed", "endpoint.disabled", "test.ping",
]  # fmt: skip

Teller: TypeAlias = Callable[[Any], EventType | None]


def _always(name: EventType) -> Teller:
    return lambda _: name


def _refund(name: EventType) -> Teller:
    """The refund of a stray payment is our own doing, and is not told."""
    return lambda event: name if event.kind == "merchant" else None


_TELLERS: Final[Mapping[type[Any], Teller]] = {
    e.OrderCreated: _always("order.created"),
    e.OrderRouted: lambda event: "order.processing" if event.number == 1 else None,
    e.OrderChallenged: _always("order.requires_action"),
    e.OrderAuthorized: _always("payment.authorized"),
    e.OrderCaptured: _always("payment.captured"),
    e.OrderFailed: _always("payment.failed"),
    e.OrderCancelled: _always("order.cancelled"),
    e.OrderExpired: _always("order.expired"),
    e.AuthorizationExpiring: _always("payment.authorization_expiring"),
    e.StrayPaymentFound: _always("payment.stray_found"),
    e.RefundRequested: _refund("refund.pending"),
    e.OrderRefunded: _refund("refund.succeeded"),
    e.RefundFailed: _always("refund.failed"),
    e.RefundReversed: _refund("refund.failed"),
    e.DisputeOpened: _always("dispute.opened"),
    e.DisputeFundsWithdrawn: _always("dispute.funds_withdrawn"),
    e.DisputeFundsReinstated: _always("dispute.funds_reinstated"),
    e.DisputeClosed: _always("dispute.closed"),
    e.EndpointChanged: lambda event: "endpoint.disabled" if event.status == "disabled" else None,
    e.EndpointTested: _always("test.ping"),
}


def public_type(event: e.AnyEvent) -> EventType | None:
    """Return the type under which merchants are told of an event, None where they are not.

    A `refund.failed` is only told where its refund is the merchant's, which the event does not
    say: its `refund.pending` was told then.
    """
    teller = _TELLERS.get(type(event))
    return teller(event) if teller else None


INTERVALS_S: Final = (
    0, 5, 5 * 60, 30 * 60, 2 * 3600, 5 * 3600, 10 * 3600, 14 * 3600, 20 * 3600, 24 * 3600,
)  # fmt: skip
"""How long after the one before each attempt is made; after the last one a delivery is dead."""

ATTEMPTS_MAX: Final = len(INTERVALS_S)
JITTER: Final = 0.2
RETRY_AFTER_MAX_S: Final = 24 * 3600.0


def next_attempt_s(
    attempts: int, *, jitter: float, retry_after_s: float | None = None
) -> float | None:
    """Return in how many seconds the next attempt is made, None when there is none.

    Args:
        attempts: how many were made and failed, 1 or more.
        jitter: evenly from 0 to 1.
        retry_after_s: what the receiver asked for; it makes it later, never sooner.
    """
    assert attempts >= 1, "the first attempt is made at once"
    if attempts >= ATTEMPTS_MAX:
        return None
    wait_s = INTERVALS_S[attempts] * (1 - JITTER + 2 * JITTER * jitter)
    return max(wait_s, min(retry_after_s or 0.0, RETRY_AFTER_MAX_S))
