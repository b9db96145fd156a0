"""The reconciler: compares every account with the log on a schedule, and at once after a restore.

One worker at a time. It looks at open attempts that nobody is looking at, and it lists what the
processors have: what differs is looked at, what the log does not know is kept as an orphan.
"""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import psycopg
import structlog
from prometheus_client import Counter, Gauge
from psycopg import AsyncConnection

from adapters import log as events
from adapters.account_lists import Lister, NotListed
from adapters.waiting import set_within
from commands.apply_webhook import Look
from commands.observed import Listed
from commands.ports import Ports
from commands.reconcile import AccountAt, Unplaced, accounts_of, credentials_of
from domain.errors import Unavailable
from domain.metadata import Mode

LEASE: Final = "loop.reconciler"
POLL_S: Final = 2.0
AGAIN: Final = 5
"""After so many polls an account that could not be listed after a restore is tried again."""
LOOKS_EVERY: Final = timedelta(hours=1)
ORPHANS_FOR_DAYS: Final = 40
MODES: Final[tuple[Mode, ...]] = ("test", "live")
_PAGE: Final = 100

failed_total = Counter(
    "reconciler_failed_total", "Accounts that could not be listed", ["processor"]
)
orphans_open = Gauge(
    "reconciler_orphans",
    "Payments at processors that the log does not know",
    multiprocess_mode="livemostrecent",
)

log = structlog.get_logger(__name__)

_MERCHANTS: Final = """
    SELECT DISTINCT originator_id FROM events
    WHERE originator_id > %s AND originator_id < 'mer`'
      AND topic = 'merchant.processor_configured.v1'
    ORDER BY originator_id LIMIT %s
"""
_RESTORED: Final = "SELECT restored_to FROM restores WHERE log_id = %s"
_DONE: Final = "SELECT merchant_id, mode FROM merchants_reconciled WHERE log_id = %s"
_RELEASE: Final = """
    INSERT INTO merchants_reconciled (merchant_id, mode, log_id) VALUES (%s, %s, %s)
    ON CONFLICT DO NOTHING
"""
# Steps that wait for their time and not for an answer; a lookup that is due looks by itself.
_OPEN: Final = """
    SELECT order_id, subject FROM due
    WHERE operation IN ('challenge', 'warn_expiring', 'expire', 'watch_hold')
      AND due_at > clock_timestamp() + interval '1 minute' AND subject LIKE 'att\\_%%'
      AND (order_id, subject) > (%s, %s) ORDER BY order_id, subject LIMIT %s
"""
_UNSETTLED: Final = """
    SELECT o.merchant_id, o.mode, o.processor, o.account, o.credential_version, o.made_at,
           o.reference, o.order_id, o.attempt_id, o.attempt_known
    FROM orphans o WHERE settled_at IS NULL AND looked_at < clock_timestamp() - interval '1 hour'
      AND made_at > clock_timestamp() - make_interval(days => %s)
    ORDER BY looked_at LIMIT 1000
"""
_COUNT: Final = """
    SELECT count(*) FROM orphans WHERE settled_at IS NULL
       AND (NOT attempt_known OR held_minor > 0 OR captured_minor > refunded_minor)
"""


