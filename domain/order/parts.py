"""The parts of an order: attempts, captures, refunds, disputes, and what went astray."""

from datetime import datetime
from typing import Literal

import msgspec

from domain.events import ChallengeKind, Next, Operation, Proof, RefundKind, Remainder
from domain.metadata import Sealed
from domain.money import Money
from domain.routing import Decision, RetryClass

AttemptStatus = Literal[
    "in_flight", "challenged", "authorized", "declined", "unknown", "captured", "fenced", "voided",
    "expired",
]  # fmt: skip


class State(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Base of an order's state and its parts."""


class Failure(State, frozen=True, kw_only=True):
    """Why an attempt or an order came to nothing."""

    code: str
    retry_class: RetryClass
    message: str
    processor_code: str | None = None


class Attempt(State, frozen=True, kw_only=True):
    """One try at one processor.

    Attributes:
        reference: the processor's object that moves no money by itself, once it exists.
        payment_id: the processor's payment, once money is held.
        held: what is authorized and neither captured nor released.
        closed: a declined attempt that can take no money any more.
        next: what a decline leads to once the attempt is closed.
        hosted: the customer pays on our own page.
        doubt: the operation whose outcome is unknown.
        void_key: set while a void is asked for and unanswered.
        expiring_warned: the merchant was told that the hold lapses soon.
        mismatched: the processor once said another amount than ours; it is closed, not continued.
        correlation_id: of the request that routed it; sent to the processor with every call.
    """

    id: str
    number: int
    processor: str
    account: str
    credential_version: int
    idempotency_key: str
    token: str | None
    return_url: str | None
    challenge_timeout_s: int
    correlation_id: str
    status: AttemptStatus
    decision: Decision
    created_at: datetime
    updated_at: datetime
    reference: str | None = None
    payment_id: str | None = None
    authorized: Money | None = None
    held: Money | None = None
    return_to: Sealed | None = None
    capture_before: datetime | None = None
    challenge: ChallengeKind | None = None
    deadline: datetime | None = None
    failure: Failure | None = None
    closed: bool = False
    next: Next = "end"
    hosted: bool = False
    proof: Proof | None = None
    doubt: Operation | None = None
    void_key: str | None = None
    void_failed: bool = False
    expiring_warned: bool = False
    mismatched: bool = False

    @property
    def can_take_money(self) -> bool:
        """Whether this attempt may still end up holding or taking money."""
        match self.status:
            case "in_flight" | "challenged" | "authorized" | "unknown":
                return True
            case "declined":
                return not self.closed
            case "captured" | "fenced" | "voided" | "expired":
                return False


class Capture(State, frozen=True, kw_only=True):
    """One capture of an attempt's hold; `fee_expected`: its fee can be looked up."""

    id: str
    attempt_id: str
    processor: str
    amount: Money
    remainder: Remainder
    idempotency_key: str
    status: Literal["pending", "unknown", "succeeded", "failed"]
    created_at: datetime
    updated_at: datetime
    processor_id: str | None = None
    error_code: str | None = None
    error_message: str | None = None
    fee_expected: bool = False


class Refund(State, frozen=True, kw_only=True):
    """One refund; one that had succeeded and came back is `failed`, with the code of its return."""

    id: str
    attempt_id: str
    processor: str
    payment_id: str
    amount: Money
    kind: RefundKind
    idempotency_key: str
    status: Literal["pending", "unknown", "succeeded", "failed"]
    created_at: datetime
    updated_at: datetime
    reason: Sealed | None = None
    processor_id: str | None = None
    error_code: str | None = None
    error_message: str | None = None


class Dispute(State, frozen=True, kw_only=True):
    """One dispute; `withdrawn` is what the processor holds of it now.

    `reinstated_minor` is what it held and gave back.
    """

    id: str
    attempt_id: str
    processor: str
    processor_id: str
    amount: Money
    withdrawn: Money
    status: Literal["open", "won", "lost", "withdrawn"]
    created_at: datetime
    updated_at: datetime
    reinstated_minor: int = 0


class Stray(State, frozen=True, kw_only=True):
    """Money that was held or taken against our will; `open` until it is given back."""

    attempt_id: str
    processor: str
    payment_id: str
    state: Literal["held", "captured"]
    amount: Money
    open: bool = True


class Discrepancy(State, frozen=True, kw_only=True):
    """Figures of the processor that are not ours; once settled, saying them again adds nothing."""

    subject: str
    theirs_minor: int
    theirs_currency: str
    open: bool = True


class Release(State, frozen=True, kw_only=True):
    """A hold given back without capture, as the merchant sees it."""

    attempt_id: str
    processor: str
    amount: Money
    created_at: datetime
    cause: Literal["voided", "expired"]
