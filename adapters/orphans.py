"""Payments at processors that the log does not know: kept, looked at again, listed."""

from datetime import datetime
from typing import Any, Final

import msgspec
from psycopg import AsyncConnection
from psycopg.rows import class_row
from psycopg_pool import AsyncConnectionPool

from commands.reconcile import AccountAt, OrphanMoney, Unplaced
from domain.metadata import Mode


class Orphan(msgspec.Struct, frozen=True, kw_only=True):
    """A payment that names an order of ours, and that the log does not know so.

    Attributes:
        order_id: as the payment carries it; the log may not have such an order any more.
        attempt_known: the log has the attempt, with another reference.
        status: as of a lookup: `open`, `challenged`, `processing`, `declined`, `authorized`,
            `captured`, `cancelled` or `expired`.
        held_minor: ISO minor units, as all amounts here.
        made_at: by the processor's clock.
        looked_at: when the processor was asked last.
    """

    processor: str
    account: str
    reference: str
    merchant_id: str
    mode: Mode
    order_id: str | None
    attempt_id: str | None
    attempt_known: bool
    status: str
    currency: str
    held_minor: int
    captured_minor: int
    refunded_minor: int
    made_at: datetime
    found_at: datetime
    looked_at: datetime


_COLUMNS: Final = ", ".join(Orphan.__struct_fields__)
# An object without money of an attempt that we know charges nobody: the customer is shown the
# other one. It is watched and not reported.
_LIST: Final = f"""
    SELECT {_COLUMNS} FROM orphans
    WHERE settled_at IS NULL
      AND (NOT attempt_known OR held_minor > 0 OR captured_minor > refunded_minor)
    ORDER BY made_at, reference LIMIT %s
"""  # noqa: S608 - our own columns
_SAW: Final = """
    INSERT INTO orphans (processor, account, reference, merchant_id, mode, order_id, attempt_id,
                         attempt_known, credential_version, status, currency, held_minor,
                         captured_minor, refunded_minor, made_at, settled_at)
    VALUES (%(processor)s, %(account)s, %(reference)s, %(merchant_id)s, %(mode)s, %(order_id)s,
            %(attempt_id)s, %(attempt_known)s, %(credential_version)s, %(status)s, %(currency)s,
            %(held_minor)s, %(captured_minor)s, %(refunded_minor)s, %(made_at)s,
            CASE WHEN %(settled)s THEN clock_timestamp() END)
    ON CONFLICT (processor, reference) DO UPDATE SET
        account = excluded.account, status = excluded.status, currency = excluded.currency,
        held_minor = excluded.held_minor, captured_minor = excluded.captured_minor,
        refunded_minor = excluded.refunded_minor, attempt_known = excluded.attempt_known,
        credential_version = excluded.credential_version,
        looked_at = clock_timestamp(), settled_at = excluded.settled_at
"""
LIMIT: Final = 10_000


async def orphans(pool: AsyncConnectionPool, *, limit: int = LIMIT) -> list[Orphan]:
    """Return what is not settled, oldest first.

    Raises:
        psycopg.Error: the database is away.
    """
    async with (
        pool.connection() as connection,
        connection.cursor(row_factory=class_row(Orphan)) as cursor,
    ):
        await cursor.execute(_LIST.encode(), (limit,))
        return await cursor.fetchall()


async def saw(
    db: AsyncConnection[Any], account: AccountAt, found: Unplaced, money: OrphanMoney
) -> None:
    """Keep what a lookup shows of an object that the log does not know."""
    item = found.item
    await db.execute(
        _SAW,
        msgspec.structs.asdict(account)
        | msgspec.structs.asdict(money)
        | {
            "reference": item.reference,
            "order_id": item.order_id,
            "attempt_id": item.attempt_id,
            "attempt_known": found.attempt_known,
            "made_at": item.at,
            "settled": money.settled,
        },
    )
