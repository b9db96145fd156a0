"""The bank's objects as it stores them, and the answers that it gives."""

from typing import Literal

import msgspec

Status = Literal[
    "open", "challenged", "processing", "declined", "authorized", "captured", "cancelled", "expired"
]
Result = Literal["ok", "pending", "challenged", "refused", "key_reused", "no_such_payment"]


class Payment(msgspec.Struct, frozen=True, kw_only=True):
    """One payment: at most one hold, any number of captures out of it.

    Attributes:
        order_id: the merchant's order, as sent; None is a payment that nobody can place.
        amount: what was asked, in minor units.
        status: `captured` from the first capture on, also while the rest is still held;
            `declined` may be confirmed again until it is cancelled.
        authorized: what was held in all; `held` is what is held now.
        looks: how often a pending authorization was looked at.
        challenge_approved: None until the customer decided.
        cancelled_us: when it was closed or the rest of its hold released on request.
        lapsed_us: when its hold ran out.
    """

    reference: str
    order_id: str | None
    attempt_id: str
    merchant: str
    mode: str
    amount: int
    currency: str
    token: str
    hold_us: int
    status: Status
    authorized: int = 0
    held: int = 0
    looks: int = 0
    challenge_approved: bool | None = None
    decline_code: str | None = None
    authorized_us: int | None = None
    capture_before_us: int | None = None
    cancelled_us: int | None = None
    lapsed_us: int | None = None
    changed_us: int


class Capture(msgspec.Struct, frozen=True, kw_only=True):
    """Money taken out of a hold. `subject` is the merchant's id, None if made in the dashboard."""

    id: str
    reference: str
    subject: str | None
    amount: int
    at_us: int


class Refund(msgspec.Struct, frozen=True, kw_only=True):
    """Money sent back. `subject` is the merchant's id, None if made in the dashboard."""

    id: str
    reference: str
    subject: str | None
    amount: int
    status: Literal["pending", "succeeded", "failed"]
    code: str | None = None
    looks: int = 0
    at_us: int


class Answer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the bank says to a request; stored under the request's key.

    Attributes:
        result: `key_reused` is the refusal of a known key with other parameters.
        reference: the payment.
        object_id: the capture or refund that was made; else the payment.
        token: the payment's, which decides what happens to the answer on its way.
        amount: what this request held, took, released or sent back, in minor units.
        code: why it was refused.
        hold_gone: refused because there is no hold any more.
    """

    result: Result
    at_us: int
    reference: str | None = None
    object_id: str | None = None
    token: str = ""
    amount: int = 0
    currency: str = ""
    capture_before_us: int | None = None
    code: str | None = None
    hold_gone: bool = False


class View(msgspec.Struct, frozen=True, kw_only=True):
    """A payment with all that was taken and sent back."""

    payment: Payment
    captures: tuple[Capture, ...] = ()
    refunds: tuple[Refund, ...] = ()

    @property
    def captured(self) -> int:
        """What was taken in all."""
        return sum(capture.amount for capture in self.captures)

    @property
    def refundable(self) -> int:
        """What was taken and neither sent back nor is about to be."""
        back = sum(refund.amount for refund in self.refunds if refund.status != "failed")
        return self.captured - back
