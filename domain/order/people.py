"""What of an order waits for a person: a pure function of its state, its steps' tries and time."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Final, Literal, TypeAlias

from domain.order.parts import State
from domain.order.rules import STRAY_REFUNDS_MAX
from domain.order.state import Order
from domain.order.steps import steps

CaseKind: TypeAlias = Literal["discrepancy", "dispute", "stray", "outcome_unknown", "stuck"]

STUCK_TRIES: Final = 10
"""Tries of one call after which somebody should look why."""

_SENDS: Final = frozenset(
    {"authorize", "capture", "void", "refund", "fence", "void_stray", "fail_over"}
)


class Case(State, frozen=True, kw_only=True):
    """One thing that a person may have to do.

    Attributes:
        subject: the attempt, capture, refund, dispute or stray payment that it is about.
        since: when it began, by the log's clock.
        says: what there is to know, in a few words without personal data.
        urgent: nothing goes on by itself any more.
    """

    kind: CaseKind
    subject: str
    since: datetime
    says: str
    urgent: bool = True


def cases(
    order: Order, tries: Mapping[str, int], *, now: datetime, windows_s: Mapping[str, float]
) -> tuple[Case, ...]:
    """Return what waits for a person.

    Args:
        order: as it is.
        tries: of its due rows, by subject.
        now: the log's clock.
        windows_s: for how long each processor can be asked about a doubt.
    """
    found = [*_discrepancies(order), *_disputes(order), *_strays(order)]
    found += _doubts(order, now, windows_s)
    found += _stuck(order, tries)
    return tuple(sorted(found, key=lambda case: (not case.urgent, case.since, case.subject)))


def _discrepancies(order: Order) -> Iterator[Case]:
    for one in order.discrepancies:
        if one.open:
            theirs = f"{one.theirs_minor} {one.theirs_currency}"
            yield Case(
                kind="discrepancy",
                subject=one.subject,
                since=order.updated_at,
                says=f"the processor says {theirs} (minor units), the order is of {order.amount}",
            )


def _disputes(order: Order) -> Iterator[Case]:
    for one in order.disputes:
        if one.status == "open":
            taken = f", {one.withdrawn} withdrawn" if one.withdrawn.minor else ""
            yield Case(
                kind="dispute",
                subject=one.id,
                since=one.created_at,
                says=f"{one.amount} contested at {one.processor} as {one.processor_id}{taken}",
            )


def _strays(order: Order) -> Iterator[Case]:
    for one in order.strays:
        refunds = order.stray_refunds(one)
        if one.open and one.state == "captured" and len(refunds) >= STRAY_REFUNDS_MAX:
            owed = order.owed(one)
            yield Case(
                kind="stray",
                subject=one.payment_id,
                since=refunds[-1].updated_at,
                says=f"{owed} at {one.processor} did not go back in {len(refunds)} tries",
            )


def _doubts(order: Order, now: datetime, windows_s: Mapping[str, float]) -> Iterator[Case]:
    """Yield what may or may not have happened; after the processor's window a person has to say."""
    attempts = (
        (a.id, a.processor, a.doubt, a.updated_at) for a in order.attempts if a.doubt is not None
    )
    captures = (
        (x.id, x.processor, "capture", x.updated_at)
        for x in order.captures
        if x.status == "unknown"
    )
    refunds = (
        (x.id, x.processor, "refund", x.updated_at) for x in order.refunds if x.status == "unknown"
    )
    for subject, processor, operation, since in (*attempts, *captures, *refunds):
        over = (now - since).total_seconds() > windows_s.get(processor, 0)
        over = over or subject in order.unasked
        rest = "and cannot be looked up any more" if over else "and is being looked up"
        yield Case(
            kind="outcome_unknown",
            subject=subject,
            since=since,
            says=f"the {operation} at {processor} may or may not have happened {rest}",
            urgent=over,
        )


def _stuck(order: Order, tries: Mapping[str, int]) -> Iterator[Case]:
    for step in steps(order):
        tried = tries.get(step.subject, 0)
        if step.operation in _SENDS and tried >= STUCK_TRIES:
            yield Case(
                kind="stuck",
                subject=step.subject,
                since=order.updated_at,
                says=f"{step.operation} was tried {tried} times",
            )
