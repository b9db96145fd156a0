"""What can be asked of an order, and what can be reported to it. Ids come in with the command.

Commands of merchants and operators may be refused. Reports of facts (`Record…`) never are: a fact
that adds nothing gives no events, one that cannot be ours becomes a stray or a discrepancy.
"""

from datetime import datetime
from typing import Literal, TypeAlias

import msgspec

from domain.events import CaptureMethod, ChallengeKind, FeeOf, Operation, Proof
from domain.metadata import Sealed
from domain.money import Money
from domain.routing import Decision, Failover, RetryClass


class Command(msgspec.Struct, frozen=True, kw_only=True):
    """Base of all commands."""


class CreateOrder(Command, frozen=True, kw_only=True):
    """Accept an order."""

    amount: Money
    capture_method: CaptureMethod = "automatic"
    external_id: str | None = None
    checkout_session_id: str | None = None
    expires_at: datetime | None = None
    personal: Sealed | None = None


class Pay(Command, frozen=True, kw_only=True):
    """Try one processor, as routing decided, at this account, with this version of its credentials.

    `hosted`: the customer pays on our own page.
    """

    attempt_id: str
    decision: Decision
    account: str
    credential_version: int
    token: str | None = None
    return_url: str | None = None
    return_to: Sealed | None = None
    challenge_timeout_s: int = 900
    hosted: bool = False


class FailOver(Command, frozen=True, kw_only=True):
    """Go on after a closed attempt: to the processor that routing chose, or to the end."""

    attempt_id: str
    decision: Decision | None
    account: str = ""
    credential_version: int = 0
    token: str | None = None
    return_url: str | None = None
    return_to: Sealed | None = None
    challenge_timeout_s: int = 900


class RequestCapture(Command, frozen=True, kw_only=True):
    """Take held money; `amount_minor` None is all that is held.

    `partial` and `several` say what the attempt's processor can do.
    """

    capture_id: str
    amount_minor: int | None = None
    final: bool = True
    partial: bool = True
    several: bool = False


class Cancel(Command, frozen=True, kw_only=True):
    """End the order without money. `can_void` says what the attempt's processor can do."""

    reason: Sealed | None = None
    can_void: bool = True


class RequestRefund(Command, frozen=True, kw_only=True):
    """Send captured money back; `amount_minor` None is all that is left."""

    refund_id: str
    amount_minor: int | None = None
    reason: Sealed | None = None


class RefundStray(Command, frozen=True, kw_only=True):
    """Send stray money back once more, after its refund was refused or came back."""

    payment_id: str
    refund_id: str


class WarnExpiring(Command, frozen=True, kw_only=True):
    """Tell the merchant that a hold lapses soon."""

    attempt_id: str


class ExpireSession(Command, frozen=True, kw_only=True):
    """End an order that nobody paid in time: before its session ended, or after a no."""


class ResolveDiscrepancy(Command, frozen=True, kw_only=True):
    """An operator settled a discrepancy."""

    subject: str
    how: Literal["accepted_ours", "written_off"]
    capture_id: str
    evidence: Sealed | None = None


class RecordReference(Command, frozen=True, kw_only=True):
    """The processor's object exists."""

    attempt_id: str
    reference: str


class RecordChallenge(Command, frozen=True, kw_only=True):
    """The customer has to act."""

    attempt_id: str
    kind: ChallengeKind
    deadline: datetime


class RecordAuthorized(Command, frozen=True, kw_only=True):
    """The processor holds money. `capture_id` is used where capture is automatic."""

    attempt_id: str
    payment_id: str
    amount_minor: int
    currency: str
    capture_id: str
    capture_before: datetime | None = None


class RecordDeclined(Command, frozen=True, kw_only=True):
    """The processor said a definite no to an authorization."""

    attempt_id: str
    code: str
    retry_class: RetryClass
    closed: bool
    failover: Failover
    processor_code: str | None = None
    message: str | None = None


