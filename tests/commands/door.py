"""The door that processors knock at: our HTTP gateway, hearing the sandbox's signed webhooks."""

import asyncio
import hashlib
import hmac
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import msgspec
from msgspec.structs import replace

from adapters.inbox_worker import InboxWorker
from adapters.wiring import Application
from commands.sagas.payment import PaymentSaga
from gateway.app import create_app
from gateway.parts import deps_of_application
from gateway.server import serve
from tests.commands.market import CALL_LIMIT_S, Market
from tests.waiting import until

SECRET = "whsec_of_the_market"
DIALECTS = ("stripe", "razorpay")


@dataclass
class Door:
    """A gateway in front of the market's application; the inbox is worked on by hand."""

    market: Market
    url: str

    @property
    def app(self) -> Application:
        return self.market.app

    @property
    def merchant_id(self) -> str:
        return self.market.shop.caller.merchant_id

    async def open(self, secret: str = SECRET) -> None:
        """Configure the secret, and have both vendors send their webhooks to this merchant."""
        await self.market.configure(self.market.key, webhook_secret=secret)
        for dialect in DIALECTS:
            await self.control(
                "webhooks", dialect=dialect, url=f"{self.url}/webhooks/{dialect}", secret=secret
            )
        await self.control("options", webhooks_in_real_time=True)

    async def control(self, path: str, **asked: Any) -> Any:
        """Ask the sandbox's control plane while we can be knocked at."""
        return await asyncio.to_thread(self.market.server.control, "POST", path, **asked)

    async def log(self) -> list[Any]:
        found = await asyncio.to_thread(self.market.server.control, "GET", "webhooks")
        return list(found["log"])

    async def answers(self) -> list[tuple[int, str]]:
        """Wait until whatever is due has been delivered; return our answers, none of them a 5xx."""
        found: list[Any] = []

        async def delivered() -> bool:
            found[:] = await self.log()
            now = (await asyncio.to_thread(self.market.server.control, "GET", "clock"))["now"]
            return not any(row["state"] == "pending" and row["due"] <= now for row in found)

        await until(delivered, 60)
        answers = [(one["status"], one["note"]) for row in found for one in row["attempts"]]
        assert all(status in {200, 400} for status, _ in answers), answers
        return answers

    def worker(self) -> InboxWorker:
        ports = self.app.ports
        saga = PaymentSaga(ports, worker=self.app.due.worker, call_limit_s=CALL_LIMIT_S)
        return InboxWorker(ports, self.app.inbox, saga.look_at, "")

    async def apply(self) -> None:
        """Hear what is to be heard, and apply it."""
        await self.answers()
        while await self.worker().once():
            pass

    async def later(self) -> None:
        """Make everything in the inbox due that is parked, and apply it."""
        async with self.app.pool.connection() as db:
            await db.execute("UPDATE inbox SET due_at = clock_timestamp() WHERE due_at IS NOT NULL")
        await self.apply()

    async def rows(self) -> list[tuple[str, str, str | None]]:
        """Return kind, state and reason of every row, in the order of arrival."""
        async with self.app.pool.connection() as db:
            found = await db.execute("SELECT kind, state, reason FROM inbox ORDER BY id")
            return [(row[0], row[1], row[2]) for row in await found.fetchall()]

    async def states(self) -> set[str]:
        return {state for _, state, _ in await self.rows()}

    async def post(
        self, dialect: str, body: bytes, headers: dict[str, str], merchant_id: str | None = None
    ) -> httpx.Response:
        path = f"/webhooks/{dialect}" + (f"/{merchant_id}" if merchant_id else "")
        async with httpx.AsyncClient(base_url=self.url, trust_env=False, timeout=90) as client:
            return await client.post(path, content=body, headers=headers)


def stripe_headers(body: bytes, secret: str, at: float | None = None) -> dict[str, str]:
    stamp = int(time.time() if at is None else at)
    mark = hmac.new(secret.encode(), f"{stamp}.".encode() + body, hashlib.sha256).hexdigest()
    return {"stripe-signature": f"t={stamp},v1={mark}"}


def razorpay_headers(body: bytes, secret: str, event_id: str = "evt_1") -> dict[str, str]:
    mark = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    return {"x-razorpay-signature": mark, "x-razorpay-event-id": event_id}


def stripe_event(kind: str, reference: str, *, event_id: str = "evt_forged", **ours: Any) -> bytes:
    """Write what Stripe would write about a PaymentIntent."""
    thing = {
        "id": reference, "object": "payment_intent", "amount": 1, "amount_received": 99_999,
        "currency": "usd", "status": "succeeded", "metadata": ours,
    }  # fmt: skip
    return msgspec.json.encode(
        {"id": event_id, "object": "event", "type": kind, "data": {"object": thing}}
    )


@asynccontextmanager
async def door_of(market: Market) -> AsyncIterator[Door]:
    """Serve the market's application on a free port, with the market's clock."""
    ports = replace(
        market.app.ports, now=lambda: datetime.now(UTC) + timedelta(seconds=market.now_s)
    )
    http = create_app(replace(deps_of_application(market.app), ports=ports))
    stop = asyncio.Event()
    port: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    serving = asyncio.create_task(serve(http, "127.0.0.1", 0, stop, ready=port.set_result))
    try:
        yield Door(market, f"http://127.0.0.1:{await port}")
    finally:
        stop.set()
        await serving
