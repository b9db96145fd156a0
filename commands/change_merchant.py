"""How every command on a merchant runs: load, decide, append with key rows and claims."""

from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

import msgspec

from commands.append import (
    AlreadyAnswered,
    Append,
    Claim,
    DataKeyRow,
    KeyRow,
    NewEvent,
    VersionTaken,
    Write,
)
from commands.caller import Caller, Idempotency
from commands.execute import record_of, under_key
from commands.ports import Ports
from domain.errors import Conflict, NotFound, Rejected
from domain.ids import is_id
from domain.merchant import Merchant, MerchantCommand, decide, evolve, fold

CONFLICTS_MAX: Final = 8

T = TypeVar("T")


async def load_merchant(ports: Ports, merchant_id: str) -> Merchant:
    """Return a merchant.

    Raises:
        NotFound: no such merchant.
    """
    rows = (await ports.store.load([merchant_id]))[merchant_id] if is_id(merchant_id, "mer") else ()
    merchant = fold(rows)
    if merchant is None:
        raise NotFound("not_found", "There is no such merchant.")
    return merchant


async def change_merchant(  # noqa: PLR0913 - all that one commit carries, by keyword
    ports: Ports,
    caller: Caller,
    command: MerchantCommand,
    *,
    new: bool = False,
    key_rows: tuple[KeyRow, ...] = (),
    revoked_keys: tuple[str, ...] = (),
    claims: tuple[Claim, ...] = (),
    data_keys: tuple[DataKeyRow, ...] = (),
    idempotency: Idempotency | None = None,
    subject: str | None = None,
    status: int = 201,
) -> Merchant:
    """Append what the command gives and return the merchant as it is then.

    An idempotency key is remembered with the `subject` and `status` of the answer.

    Raises:
        NotFound, Rejected: as the command says.
        Conflict: `concurrent_change` when others were always faster.
        commands.append.ClaimTaken, KeyRevoked, AlreadyAnswered: as `EventStore.append`.
    """
    caller = under_key(caller, idempotency)
    for _ in range(CONFLICTS_MAX):
        before = None if new else await load_merchant(ports, caller.merchant_id)
        at = ports.now()
        events = tuple(
            NewEvent(metadata=caller.metadata(at, mode=None), data=event)
            for event in decide(before, command)
        )
        after = before
        for event in events:
            after = evolve(after, event.data, event.metadata, stream_id=caller.merchant_id)
        assert after is not None, "a merchant registers before anything else"
        if not events:
            return after
        write = Write(
            stream_id=caller.merchant_id,
            expected_version=before.version if before else 0,
            events=events,
        )
        append = Append(
            writes=(write,),
            idempotency=record_of(idempotency, status, after.id, after.version, subject),
            key_rows=key_rows,
            revoked_keys=revoked_keys,
            claims=claims,
            data_keys=data_keys,
            caller_key=caller.key_id,
        )
        try:
            await ports.store.append(append)
        except VersionTaken:
            continue
        return after
    raise Conflict("concurrent_change", "The merchant changed meanwhile; try again.")


async def once_of_merchant(
    ports: Ports,
    caller: Caller,
    idempotency: Idempotency | None,
    attempt: Callable[[], Awaitable[T]],
) -> "T | Answered":
    """Run a command on a merchant, unless an equal request was answered before, or just now.

    Raises:
        Rejected: `idempotency_key_reused`, or what the command says.
    """
    found = await answered_before(ports, caller, idempotency)
    if found is not None:
        return found
    try:
        return await attempt()
    except AlreadyAnswered:
        found = await answered_before(ports, caller, idempotency)
        if found is None:
            raise
        return found


class Answered(msgspec.Struct, frozen=True, kw_only=True):
    """An earlier, equal request: the merchant as it was right after it, and what it was about."""

    merchant: Merchant
    subject: str | None
    status: int


async def answered_before(
    ports: Ports, caller: Caller, idempotency: Idempotency | None
) -> Answered | None:
    """Return what a request with the same idempotency key and body came to, None where it is new.

    Raises:
        Rejected: `idempotency_key_reused`.
        commands.append.KeyRevoked: the caller's key does not work any more.
    """
    if idempotency is None:
        return None
    record = await ports.store.answered(idempotency.scope, idempotency.key)
    if record is None:
        return None
    if record.fingerprint != idempotency.fingerprint:
        raise Rejected("idempotency_key_reused", "This Idempotency-Key was used with another body.")
    rows = (await ports.store.load([record.stream_id], caller_key=caller.key_id))[record.stream_id]
    merchant = fold(rows[: record.version])
    assert merchant is not None, "what was answered is in the log"
    return Answered(merchant=merchant, subject=record.subject, status=record.status)
