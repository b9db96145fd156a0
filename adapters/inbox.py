"""The inbox of verified webhooks in Postgres: each event once, claimed with leases."""

from collections.abc import Sequence
from typing import Any, Final

import msgspec
from psycopg_pool import AsyncConnectionPool

from adapters.connect import borrowed
from commands.ports import Arrival, InboxRow
from commands.processor import Hint

CHANNEL: Final = "loop_inbox"
KEPT_DAYS: Final = 45
"""Stripe sends again for up to 30 days: for longer than that a row must show that it came."""

# What was left for good is tried again when the processor sends it again.
_RECEIVE: Final = """
    INSERT INTO inbox (processor, merchant_id, account, accounts, event, kind, tells, reference,
                       payment_id, order_id, attempt_id, digest)
    VALUES (%(processor)s, %(merchant_id)s, %(account)s, %(accounts)s, %(event_id)s, %(kind)s,
            %(tells)s, %(reference)s, %(payment_id)s, %(order_id)s, %(attempt_id)s, %(digest)s)
    ON CONFLICT (merchant_id, processor, account, event, reference) DO UPDATE
        SET due_at = clock_timestamp(), tries = 0, state = 'parked'
        WHERE inbox.state IN ('parked', 'unmatched') AND inbox.lease_until IS NULL
"""
_CLAIM: Final = """
    WITH ready AS (
        SELECT id FROM inbox
        WHERE due_at <= clock_timestamp()
          AND (lease_until IS NULL OR lease_until < clock_timestamp())
        ORDER BY due_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED
    )
    UPDATE inbox SET tries = tries + 1,
                     lease_until = clock_timestamp() + make_interval(secs => %(lease_s)s)
    FROM ready WHERE inbox.id = ready.id
    RETURNING inbox.id, processor, merchant_id, accounts, tries, reference, attempt_id, event,
              kind, order_id, payment_id, tells
"""
_SETTLE: Final = """
    UPDATE inbox SET state = %s, reason = %s, due_at = NULL, lease_until = NULL
    WHERE id = ANY(%s::bigint[])
"""
_PARK: Final = """
    UPDATE inbox SET state = 'parked', reason = %s, lease_until = NULL,
                     due_at = clock_timestamp() + make_interval(secs => %s)
    WHERE id = ANY(%s::bigint[])
"""
_NEXT: Final = """
    SELECT extract(epoch FROM min(greatest(due_at, coalesce(lease_until, due_at)))
                   - clock_timestamp())::float8
    FROM inbox WHERE due_at IS NOT NULL
"""
# The predicate is that of the index, word for word.
_ORDERS: Final = """
    SELECT DISTINCT originator_id FROM events
    WHERE processor_object(state) = %s
      AND topic IN ('order.processor_referenced.v1', 'order.authorized.v1',
                    'order.stray_payment_found.v1')
"""
_EXPIRE: Final = """
    DELETE FROM inbox WHERE id IN (
        SELECT id FROM inbox WHERE received_at < clock_timestamp() - make_interval(days => %s)
        ORDER BY received_at LIMIT 1000 FOR UPDATE SKIP LOCKED)
"""


class PostgresInbox:
    """The inbox.

    Args:
        lease_s: for how long a claimed row is left alone; above the limit of a call.
    """

    def __init__(self, pool: AsyncConnectionPool, *, lease_s: float) -> None:
        self._pool = pool
        self._lease_s = lease_s

    async def receive(self, arrivals: Sequence[Arrival]) -> None:
        """See `commands.ports.Inbox.receive`."""
        async with borrowed(self._pool) as connection, connection.transaction():
            for arrival in arrivals:
                await connection.execute(_RECEIVE, _row(arrival))
            await connection.execute(f"NOTIFY {CHANNEL}")

    async def orders_of(self, processor_object: str) -> list[str]:
        """See `commands.ports.Inbox.orders_of`."""
        async with borrowed(self._pool) as connection:
            found = await (await connection.execute(_ORDERS, (processor_object,))).fetchall()
        return [row[0] for row in found]

    async def claim(self, limit: int) -> list[InboxRow]:
        """Take rows that are due and that nobody holds; count a try.

        Raises:
            domain.errors.Unavailable: what was claimed meanwhile is free after the lease.
        """
        async with borrowed(self._pool) as connection:
            arguments = {"limit": limit, "lease_s": self._lease_s}
            found = await (await connection.execute(_CLAIM, arguments)).fetchall()
        return [_claimed(*row) for row in sorted(found)]

    async def settle(self, rows: Sequence[InboxRow], state: str, reason: str | None) -> None:
        """Say what became of rows for good."""
        async with borrowed(self._pool) as connection:
            await connection.execute(_SETTLE, (state, reason, [row.id for row in rows]))

    async def park(self, rows: Sequence[InboxRow], reason: str, *, in_s: float) -> None:
        """Give rows back, to be tried again later."""
        async with borrowed(self._pool) as connection:
            await connection.execute(_PARK, (reason, in_s, [row.id for row in rows]))

    async def next_due_s(self) -> float | None:
        """Return the seconds until a row can be claimed, None when none is left."""
        async with borrowed(self._pool) as connection:
            row = await (await connection.execute(_NEXT)).fetchone()
        return None if row is None or row[0] is None else max(0.0, row[0])


async def expire_inbox(pool: AsyncConnectionPool, older_than_days: int = KEPT_DAYS) -> int:
    """Delete rows that came longer ago, whatever became of them; return how many.

    Raises:
        psycopg.Error: what was deleted until then stays deleted.
    """
    deleted = 0
    while True:
        async with pool.connection() as connection:
            count = (await connection.execute(_EXPIRE, (older_than_days,))).rowcount
        deleted += count
        if not count:
            return deleted


def _row(arrival: Arrival) -> dict[str, Any]:
    return msgspec.structs.asdict(arrival.hint) | {
        "processor": arrival.processor,
        "merchant_id": arrival.merchant_id,
        "account": arrival.accounts[0],
        "accounts": list(arrival.accounts),
        "digest": arrival.digest,
    }


def _claimed(*row: Any) -> InboxRow:
    row_id, processor, merchant_id, accounts, tries, *hint = row
    names = ("reference", "attempt_id", "event_id", "kind", "order_id", "payment_id", "tells")
    return InboxRow(
        id=row_id,
        processor=processor,
        merchant_id=merchant_id,
        accounts=tuple(accounts),
        hint=Hint(**dict(zip(names, hint, strict=True))),
        tries=tries,
    )
