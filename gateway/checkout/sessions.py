"""Which checkout sessions a merchant has: the claims that every new one makes with its order."""

from dataclasses import dataclass

from psycopg_pool import AsyncConnectionPool

from adapters.connect import borrowed
from domain.metadata import Mode

_AFTER = (
    "SELECT value FROM claims WHERE kind = 'checkout_session' AND scope = %s AND value < %s "
    "ORDER BY value DESC LIMIT %s"
)
_BEFORE = (
    "SELECT value FROM claims WHERE kind = 'checkout_session' AND scope = %s AND value > %s "
    "ORDER BY value LIMIT %s"
)
_LAST = "cs`"
"""Sorts behind every session's id."""


@dataclass(frozen=True)
class PostgresCheckoutSessions:
    """Lists from the table of claims, by its primary key."""

    pool: AsyncConnectionPool

    async def page(
        self, merchant_id: str, mode: Mode, *, after: str | None, before: str | None, limit: int
    ) -> tuple[tuple[str, ...], bool]:
        """See `gateway.deps.CheckoutSessions.page`.

        Raises:
            Unavailable: `database_unavailable`.
        """
        newer = before is not None and after is None
        place = (f"{merchant_id}:{mode}", before if newer else after or _LAST, limit + 1)
        async with borrowed(self.pool) as db:
            found = await (await db.execute(_BEFORE if newer else _AFTER, place)).fetchall()
        ids = [row[0] for row in found]
        kept = ids[:limit]
        return tuple(reversed(kept) if newer else kept), len(ids) > limit
