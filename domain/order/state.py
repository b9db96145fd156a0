"""What is known of an order, and what follows from it: amounts, and the public status."""

from datetime import datetime, timedelta
from typing import Final, Literal

from domain.events import CaptureMethod
from domain.metadata import Mode, Sealed
from domain.money import Money
from domain.order.parts import (
    Attempt,
    Capture,
    Discrepancy,
    Dispute,
    Failure,
    Refund,
    Release,
    State,
    Stray,
)

OrderStatus = Literal[
    "pending", "processing", "requires_action", "authorized", "captured", "partially_refunded",
    "refunded", "failed", "cancelled", "expired",
]  # fmt: skip
End = Literal["failed", "cancelled", "expired"]
_COLLECTING: Final = ("collect_payment_method", "razorpay_checkout")


class Order(State, frozen=True, kw_only=True):
    """The state of one order at one version of its stream.

    Attributes:
        cancel_requested: set by a cancel while an attempt was open; nothing captures after it.
        ended: an end without money; proven, so nothing can follow but strays.
        fees: what a fee is known of already: kind and subject.
        unasked: subjects in doubt whose processor cannot be asked: the credentials are destroyed.
    """

    id: str
    merchant_id: str
    mode: Mode
    version: int
    amount: Money
    capture_method: CaptureMethod
    external_id: str | None
    checkout_session_id: str | None
    expires_at: datetime | None
    personal: Sealed | None
    created_at: datetime
    updated_at: datetime
    attempts: tuple[Attempt, ...] = ()
    captures: tuple[Capture, ...] = ()
    refunds: tuple[Refund, ...] = ()
    disputes: tuple[Dispute, ...] = ()
    strays: tuple[Stray, ...] = ()
    releases: tuple[Release, ...] = ()
    cancel_requested: bool = False
    cancel_reason: Sealed | None = None
    ended: End | None = None
    failure: Failure | None = None
    discrepancies: tuple[Discrepancy, ...] = ()
    fees: tuple[tuple[str, str], ...] = ()
    unasked: tuple[str, ...] = ()

    @property
    def quarantine(self) -> tuple[str, ...]:
        """Subjects of open discrepancies."""
        return tuple(d.subject for d in self.discrepancies if d.open)

    @property
    def live(self) -> Attempt | None:
        """The newest attempt, which is the only one that may be live."""
        return self.attempts[-1] if self.attempts else None

    @property
    def amount_authorized(self) -> int:
        """Minor units that the newest attempt's authorization was for."""
        live = self.live
        return live.authorized.minor if live and live.authorized else 0

    @property
    def amount_captured(self) -> int:
        """Minor units captured."""
        return sum(c.amount.minor for c in self.captures if c.status == "succeeded")

    @property
    def amount_refunded(self) -> int:
        """Minor units of the merchant's refunds that succeeded and did not come back."""
        return self._refunds("succeeded")

    def _refunds(self, *statuses: str) -> int:
        return sum(
            r.amount.minor for r in self.refunds if r.kind == "merchant" and r.status in statuses
        )

    @property
    def refundable(self) -> int:
        """Minor units that may still be refunded: captured - refunded - pending - withdrawn."""
        withdrawn = sum(d.withdrawn.minor for d in self.disputes)
        pending = self._refunds("pending", "unknown")
        return self.amount_captured - self.amount_refunded - pending - withdrawn

    @property
    def pending_capture(self) -> Capture | None:
        """The capture whose outcome is awaited; one at a time."""
        return next((c for c in self.captures if c.status in {"pending", "unknown"}), None)

    @property
    def awaits_customer(self) -> bool:
        """Whether the last attempt is closed without money, and the customer may try again."""
        live = self.live
        return (
            live is not None
            and live.status in {"declined", "fenced"}
            and live.closed
            and live.next == "customer"
            and not self.ended
        )

    @property
    def customer_deadline(self) -> datetime | None:
        """Until when a customer who may try again has time, None for any other order."""
        live = self.live
        if live is None or not self.awaits_customer:
            return None
        return self.expires_at or live.updated_at + timedelta(seconds=live.challenge_timeout_s)

    @property
    def page_open(self) -> bool:
        """Whether the customer is on our hosted page, or was sent there."""
        live = self.live
        collects = live is not None and live.challenge in _COLLECTING
        return (
            collects
            or self.checkout_session_id is not None
            or any(a.hosted or a.next == "customer" for a in self.attempts)
        )

    @property
    def round(self) -> tuple[Attempt, ...]:
        """The attempts since the customer last paid: the first, and those by failover."""
        ends = [n for n, a in enumerate(self.attempts[:-1], 1) if a.next == "customer"]
        return self.attempts[max(ends, default=0) :]

    @property
    def status(self) -> OrderStatus:
        """The public status: a function of amounts and attempts."""
        if self.ended:
            return self.ended
        captured, refunded = self.amount_captured, self.amount_refunded
        if captured:
            if refunded == 0:
                return "captured"
            return "refunded" if refunded >= captured else "partially_refunded"
        live = self.live
        if live is None:
            return "pending"
        if live.status == "authorized":
            return "authorized"
        if live.status == "challenged" or self.awaits_customer:
            return "requires_action"
        return "processing"

    def attempt(self, attempt_id: str) -> Attempt | None:
        """Return the attempt with that id."""
        return next((a for a in self.attempts if a.id == attempt_id), None)

    def capture(self, capture_id: str) -> Capture | None:
        """Return the capture with that id."""
        return next((c for c in self.captures if c.id == capture_id), None)

    def refund(self, refund_id: str) -> Refund | None:
        """Return the refund with that id."""
        return next((r for r in self.refunds if r.id == refund_id), None)

    def dispute(self, dispute_id: str) -> Dispute | None:
        """Return the dispute with that id."""
        return next((d for d in self.disputes if d.id == dispute_id), None)

    def stray(self, payment_id: str | None) -> Stray | None:
        """Return the stray with that payment."""
        return next((s for s in self.strays if s.payment_id == payment_id), None)

    def stray_refunds(self, stray: Stray) -> tuple[Refund, ...]:
        """Return the refunds of one stray payment, oldest first."""
        return tuple(
            r for r in self.refunds if r.kind == "stray" and r.payment_id == stray.payment_id
        )

    def owed(self, stray: Stray) -> Money:
        """Return what has not gone back yet of a stray capture."""
        back = [r.amount.minor for r in self.stray_refunds(stray) if r.status == "succeeded"]
        return Money(max(stray.amount.minor - sum(back), 0), stray.amount.currency)
