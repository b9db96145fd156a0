"""Listing one account at its processor, slice by slice, and comparing it with the log."""

import asyncio
from datetime import datetime, timedelta
from typing import Any, Final

import structlog
from msgspec.structs import replace
from prometheus_client import Counter
from psycopg import AsyncConnection

from adapters.orphans import saw
from commands.apply_webhook import Look
from commands.observed import ListedPage, Observed
from commands.outcomes import Unknown
from commands.ports import Ports
from commands.processor import Credentials, Window
from commands.reconcile import AccountAt, Unplaced, compare, money_of
from domain.errors import Unavailable

OVERLAP: Final = timedelta(minutes=15)
"""How far a listing goes beyond its ends: the processors' clocks are not ours."""
DEEP: Final = timedelta(days=5)
"""What can still change by itself: late authorizations, refunds of the first days."""
DEEP_EVERY: Final = timedelta(hours=6)
SLICE: Final = timedelta(hours=6)
PAGES_MAX: Final = 10_000
"""Pages of one slice of an account."""

listed_total = Counter("reconciler_listed_total", "Objects of processors listed", ["processor"])
looks_total = Counter(
    "reconciler_looks_total", "Attempts that were looked at, by what it came to", ["outcome"]
)

log = structlog.get_logger(__name__)

_MARK: Final = """
    SELECT upto, deep_at FROM reconciled
    WHERE (merchant_id, mode, processor, account) = (%s, %s, %s, %s)
"""
_ADVANCE: Final = """
    INSERT INTO reconciled (merchant_id, mode, processor, account, upto, deep_at)
    VALUES (%s, %s, %s, %s, %s, %s)
    ON CONFLICT (merchant_id, mode, processor, account) DO UPDATE
        SET upto = greatest(reconciled.upto, excluded.upto), deep_at = excluded.deep_at
"""


class NotListed(Exception):
    """An account could not be listed; the message is the processor's cause."""


class Lister:
    """Lists accounts.

    Args:
        look: asks a processor about an attempt and records what it says.
        call_limit_s: of one call, in seconds.
    """

    def __init__(self, ports: Ports, look: Look, *, call_limit_s: float) -> None:
        self._ports = ports
        self._look = look
        self._limit_s = call_limit_s

    async def list(
        self,
        db: AsyncConnection[Any],
        account: AccountAt,
        credentials: Credentials,
        restored_to: datetime | None,
    ) -> None:
        """Compare what an account has since the last listing, and since a restore at least.

        Raises:
            NotListed: what was compared until then stays so.
            psycopg.Error, Unavailable: as above.
        """
        now = self._ports.now()
        key = (account.merchant_id, account.mode, account.processor, account.account)
        mark = await (await db.execute(_MARK, key)).fetchone()
        upto, deep_at = mark or (account.since, now)
        since = min(upto, restored_to or upto) - OVERLAP
        deep = now - deep_at >= DEEP_EVERY
        if deep:
            since, deep_at = min(since, now - DEEP), now
        end = held_up = now + OVERLAP
        while since < end:
            until = min(since + SLICE, end)
            held_up = min(held_up, await self._slice(db, account, credentials, since, until))
            if until == end or not deep:
                await db.execute(_ADVANCE, (*key, min(until, now, held_up), deep_at))
            since = until

    async def _slice(
        self,
        db: AsyncConnection[Any],
        account: AccountAt,
        credentials: Credentials,
        since: datetime,
        until: datetime,
    ) -> datetime:
        """Compare all that was made in a time; return from when on it has to be listed again."""
        window = Window(
            merchant_id=account.merchant_id, mode=account.mode, since=since, until=until
        )
        processor = self._ports.processors[account.processor]
        again = until
        for _ in range(PAGES_MAX):
            page = await self._bounded(processor.listed(window, credentials))
            if not isinstance(page, ListedPage):
                raise NotListed(page.cause)
            listed_total.labels(account.processor).inc(len(page.items))
            compared = await compare(self._ports, account, page.items, now=self._ports.now())
            for found in compared.unplaced:
                await self.saw(db, account, credentials, found)
            for order_id, attempt_id in compared.differing:
                await self.looked(order_id, attempt_id)
            again = min(again, compared.under_way or again)
            if page.after is None:
                return again
            window = replace(window, after=page.after)
        raise NotListed("too many pages")

    async def looked(self, order_id: str, attempt_id: str) -> None:
        """Look at an attempt; whatever goes wrong with it, the others go on.

        Raises:
            Unavailable: the log cannot be reached.
        """
        try:
            outcome = await self._look(order_id, attempt_id)
        except Unavailable:
            raise
        except Exception:
            log.exception("reconciler_look_failed", order_id=order_id)
            looks_total.labels("failed").inc()
        else:
            looks_total.labels(outcome).inc()

    async def saw(
        self,
        db: AsyncConnection[Any],
        account: AccountAt,
        credentials: Credentials,
        found: Unplaced,
    ) -> None:
        """Look an orphan up and keep what is shown.

        Raises:
            NotListed: it is not shown.
        """
        processor = self._ports.processors[account.processor]
        reference = found.item.reference
        seen = await self._bounded(processor.lookup(reference, "authorize", credentials))
        if not isinstance(seen, Observed):
            raise NotListed("an orphan cannot be looked up")
        await saw(db, account, found, money_of(seen))

    async def _bounded(self, call: Any) -> Any:
        try:
            async with asyncio.timeout(self._limit_s):
                return await call
        except TimeoutError:
            return Unknown(cause="timeout")
        except Exception as error:
            log.exception("a processor adapter raised")
            return Unknown(cause=type(error).__name__)
