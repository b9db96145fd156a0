"""What an order waits for: a pure function of its state, from which the due rows are derived."""

from datetime import datetime, timedelta
from typing import Final, Literal

from domain import events as e
from domain.order.parts import Attempt, State, Stray
from domain.order.rules import STRAY_REFUNDS_MAX, goes_on
from domain.order.state import Order

StepKind = Literal[
    "authorize", "lookup_authorize", "challenge", "fence", "withhold", "fail_over", "void",
    "lookup_void", "void_stray", "refund_stray", "warn_expiring", "expire", "watch_hold", "capture",
    "lookup_capture", "refund", "lookup_refund", "lookup_fee", "expire_session",
]  # fmt: skip

FIRST_LOOKUP: Final = timedelta(seconds=5)
FEE_LOOKUP: Final = timedelta(minutes=1)
EXPIRY_WARNING: Final = timedelta(hours=24)
HOLD_WATCH: Final = timedelta(days=1)
STRAY_REFUND_AGAIN: Final = timedelta(days=1)

_LOOKS: Final = frozenset(
    {
        "lookup_authorize",
        "lookup_void",
        "lookup_capture",
        "lookup_refund",
        "lookup_fee",
        "expire",
        "watch_hold",
    }
)
"""Steps that only read, and so go on while the processor's figures are in question."""

OPENS: Final = (
    e.OrderRouted, e.OrderDeclined, e.AttemptFenced, e.OutcomeUnknown, e.CaptureRequested,
    e.VoidRequested, e.RefundRequested, e.CancelRequested, e.StrayPaymentFound,
    e.DiscrepancyResolved,
)  # fmt: skip
"""Of the events of any decision that leaves something to be done at once, one is of these types."""


class Step(State, frozen=True, kw_only=True):
    """One thing that has to be done for an order.

    Attributes:
        subject: the attempt, capture, refund, stray payment or order that it is about; an order
            has one step per subject at a time.
        operation: what to do.
        at: when, by the log's clock; None is at once.
    """

    subject: str
    operation: StepKind
    at: datetime | None = None


def next_step(order: Order, now: datetime) -> Step | None:
    """Return the first step that is due, None when there is nothing to do yet."""
    return next((s for s in steps(order) if s.at is None or s.at <= now), None)


def steps(order: Order) -> tuple[Step, ...]:
    """Return all that the order waits for, at most one step per subject."""
    found = [*_of_session(order), *_of_live(order), *_of_money(order)]
    assert len({step.subject for step in found}) == len(found), "one step per subject"
    return tuple(
        step for step in found if step.subject not in order.quarantine or step.operation in _LOOKS
    )


def _of_session(order: Order) -> list[Step]:
    at = order.expires_at if order.status == "pending" else order.customer_deadline
    if at is None or order.ended:
        return []
    return [Step(subject=order.id, operation="expire_session", at=at)]


def _of_live(order: Order) -> list[Step]:  # noqa: C901 - one case per status
    """Return the step of the newest attempt, while the order is open."""
    live = order.live
    if live is None or order.ended:
        return []
    match live.status:
        case "in_flight" | "unknown" | "challenged" if order.cancel_requested or live.mismatched:
            return [Step(subject=live.id, operation="fence")]
        case "in_flight":
            return [Step(subject=live.id, operation="authorize")]
        case "unknown" if live.reference is None:
            # No authorization was sent yet, and there is nothing to look up.
            return [Step(subject=live.id, operation="fence")]
        case "unknown":
            at = live.updated_at + FIRST_LOOKUP
            return [Step(subject=live.id, operation="lookup_authorize", at=at)]
        case "challenged":
            return [Step(subject=live.id, operation="challenge", at=live.deadline)]
        case "authorized" | "captured":
            return _of_hold(order, live)
        case "declined" | "fenced":
            if live.can_take_money:
                return [Step(subject=live.id, operation="fence")]
            return [Step(subject=live.id, operation="fail_over")] if goes_on(order) else []
        case "voided" | "expired":
            return []


def _of_hold(order: Order, live: Attempt) -> list[Step]:
    """Return what is due for held money: give it back, warn, or see it lapse."""
    if order.pending_capture is not None or live.held is None or live.held.minor == 0:
        return []
    if live.void_key is not None:
        if live.doubt == "void":
            at = live.updated_at + FIRST_LOOKUP
            return [Step(subject=live.id, operation="lookup_void", at=at)]
        return [Step(subject=live.id, operation="void")]
    if order.cancel_requested:
        return [Step(subject=live.id, operation="withhold")]
    if live.capture_before is None:
        return []
    if live.status == "authorized" and not live.expiring_warned:
        at = live.capture_before - EXPIRY_WARNING
        return [Step(subject=live.id, operation="warn_expiring", at=at)]
    return [Step(subject=live.id, operation="expire", at=live.capture_before)]


def _of_money(order: Order) -> list[Step]:
    """Return the steps of captures, refunds, strays and holds that are only watched."""
    found: list[Step] = []
    for capture in order.captures:
        if capture.status == "pending":
            found.append(Step(subject=capture.id, operation="capture"))
        elif capture.status == "unknown":
            at = capture.updated_at + FIRST_LOOKUP
            found.append(Step(subject=capture.id, operation="lookup_capture", at=at))
        elif capture.fee_expected and capture.status == "succeeded" and (
            ("capture", capture.id) not in order.fees
        ):  # fmt: skip
            at = capture.updated_at + FEE_LOOKUP
            found.append(Step(subject=capture.id, operation="lookup_fee", at=at))
    for refund in order.refunds:
        if refund.status == "pending":
            found.append(Step(subject=refund.id, operation="refund"))
        elif refund.status == "unknown":
            at = refund.updated_at + FIRST_LOOKUP
            found.append(Step(subject=refund.id, operation="lookup_refund", at=at))
    for stray in order.strays:
        found.extend(_of_stray(order, stray))
    found.extend(
        Step(
            subject=attempt.id,
            operation="watch_hold",
            at=attempt.capture_before or attempt.updated_at + HOLD_WATCH,
        )
        for attempt in order.attempts
        if attempt.proof == "capture_withheld" and attempt.held and attempt.held.minor
    )
    return found


def _of_stray(order: Order, stray: Stray) -> list[Step]:
    """Return how stray money goes back; after too many refused refunds a person has to look."""
    if not stray.open:
        return []
    if stray.state == "held":
        return [Step(subject=stray.payment_id, operation="void_stray")]
    refunds = order.stray_refunds(stray)
    if len(refunds) >= STRAY_REFUNDS_MAX or any(
        r.status in {"pending", "unknown"} for r in refunds
    ):
        return []
    at = refunds[-1].updated_at + STRAY_REFUND_AGAIN if refunds else None
    return [Step(subject=stray.payment_id, operation="refund_stray", at=at)]