class Reconciler:
    """Runs in one process at a time.

    Args:
        look: asks a processor about an attempt and records what it says.
        every_s: seconds between rounds.
        call_limit_s: of one call, in seconds.
        poll_s: how often it asks for the lease, and whether the log was restored.
    """

    def __init__(
        self,
        ports: Ports,
        look: Look,
        database_url: str,
        *,
        every_s: float,
        call_limit_s: float,
        poll_s: float = POLL_S,
    ) -> None:
        self._ports = ports
        self._url = database_url
        self._every_s = every_s
        self._poll_s = poll_s
        self._lister = Lister(ports, look, call_limit_s=call_limit_s)
        self._released: str | None = None
        self._looked_at = datetime.min.replace(tzinfo=UTC)

    async def run(self, stop: asyncio.Event) -> None:
        """Reconcile until `stop`; trouble with the database is waited out."""
        while not stop.is_set():
            try:
                async with await events.connect(self._url, "loop-reconciler") as db:
                    await self._lead(db, stop)
            except (psycopg.Error, OSError, Unavailable) as error:
                log.warning("reconciler_pauses", cause=type(error).__name__)
            await set_within(stop, self._poll_s)

    async def _lead(self, db: AsyncConnection[Any], stop: asyncio.Event) -> None:
        while not stop.is_set() and not await events.try_lock(db, LEASE):
            await set_within(stop, self._poll_s)
        last, polls = -self._every_s, 0
        clock = asyncio.get_running_loop().time
        while not stop.is_set():
            if clock() - last >= self._every_s:
                last = clock()
                await self.round(db, stop)
            elif polls % AGAIN == 0 and await self._waiting(db):
                await self.round(db, stop, only_restored=True)
            polls += 1
            await set_within(stop, self._poll_s)

    async def _waiting(self, db: AsyncConnection[Any]) -> bool:
        """Tell whether merchants may wait because this log is a restored one."""
        log_id, restored_to = await self._restore(db)
        return restored_to is not None and self._released != log_id

    async def round(
        self, db: AsyncConnection[Any], stop: asyncio.Event, *, only_restored: bool = False
    ) -> None:
        """Compare all accounts once; `only_restored`: those of merchants that wait for it.

        Raises:
            psycopg.Error, Unavailable: what was compared until then stays so.
        """
        log_id, restored_to = await self._restore(db)
        done: set[tuple[str, str]] = set()
        if restored_to is not None:
            done = {(row[0], row[1]) for row in await self._rows(db, _DONE, log_id)}
        all_done = True
        async for merchant_id in self._merchants(db):
            waits = [m for m in MODES if restored_to is not None and (merchant_id, m) not in done]
            if stop.is_set() or (only_restored and not waits):
                continue
            rows = (await self._ports.store.load([merchant_id]))[merchant_id]
            accounts = accounts_of(merchant_id, rows)
            for mode in MODES if not only_restored else waits:
                listed = [
                    await self._reconciled(db, account, restored_to if mode in waits else None)
                    for account in accounts
                    if account.mode == mode
                ]
                if mode in waits and all(listed):
                    await db.execute(_RELEASE, (merchant_id, mode, log_id))
                    log.info("reconciled_after_restore", merchant_id=merchant_id, mode=mode)
                all_done &= all(listed)
        if all_done and not stop.is_set():
            self._released = log_id
        if not only_restored and not stop.is_set():
            await self._look_at_open(db)
            await self._look_at_orphans(db)
        count = (await self._rows(db, _COUNT))[0][0]
        orphans_open.set(count)

    async def _restore(self, db: AsyncConnection[Any]) -> tuple[str, datetime | None]:
        """Return the log's name, and up to when it was restored if it was."""
        log_id = await events.log_id(db)
        found = await self._rows(db, _RESTORED, log_id)
        return log_id, found[0][0] if found else None

    async def _reconciled(
        self, db: AsyncConnection[Any], account: AccountAt, restored_to: datetime | None
    ) -> bool:
        """List an account up to now; False where it cannot be."""
        credentials = await credentials_of(self._ports, account)
        if credentials is None:
            return True
        try:
            await self._lister.list(db, account, credentials, restored_to)
        except NotListed as error:
            failed_total.labels(account.processor).inc()
            log.warning(
                "account_not_listed",
                merchant_id=account.merchant_id,
                processor=account.processor,
                cause=str(error),
            )
            return False
        return True

    async def _look_at_open(self, db: AsyncConnection[Any]) -> None:
        """Look at attempts that wait for their time, once an hour."""
        now = self._ports.now()
        if now - self._looked_at < LOOKS_EVERY:
            return
        self._looked_at = now
        place = ("", "")
        while rows := await self._rows(db, _OPEN, *place, _PAGE):
            for order_id, attempt_id in rows:
                await self._lister.looked(order_id, attempt_id)
            place = rows[-1]

    async def _look_at_orphans(self, db: AsyncConnection[Any]) -> None:
        """See what became of orphans, once an hour."""
        for row in await self._rows(db, _UNSETTLED, ORPHANS_FOR_DAYS):
            *names, made_at, reference, order_id, attempt_id, known = row
            merchant_id, mode, processor, name, version = names
            account = AccountAt(
                merchant_id=merchant_id,
                mode=mode,
                processor=processor,
                account=name,
                credential_version=version,
                since=made_at,
            )
            credentials = await credentials_of(self._ports, account)
            if credentials is None:
                continue
            item = Listed(
                reference=reference,
                at=made_at,
                merchant_id=merchant_id,
                order_id=order_id,
                attempt_id=attempt_id,
            )
            try:
                await self._lister.saw(
                    db, account, credentials, Unplaced(item=item, attempt_known=known)
                )
            except NotListed:
                failed_total.labels(processor).inc()

    async def _merchants(self, db: AsyncConnection[Any]) -> AsyncIterator[str]:
        after = "mer_"
        while rows := await self._rows(db, _MERCHANTS, after, _PAGE):
            for (merchant_id,) in rows:
                yield merchant_id
            after = rows[-1][0]

    async def _rows(self, db: AsyncConnection[Any], query: Any, *values: Any) -> list[Any]:
        return await (await db.execute(query, values)).fetchall()
