"""What the verbs that explain lines ask: the read model `settlements`, and the claims."""

import asyncio
import time
from collections.abc import Collection, Sequence
from typing import Final

from psycopg_pool import AsyncConnectionPool

from domain.errors import Unavailable
from domain.metadata import Mode
from domain.settlement import key_text
from domain.settlement_facts import Key
from projections import settlements

LEVEL_S: Final = 20.0
POLL_S: Final = 0.05

_TAKEN: Final = (
    "SELECT value FROM claims WHERE kind = 'settled' AND scope = %s AND value = ANY(%s::text[])"
)


class PostgresSettlementIndex:
    """The read model in Postgres. `level_s` is how long it may take to be level with the log."""

    def __init__(self, pool: AsyncConnectionPool, *, level_s: float = LEVEL_S) -> None:
        self._pool = pool
        self._level_s = level_s

    async def level(self) -> None:
        """Wait until everything that is in the log now is known.

        Raises:
            Unavailable: `read_model_behind`, no worker keeps it up.
        """
        await self.level_of("settlements")

    async def level_of(self, name: str) -> None:
        """Wait until a read model has everything that is in the log now.

        Raises:
            Unavailable: `read_model_behind`, no worker keeps it up.
        """
        head: int | None = None
        deadline = time.monotonic() + self._level_s
        while True:
            async with self._pool.connection() as db:
                found = await db.execute(
                    "SELECT (SELECT coalesce(max(notification_id), 0) FROM events),"
                    " (SELECT max(position) FROM projection_positions"
                    "  WHERE name = %s AND live)",
                    (name,),
                )
                row = await found.fetchone()
            assert row is not None, "a select without from has one row"
            head = row[0] if head is None else head
            if row[1] is not None and row[1] >= head:
                return
            if time.monotonic() > deadline:
                message = f"The read model {name} is behind: is a worker running?"
                raise Unavailable("read_model_behind", message)
            await asyncio.sleep(POLL_S)

    async def orders_of(
        self, *, merchant_id: str, mode: Mode, processor: str, references: Sequence[str]
    ) -> dict[str, str]:
        """Return the orders that the processor's ids belong to."""
        async with self._pool.connection() as db:
            return await settlements.orders_of(
                db,
                merchant_id=merchant_id,
                mode=mode,
                processor=processor,
                references=references,
            )

    async def taken(self, *, merchant_id: str, mode: Mode, keys: Collection[Key]) -> set[Key]:
        """Return which of these explain a line already, by the log as it is now."""
        by_text = {key_text(key): key for key in keys}
        async with self._pool.connection() as db:
            found = await db.execute(_TAKEN, (f"{merchant_id}:{mode}", list(by_text)))
            return {by_text[text] for (text,) in await found.fetchall()}
