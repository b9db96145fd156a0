"""Idempotency keys of what appends nothing to the log: the record says what was answered."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

from psycopg import AsyncConnection

from adapters.log import try_lock
from commands.caller import Idempotency
from domain.errors import Conflict, Rejected

_ANSWERED: Final = "SELECT fingerprint, subject FROM idempotency WHERE scope = %s AND key = %s"
_KEEP: Final = """
    INSERT INTO idempotency
        (scope, key, fingerprint, status, stream_id, version, subject, created_at)
    VALUES (%s, %s, %s, 200, %s, 0, %s, clock_timestamp())
"""


@asynccontextmanager
async def once(
    db: AsyncConnection[Any], idempotency: Idempotency | None
) -> AsyncIterator[str | None]:
    """Yield what an equal request was answered, None for the first; none runs beside another.

    Args:
        db: an autocommitting connection, on which `keep` is called as well.
        idempotency: None yields None.

    Raises:
        Conflict: `idempotency_in_progress`.
        Rejected: `idempotency_key_reused`.
    """
    if idempotency is None:
        yield None
        return
    name = f"once:{idempotency.scope} {idempotency.key}"
    if not await try_lock(db, name):
        message = "A request with this Idempotency-Key is being answered."
        raise Conflict("idempotency_in_progress", message)
    try:
        cursor = await db.execute(_ANSWERED, (idempotency.scope, idempotency.key))
        row = await cursor.fetchone()
        if row is not None and bytes(row[0]) != idempotency.fingerprint:
            message = "This Idempotency-Key was used with another body."
            raise Rejected("idempotency_key_reused", message)
        yield None if row is None else row[1]
    finally:
        await db.execute("SELECT pg_advisory_unlock(hashtextextended(%s, 0))", (name,))


async def keep(
    db: AsyncConnection[Any], idempotency: Idempotency | None, merchant_id: str, answer: str
) -> None:
    """Remember the answer, in the database transaction of what was done."""
    if idempotency is not None:
        values = (idempotency.scope, idempotency.key, idempotency.fingerprint, merchant_id, answer)
        await db.execute(_KEEP, values)