class RecordUnknown(Command, frozen=True, kw_only=True):
    """Tries are used up and the outcome is still not known. `subject` as in the due row."""

    attempt_id: str
    operation: Operation
    subject: str
    cause: str


class RecordFenced(Command, frozen=True, kw_only=True):
    """It is proven that the attempt can take no money.

    `code` says why, where that ends the order: for example `authentication_timeout`; `evidence` is
    an operator's.
    """

    attempt_id: str
    proof: Proof
    code: str = "processor_unavailable"
    failover: Failover = Failover()
    evidence: Sealed | None = None


class RecordCaptured(Command, frozen=True, kw_only=True):
    """The processor took money; `capture_id` None where we did not ask for it.

    `new_id` names such a capture, `refund_id` the refund of a stray one. `fee_expected`: its fee
    can be looked up.
    """

    attempt_id: str
    capture_id: str | None
    payment_id: str
    processor_id: str
    amount_minor: int
    currency: str
    new_id: str
    refund_id: str
    remaining_expires_at: datetime | None = None
    capture_before: datetime | None = None
    fee_expected: bool = False


class RecordCaptureFailed(Command, frozen=True, kw_only=True):
    """The processor said a definite no to a capture."""

    capture_id: str
    code: str
    hold: Literal["held", "expired"] = "held"
    message: str | None = None


class RecordVoided(Command, frozen=True, kw_only=True):
    """The processor gave a hold back; `payment_id` tells a stray hold from the attempt's own."""

    attempt_id: str
    payment_id: str | None = None


class RecordVoidFailed(Command, frozen=True, kw_only=True):
    """The processor said a definite no to a void."""

    attempt_id: str
    code: str
    message: str | None = None


class RecordExpired(Command, frozen=True, kw_only=True):
    """A hold lapsed at the processor; `payment_id` as in `RecordVoided`."""

    attempt_id: str
    payment_id: str | None = None


class RecordRefunded(Command, frozen=True, kw_only=True):
    """The processor sent money back; `refund_id` None where we did not ask for it.

    `payment_id` tells the refund of a stray payment from a refund of ours.
    """

    attempt_id: str
    refund_id: str | None
    processor_id: str
    amount_minor: int
    currency: str
    new_id: str
    payment_id: str | None = None


class RecordRefundFailed(Command, frozen=True, kw_only=True):
    """A refund was refused, or one that had succeeded came back."""

    refund_id: str
    code: str
    message: str | None = None


class RecordDispute(Command, frozen=True, kw_only=True):
    """What a dispute looks like at the processor now; amounts are totals in minor units.

    `withdrawn_minor` is what it holds, `reinstated_minor` what it held and gave back.
    """

    dispute_id: str
    attempt_id: str
    processor_id: str
    amount_minor: int
    withdrawn_minor: int
    reason: str
    outcome: Literal["open", "won", "lost", "withdrawn"] = "open"
    reinstated_minor: int = 0


class RecordFee(Command, frozen=True, kw_only=True):
    """The processor's fee became known, in the currency that it settles in.

    Attributes:
        subject: our capture, refund or dispute, or a stray payment.
        reference: the processor's, where ours is not known; what is not in the order has no fee.
        reversal: it came with money that came back: a refund that failed, a dispute won.
    """

    attempt_id: str
    of: FeeOf
    amount: Money
    subject: str | None = None
    reference: str | None = None
    reversal: bool = False


OrderCommand: TypeAlias = (
    CreateOrder
    | Pay
    | FailOver
    | RequestCapture
    | Cancel
    | RequestRefund
    | RefundStray
    | WarnExpiring
    | ExpireSession
    | ResolveDiscrepancy
    | RecordReference
    | RecordChallenge
    | RecordAuthorized
    | RecordDeclined
    | RecordUnknown
    | RecordFenced
    | RecordCaptured
    | RecordCaptureFailed
    | RecordVoided
    | RecordVoidFailed
    | RecordExpired
    | RecordRefunded
    | RecordRefundFailed
    | RecordDispute
    | RecordFee
)
