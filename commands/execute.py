"""How every command on an order runs: load, decide, append with all that belongs to the commit."""

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Final, TypeVar

from msgspec.structs import replace

from commands.append import (
    AlreadyAnswered,
    Append,
    Claim,
    DataKeyRow,
    DueChange,
    IdempotencyRecord,
    NewEvent,
    VersionTaken,
    Write,
)
from commands.caller import Caller, Done, Idempotency
from commands.ports import Ports
from domain.errors import Conflict, NotFound, Rejected
from domain.events import (
    CaptureRequested,
    OrderEvent,
    OrderRouted,
    Recorded,
    RefundRequested,
    VoidRequested,
)
from domain.ids import is_id
from domain.order.evolve import evolve, fold
from domain.order.state import Order
from domain.order.steps import steps

CONFLICTS_MAX: Final = 8
"""How often a merchant's command decides anew before it answers 409."""

INTENTS: Final = (OrderRouted, CaptureRequested, VoidRequested, RefundRequested)
"""What is going to be done at a processor."""

T = TypeVar("T")


def not_found() -> NotFound:
    """Return the one answer for ids that are malformed, unknown, foreign or of the other mode."""
    return NotFound("not_found", "There is no such order.")


async def load_order(ports: Ports, caller: Caller, order_id: str) -> Order:
    """Return an order of the caller's merchant and mode.

    Raises:
        NotFound: for any other id.
    """
    if not is_id(order_id, "ord"):
        raise not_found()
    rows = (await ports.store.load([order_id], caller_key=caller.key_id))[order_id]
    return owned(fold(rows), caller)


def owned(order: Order | None, caller: Caller) -> Order:
    """Return the order if it is the caller's."""
    if order is None or (order.merchant_id, order.mode) != (caller.merchant_id, caller.mode):
        raise not_found()
    return order


class Commit(Done, frozen=True, kw_only=True):
    """What was committed, with its rows."""

    rows: tuple[Recorded, ...] = ()


async def commit(  # noqa: PLR0913 - all that one commit carries, by keyword
    ports: Ports,
    caller: Caller,
    before: Order | None,
    events: tuple[OrderEvent, ...],
    *,
    order_id: str,
    occurred_at: datetime | None = None,
    idempotency: Idempotency | None = None,
    status: int = 200,
    subject: str | None = None,
    claims: tuple[Claim, ...] = (),
    data_keys: tuple[DataKeyRow, ...] = (),
    worker: int | None = None,
) -> Commit:
    """Append the events of one decision with their idempotency record, claims and due rows.

    Nothing is appended when there is nothing to say and nothing to remember.

    Raises:
        KeyRevoked, AlreadyAnswered, ClaimTaken, VersionTaken: as `EventStore.append`.
    """
    now = ports.now()
    new = tuple(
        NewEvent(
            # The processor's time is that of its facts; what we want begins now.
            metadata=caller.metadata(
                now if isinstance(event, INTENTS) else occurred_at or now, mode=caller.mode
            ),
            data=event,
        )
        for event in events
    )
    after = before
    for event in new:
        after = evolve(after, event.data, event.metadata, stream_id=order_id)
    assert after is not None, "an order exists before it is changed"
    if not new and idempotency is None:
        return Commit(order=after, status=status, subject=subject)
    expected = before.version if before else 0
    write = Write(stream_id=order_id, expected_version=expected, events=new)
    append = Append(
        writes=(write,),
        idempotency=record_of(idempotency, status, order_id, after.version, subject),
        claims=claims,
        due=due_changes(before, after),
        data_keys=data_keys,
        caller_key=caller.key_id,
        worker=worker,
    )
    rows = await ports.store.append(append)
    ports.committed(after, events)
    return Commit(order=after, status=status, subject=subject, rows=rows)


def record_of(
    idempotency: Idempotency | None, status: int, stream_id: str, version: int, subject: str | None
) -> IdempotencyRecord | None:
    """Return what is remembered under an idempotency key, None without one."""
    if idempotency is None:
        return None
    return IdempotencyRecord(
        scope=idempotency.scope,
        key=idempotency.key,
        fingerprint=idempotency.fingerprint,
        status=status,
        stream_id=stream_id,
        version=version,
        subject=subject,
    )


def due_changes(before: Order | None, after: Order) -> tuple[DueChange, ...]:
    """Return what a commit makes of the order's due rows: new and changed steps, and gone ones."""
    old = {step.subject: step for step in steps(before)} if before else {}
    new = {step.subject: step for step in steps(after)}
    changed = tuple(
        DueChange(order_id=after.id, subject=s.subject, operation=s.operation, at=s.at)
        for s in new.values()
        if old.get(s.subject) != s
    )
    gone = tuple(
        DueChange(order_id=after.id, subject=subject, operation=None)
        for subject in old.keys() - new.keys()
    )
    return changed + gone


async def once(
    ports: Ports,
    caller: Caller,
    idempotency: Idempotency | None,
    attempt: Callable[[], Awaitable[Done]],
    *,
    as_of_now: bool = False,
) -> Done:
    """Run a command so that an equal request with the same key is answered, not run again.

    `as_of_now` answers a repetition from the order as it is now, not as it was then.

    Raises:
        Rejected: `idempotency_key_reused`, or what the command says.
        Conflict: `concurrent_change` when others were always faster.
    """
    if idempotency is not None:
        record = await ports.store.answered(idempotency.scope, idempotency.key)
        if record is not None:
            return await _replay(ports, caller, idempotency, record, as_of_now=as_of_now)
    for _ in range(CONFLICTS_MAX):
        try:
            return await attempt()
        except VersionTaken:
            continue
        except AlreadyAnswered as answered:
            assert idempotency is not None, "only a key is answered"
            found = answered.record
            return await _replay(ports, caller, idempotency, found, as_of_now=as_of_now)
        except Rejected:
            # An equal request may have been first: then its answer is ours.
            found = await _answered(ports, idempotency)
            if idempotency is None or found is None:
                raise
            return await _replay(ports, caller, idempotency, found, as_of_now=as_of_now)
    raise Conflict("concurrent_change", "The order changed meanwhile; try again.")


async def _answered(ports: Ports, idempotency: Idempotency | None) -> IdempotencyRecord | None:
    if idempotency is None:
        return None
    return await ports.store.answered(idempotency.scope, idempotency.key)


async def _replay(
    ports: Ports,
    caller: Caller,
    idempotency: Idempotency,
    record: IdempotencyRecord,
    *,
    as_of_now: bool,
) -> Done:
    """Answer from the stream as it was right after the first request, or as it is now."""
    if record.fingerprint != idempotency.fingerprint:
        raise Rejected("idempotency_key_reused", "This Idempotency-Key was used with another body.")
    rows = (await ports.store.load([record.stream_id], caller_key=caller.key_id))[record.stream_id]
    order = owned(fold(rows if as_of_now else rows[: record.version]), caller)
    return Done(order=order, status=record.status, subject=record.subject, replayed=True)


def under_key(caller: Caller, idempotency: Idempotency | None) -> Caller:
    """Return the caller whose events carry the idempotency key."""
    return caller if idempotency is None else replace(caller, idempotency_key=idempotency.key)
