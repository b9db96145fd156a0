"""Deliveries and public events for the HTTP edge, from Postgres and the log."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec
import psycopg
from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

from adapters import delivery_lists
from adapters.delivery_lists import Delivery, DeliveryStatus, Narrowed
from adapters.event_bodies import Wanted, event_bodies
from adapters.once import keep, once
from commands.caller import Caller, Idempotency
from commands.ports import Ports
from commands.read_endpoint import read_endpoint
from domain.endpoints import Endpoint
from domain.errors import NotFound, Unavailable
from domain.metadata import Mode
from gateway.deps import Recovered, SentAgain

CONNECT_S = 2.0


@dataclass(frozen=True)
class PostgresWebhooks:
    """See `gateway.deps.Webhooks`; every method raises `Unavailable` without a database."""

    pool: AsyncConnectionPool
    ports: Ports

    async def events(
        self, merchant_id: str, mode: Mode, *, after: str | None, limit: int
    ) -> tuple[list[bytes], str | None]:
        """Return the bodies of events behind one, and the id to go on behind, if there are more.

        Raises:
            NotFound: `after` is none of the merchant's events.
        """
        async with self._connected() as db:
            position = 0
            if after is not None:
                found = await delivery_lists.position_of(db, merchant_id, mode, after)
                if found is None:
                    raise NotFound("not_found", "There is no such event.")
                position = found
            rows = await delivery_lists.events_after(
                db, merchant_id, mode, after=position, limit=limit + 1
            )
        kept = rows[:limit]
        wanted = [
            Wanted(
                stream_id=row.stream_id, version=row.version, type=row.type, sequence=row.sequence
            )
            for row in kept
        ]
        bodies = await event_bodies(self.ports, wanted)
        return bodies, kept[-1].event_id if len(rows) > limit else None

    async def deliveries(
        self,
        merchant_id: str,
        endpoint: Endpoint,
        *,
        status: DeliveryStatus | None,
        after: str | None,
        before: str | None,
        limit: int,
    ) -> tuple[list[Delivery], bool]:
        """Return a page of an endpoint's deliveries, newest first, and whether there are more.

        Raises:
            NotFound: `after` or `before` is none of the merchant's deliveries.
        """
        async with self._connected() as db:
            rows = await delivery_lists.of_endpoint(
                db,
                endpoint.id,
                status=status,
                after=await self._place(db, merchant_id, after),
                before=await self._place(db, merchant_id, before),
                limit=limit + 1,
            )
        kept = rows[:limit]
        newer_first = before is None or after is not None
        return (kept if newer_first else kept[::-1]), len(rows) > limit

    async def numbered(
        self,
        merchant_id: str,
        mode: Mode,
        *,
        status: DeliveryStatus | None,
        limit: int,
        offset: int,
    ) -> tuple[list[Delivery], int]:
        """Return a numbered page of a merchant's deliveries, and how many there are."""
        narrowed = Narrowed(merchant_id=merchant_id, mode=mode, status=status)
        async with self._connected() as db:
            return await delivery_lists.numbered(db, narrowed, limit=limit, offset=offset)

    async def send_again(
        self,
        caller: Caller,
        mode: Mode,
        delivery_id: str,
        idempotency: Idempotency | None,
        *,
        endpoint_id: str | None = None,
    ) -> SentAgain:
        """Send a delivery again, now; once per idempotency key, and the answer is kept.

        Raises:
            Conflict: `idempotency_in_progress`.
            NotFound: the merchant has no such delivery, or not to this endpoint.
            Rejected: `idempotency_key_reused`, `endpoint_disabled`.
        """
        async with self._connected() as db, once(db, idempotency) as answered:
            if answered is not None:
                before = msgspec.json.decode(answered, type=Delivery)
                return SentAgain(delivery=before, replayed=True)
            found = await delivery_lists.find(db, caller.merchant_id, mode, delivery_id)
            if found is None or endpoint_id not in {None, found.endpoint_id}:
                raise _no_delivery()
            endpoint = await read_endpoint(self.ports, caller, found.endpoint_id)
            endpoint.refuse_disabled()
            async with db.transaction():
                await delivery_lists.send_again(db, delivery_id)
                again = await delivery_lists.find(db, caller.merchant_id, mode, delivery_id)
                if again is None:
                    raise _no_delivery()
                text = msgspec.json.encode(again).decode()
                await keep(db, idempotency, caller.merchant_id, text)
        return SentAgain(delivery=again)

    async def recover(
        self,
        caller: Caller,
        endpoint: Endpoint,
        idempotency: Idempotency | None,
        *,
        since: datetime,
        until: datetime | None,
    ) -> Recovered:
        """Send what an endpoint has not got of a time; once per idempotency key.

        Raises:
            Conflict: `idempotency_in_progress`.
            Rejected: `idempotency_key_reused`, `endpoint_disabled`.
        """
        async with self._connected() as db, once(db, idempotency) as answered:
            if answered is not None:
                return Recovered(scheduled=int(answered), replayed=True)
            endpoint.refuse_disabled()
            scheduled = await delivery_lists.recover(
                db,
                caller.merchant_id,
                endpoint,
                since=since,
                until=until,
                done=lambda count: keep(db, idempotency, caller.merchant_id, str(count)),
            )
        return Recovered(scheduled=scheduled)

    async def _place(
        self, db: AsyncConnection[Any], merchant_id: str, delivery_id: str | None
    ) -> int | None:
        if delivery_id is None:
            return None
        found = await delivery_lists.find(db, merchant_id, None, delivery_id)
        if found is None:
            raise _no_delivery()
        return found.position

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[AsyncConnection[Any]]:
        try:
            async with self.pool.connection(timeout=CONNECT_S) as db:
                yield db
        except psycopg.errors.UndefinedTable:
            raise Unavailable("database_unavailable", "The read model is being made.") from None
        except psycopg.OperationalError:
            raise Unavailable("database_unavailable", "The list cannot be read now.") from None


def _no_delivery() -> NotFound:
    return NotFound("not_found", "There is no such delivery.")
