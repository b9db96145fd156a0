"""What a step comes to once the credentials that its attempt was routed with are destroyed."""

from datetime import datetime
from typing import Final

from commands.sagas.act import DAY_S, Act, Facts, Later, Result
from domain.events import Operation
from domain.order import commands as c
from domain.order.rules import CREDENTIALS_DESTROYED
from domain.routing import Failover

_ALONE: Final = frozenset(
    {"withhold", "fail_over", "warn_expiring", "expire_session", "refund_stray"}
)
"""Steps that ask no processor."""
_ABOUT: Final[dict[str, Operation]] = {
    "authorize": "authorize",
    "lookup_authorize": "authorize",
    "challenge": "authorize",
    "fence": "authorize",
    "void": "void",
    "lookup_void": "void",
    "capture": "capture",
    "lookup_capture": "capture",
    "refund": "refund",
    "lookup_refund": "refund",
}
"""What is in doubt when a step cannot be done."""


def blocked(act: Act) -> bool:
    """Whether the step has to ask a processor for which there are no credentials any more."""
    if act.processor is None or act.attempt is None or act.row.operation in _ALONE:
        return False
    if act.row.operation == "fence" and act.attempt.reference is None:
        return False
    given = act.credentials.values
    return any(field.required and not given.get(field.name) for field in act.processor.fields)


def without_credentials(act: Act, failover: Failover, now: datetime) -> Result:
    """Close what was never sent; write down a doubt about the rest, which a person settles.

    A customer who is at the processor has until the deadline.
    """
    attempt = act.attempt
    assert attempt is not None, "only an attempt needs credentials"
    if act.row.operation == "authorize" and attempt.reference is None:
        # Without the processor's object no money can have moved, however often it was tried.
        fenced = c.RecordFenced(attempt_id=attempt.id, proof="not_sent", failover=failover)
        return Facts((fenced,))
    if act.row.operation == "challenge" and attempt.deadline is not None:
        left_s = (attempt.deadline - now).total_seconds()
        if left_s > 0:
            return Later(left_s)
    operation = _ABOUT.get(act.row.operation)
    known = act.row.subject in act.order.unasked
    if operation is None or known or attempt.status == "declined":
        return Later(DAY_S)
    unknown = c.RecordUnknown(
        attempt_id=attempt.id,
        operation=operation,
        subject=act.row.subject,
        cause=CREDENTIALS_DESTROYED,
    )
    return Facts((unknown,))
