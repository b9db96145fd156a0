"""What a step comes to once the credentials that its attempt was routed with are destroyed."""

from typing import Final

from commands.sagas.act import DAY_S, Act, Facts, Later, Result
from domain.events import Operation
from domain.order import commands as c
from domain.routing import Failover

CAUSE: Final = "credentials_destroyed"
"""What the log says of such a doubt, for the person who has to look."""

_ALONE: Final = frozenset(
    {"withhold", "fail_over", "warn_expiring", "expire_session", "refund_stray"}
)
"""Steps that ask no processor."""
_SENT: Final[dict[str, Operation]] = {
    "authorize": "authorize",
    "void": "void",
    "capture": "capture",
    "refund": "refund",
}


def blocked(act: Act) -> bool:
    """Whether the step has to ask a processor for which there are no credentials any more."""
    if act.processor is None or act.attempt is None or act.row.operation in _ALONE:
        return False
    if act.row.operation == "fence" and act.attempt.reference is None:
        return False
    given = act.credentials.values
    return any(field.required and not given.get(field.name) for field in act.processor.fields)


def without_credentials(act: Act, failover: Failover) -> Result:
    """Close what was never sent; write down a doubt about the rest, which a person settles."""
    assert act.attempt is not None, "only an attempt needs credentials"
    if act.row.operation == "authorize" and act.attempt.reference is None:
        # Without the processor's object no money can have moved, however often it was tried.
        fenced = c.RecordFenced(attempt_id=act.attempt.id, proof="not_sent", failover=failover)
        return Facts((fenced,))
    operation = _SENT.get(act.row.operation)
    if operation is None:
        return Later(DAY_S)
    unknown = c.RecordUnknown(
        attempt_id=act.attempt.id, operation=operation, subject=act.row.subject, cause=CAUSE
    )
    return Facts((unknown,))
