"""Whether a new attempt may start: what a restore and orphans hold back, asked in Postgres."""

from typing import Any, Final, Literal, TypeAlias

from psycopg import AsyncConnection

from adapters.coalesce import Coalesced
from domain.metadata import Mode

_Place: TypeAlias = tuple[str, Mode, str]
"""Merchant, mode and order."""
Held: TypeAlias = Literal["restored", "orphan"] | None

# Who came after the restore has nothing that it could have lost.
_HELD: Final = """
    SELECT k.merchant_id, k.mode, k.order_id,
           EXISTS (
               SELECT FROM log_identity l JOIN restores r ON r.log_id = l.log_id
               WHERE NOT EXISTS (
                   SELECT FROM merchants_reconciled m WHERE m.merchant_id = k.merchant_id
                      AND m.mode = k.mode AND m.log_id = l.log_id)
                 AND (SELECT e.recorded_at <= r.noticed_at FROM events e
                      WHERE e.originator_id = k.merchant_id AND e.originator_version = 1)),
           EXISTS (
               SELECT FROM orphans o WHERE o.order_id = k.order_id AND o.settled_at IS NULL
                  AND o.merchant_id = k.merchant_id
                  AND (o.held_minor > 0 OR o.captured_minor > o.refunded_minor))
    FROM unnest(%s::text[], %s::text[], %s::text[]) AS k (merchant_id, mode, order_id)
"""


class PostgresReconciliation:
    """See `commands.ports.Reconciliation`. Start it with `run`, which ends after `close`."""

    def __init__(self, database_url: str) -> None:
        self._held: Coalesced[_Place, Held] = Coalesced(database_url, _load)

    async def run(self) -> None:
        """Serve until `close`."""
        await self._held.run()

    def close(self) -> None:
        """Take nothing more."""
        self._held.close()

    async def holds_back(self, merchant_id: str, mode: Mode, order_id: str) -> Held:
        """See `commands.ports.Reconciliation.holds_back`."""
        return await self._held.get((merchant_id, mode, order_id))


async def _load(connection: AsyncConnection[Any], places: list[_Place]) -> dict[_Place, Held]:
    columns = [list(column) for column in zip(*places, strict=True)]
    found: dict[_Place, Held] = {}
    rows = await (await connection.execute(_HELD, columns)).fetchall()
    for merchant_id, mode, order_id, restored, orphan in rows:
        held: Held = "restored" if restored else "orphan" if orphan else None
        found[merchant_id, mode, order_id] = held
    return found
