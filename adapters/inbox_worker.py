"""The worker of the inbox: claims webhooks, applies what points at one object at once."""

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Any, Final

import psycopg
import structlog
from prometheus_client import Counter
from psycopg import AsyncConnection

from adapters.inbox import CHANNEL, PostgresInbox
from adapters.migrations import OPTIONS
from commands.apply_webhook import Look, Parked, Settled, apply_webhook
from commands.ports import InboxRow, Ports
from domain.errors import Unavailable

IDLE_S: Final = 1.0
"""A worker that nobody pokes looks this often."""
BATCH: Final = 64
PARKED_S: Final = (1.0, 5.0, 30.0, 120.0, 600.0, 3600.0, 21_600.0)
"""Pauses before a parked row is tried again; after the last one it stays as it is."""

settled_total = Counter(
    "webhook_inbox_total", "Webhooks of processors by what became of them", ["processor", "state"]
)

log = structlog.get_logger(__name__)


class InboxWorker:
    """Applies what is in the inbox; any number of processes share it."""

    def __init__(self, ports: Ports, inbox: PostgresInbox, look: Look, database_url: str) -> None:
        self._ports = ports
        self._inbox = inbox
        self._look = look
        self._url = database_url
        self._poke = asyncio.Event()

    async def run(self, stop: asyncio.Event) -> None:
        """Apply until `stop`, then finish what was begun."""
        listening = asyncio.create_task(self._listen(stop))
        stopper = asyncio.create_task(self._poke_at(stop))
        try:
            while not stop.is_set():
                self._poke.clear()
                if await self.once() < BATCH:
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(await self._pause_s()):
                            await self._poke.wait()
        finally:
            for task in (listening, stopper):
                task.cancel()
            await asyncio.gather(listening, stopper, return_exceptions=True)

    async def once(self) -> int:
        """Apply what is due now; return how many rows were claimed."""
        try:
            rows = await self._inbox.claim(BATCH)
        except Unavailable:
            await asyncio.sleep(IDLE_S)
            return 0
        groups: dict[tuple[Any, ...], list[InboxRow]] = {}
        for row in rows:
            of = (row.processor, row.merchant_id, row.accounts, row.hint.reference)
            groups.setdefault(of, []).append(row)
        await asyncio.gather(*(self._apply(group) for group in groups.values()))
        return len(rows)

    async def _apply(self, rows: Sequence[InboxRow]) -> None:
        try:
            match await self._result(rows):
                case Settled(state=state, reason=reason):
                    await self._settle(rows, state, reason)
                case Parked(reason=reason, stays=stays):
                    await self._park(rows, reason, stays)
        except Unavailable as error:
            # The lease runs out, and they are tried again.
            log.warning("inbox_postponed", error=error.code)

    async def _result(self, rows: Sequence[InboxRow]) -> Settled | Parked:
        try:
            return await apply_webhook(self._ports, self._look, rows)
        except Unavailable:
            return Parked("the log cannot be reached", stays="parked")
        except Exception:
            log.exception("inbox_failed", processor=rows[0].processor, kind=rows[0].hint.kind)
            return Parked("it failed", stays="parked")

    async def _settle(self, rows: Sequence[InboxRow], state: str, reason: str | None) -> None:
        await self._inbox.settle(rows, state, reason)
        settled_total.labels(rows[0].processor, state).inc(len(rows))
        if state in {"quarantined", "unmatched", "parked"}:
            log.warning("webhook_left", processor=rows[0].processor, state=state, reason=reason)

    async def _park(self, rows: Sequence[InboxRow], reason: str, stays: str) -> None:
        tries = max(row.tries for row in rows)
        if tries > len(PARKED_S):
            await self._settle(rows, stays, reason)
        else:
            await self._inbox.park(rows, reason, in_s=PARKED_S[tries - 1])

    async def _pause_s(self) -> float:
        try:
            next_s = await self._inbox.next_due_s()
        except Unavailable:
            return IDLE_S
        return IDLE_S if next_s is None else min(IDLE_S, max(next_s, 0.005))

    async def _poke_at(self, stop: asyncio.Event) -> None:
        await stop.wait()
        self._poke.set()

    async def _listen(self, stop: asyncio.Event) -> None:
        """Be poked by whoever received something; without that the worker polls."""
        while not stop.is_set():
            try:
                async with await AsyncConnection.connect(
                    self._url, autocommit=True, connect_timeout=5, options=OPTIONS
                ) as connection:
                    await connection.execute(f"LISTEN {CHANNEL}")
                    async for _ in connection.notifies():
                        self._poke.set()
            except psycopg.Error:
                await asyncio.sleep(IDLE_S)
