"""One due row being worked on: what is known, what may come of it, and when to look again."""

import random
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Final, TypeAlias

import msgspec

from commands.caller import Caller
from commands.ports import DueRow
from commands.processor import Credentials, Processor
from domain.order import commands as c
from domain.order.parts import Attempt
from domain.order.state import Order
from domain.order.steps import Step as WaitsFor
from domain.order.steps import steps

TRIES_MAX: Final = 5
"""Tries of one call before its outcome is called unknown in the log."""
PREPARE_TRIES_MAX: Final = 3
"""Tries to reach the only processor before the order fails, with proof that nothing was sent."""
OPEN_LOOKS_MAX: Final = 3
"""Lookups of a doubt that still find nothing done, before the attempt is closed instead."""
RETRY_CAP_S: Final = 60.0
PENDING_CAP_S: Final = 3_600.0
DOUBT_S: Final = (5.0, 15.0, 60.0, 300.0, 900.0, 3600.0)
"""Between lookups of an unknown outcome; then hourly for a day, then daily."""
HOURLY_TRIES: Final = 30
DAILY_TRIES: Final = HOURLY_TRIES + 24
"""Tries of anything after which it is tried once a day; a person knows of it by then."""
HOUR_S: Final = 3_600.0
DAY_S: Final = 86_400.0
CONFLICTS_MAX: Final = 1_000
"""An outcome is decided anew until it lands; more conflicts than this are a bug."""


class Later(msgspec.Struct, frozen=True):
    """Nothing to record; look again after so many seconds."""

    in_s: float


class Facts(msgspec.Struct, frozen=True):
    """What to record, and when it happened at the processor."""

    commands: tuple[c.OrderCommand, ...]
    at: datetime | None = None


Result: TypeAlias = Later | Facts


class Act(msgspec.Struct, kw_only=True):
    """One claimed row being worked on: the order as it was read, and what is needed to act."""

    row: DueRow
    order: Order
    caller: Caller
    attempt: Attempt | None = None
    processor: Processor | None = None
    credentials: Credentials = msgspec.field(default_factory=lambda: Credentials({}))

    @property
    def first_try(self) -> bool:
        """Whether nothing of this operation can have been sent before."""
        return self.row.tries == 1

    @property
    def retry(self) -> Later:
        """When to try the same call again: 1 s, 2 s, 4 s … with jitter, a day in the end."""
        cap = min(RETRY_CAP_S, 2.0 ** min(self.row.tries - 1, 20))
        if self.row.tries > HOURLY_TRIES:
            cap = DAY_S if self.row.tries > DAILY_TRIES else HOUR_S
        return Later(random.uniform(cap / 2, cap))  # noqa: S311 - jitter is no secret

    @property
    def pending(self) -> Later:
        """When to look again at what the processor is still doing: 1 s, 2 s, 4 s … to a day."""
        if self.row.tries > DAILY_TRIES:
            return Later(DAY_S)
        return Later(min(PENDING_CAP_S, 2.0 ** min(self.row.tries - 1, 20)))

    @property
    def doubt(self) -> Later:
        """When to look again at an unknown outcome."""
        tries = self.row.tries
        if tries > HOURLY_TRIES:
            return Later(DAY_S)
        return Later(DOUBT_S[min(tries, len(DOUBT_S)) - 1])


Step: TypeAlias = Callable[[Act], Awaitable[Result]]


def step_of(order: Order, subject: str) -> WaitsFor | None:
    """Return what the order waits for about a subject."""
    return next((step for step in steps(order) if step.subject == subject), None)


def operation_of(act: Act) -> str | None:
    """Return what is to be done about the row's subject now."""
    step = step_of(act.order, act.row.subject)
    return step.operation if step else None


def attempt_of(order: Order, subject: str) -> Attempt | None:
    """Return the attempt that a step's subject belongs to."""
    part = order.capture(subject) or order.refund(subject)
    stray = next((s for s in order.strays if s.payment_id == subject), None)
    attempt_id = part.attempt_id if part else stray.attempt_id if stray else subject
    return order.attempt(attempt_id)


def payment_of(act: Act, attempt: Attempt) -> str | None:
    """Return the processor's payment that a step is about, where a reference has several."""
    refund = act.order.refund(act.row.subject)
    stray = act.order.stray(act.row.subject)
    return refund.payment_id if refund else stray.payment_id if stray else attempt.payment_id


def attempt_and_processor(act: Act) -> tuple[Attempt, Processor | None]:
    """Return the attempt that the step is of, and who is asked, if we still know them."""
    assert act.attempt is not None, "this step is of an attempt"
    return act.attempt, act.processor
