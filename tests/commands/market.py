"""A shop at both vendors: real SDKs over HTTP to the sandbox server, the saga run by hand."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from msgspec.structs import replace

from adapters.wiring import Application
from commands.configure_processor import ProcessorAccount, configure_processor
from commands.ports import DueRow
from commands.processor import Credentials
from commands.sagas.payment import PaymentSaga
from domain.order.state import Order
from tests.sandbox_server import SandboxServer
from tests.shop import Shop

CALL_LIMIT_S = 1.5
ROUNDS_MAX = 16


@dataclass
class Market:
    """`now_s` is how far the test's clock is ahead of the real one; the sandbox's goes with it.

    `call_limit_s`: in seconds, another limit of a call than everybody's.
    """

    shop: Shop
    server: SandboxServer
    now_s: float = 0
    key: str = ""
    call_limit_s: float | None = None

    @property
    def app(self) -> Application:
        return self.shop.app

    async def configure(self, key: str, *, webhook_secret: str | None = None) -> None:
        """Set both vendors' accounts, each named by the key."""
        self.key = key
        signed = {"webhook_secret": webhook_secret} if webhook_secret else {}
        stripe = {"secret_key": f"sk_test_{key}", "publishable_key": "pk_test_1"} | signed
        razorpay = {"key_id": f"rzp_test_{key}", "key_secret": "secret"} | signed
        for name, values in (("stripe", stripe), ("razorpay", razorpay)):
            account = ProcessorAccount(processor=name, credentials=Credentials(values))
            await configure_processor(self.app.ports, self.shop.caller, account)

    async def order(self, token: str | None, amount: int, currency: str = "USD") -> Order:
        return await self.shop.order(token, wait_s=0, amount_minor=amount, currency=currency)

    def later(self, span: timedelta) -> None:
        self.server.advance(span.total_seconds())
        self.now_s += span.total_seconds()

    async def look_at(self, order: Order) -> Order:
        """Record what a lookup of the last attempt shows, as a hint would make a worker do."""
        assert order.live is not None
        limit_s = self.call_limit_s or CALL_LIMIT_S
        saga = PaymentSaga(self.app.ports, worker=self.app.due.worker, call_limit_s=limit_s)
        await saga.look_at(order.id, order.live.id)
        return await self.shop.read(order.id)

    async def round(self, orders: Iterable[Order]) -> list[Order]:
        """Make everything due of these orders, act on each step until none is left at once."""
        ports = replace(
            self.app.ports, now=lambda: datetime.now(UTC) + timedelta(seconds=self.now_s)
        )
        due = self.app.due
        limit_s = self.call_limit_s or CALL_LIMIT_S
        saga = PaymentSaga(ports, worker=due.worker, call_limit_s=limit_s)
        now = [await self.shop.read(order.id) for order in orders]
        for order in now:
            parts = (*order.attempts, *order.captures, *order.refunds)
            subjects = [*(part.id for part in parts), *(s.payment_id for s in order.strays)]
            for subject in subjects:
                await due.hint(order.id, subject)
        rows: list[DueRow] = await due.claim(limit=200)
        await asyncio.gather(*(saga.act(row) for row in rows))
        return [await self.shop.read(order.id) for order in now]

    async def settle(self, orders: Iterable[Order], *, rounds: int = ROUNDS_MAX) -> list[Order]:
        """Act round by round, five seconds apart on the sandbox's clock, until nothing is open."""
        found = list(orders)
        for _ in range(rounds):
            found = await self.round(found)
            if all(is_settled(order) for order in found):
                break
            self.later(timedelta(seconds=5))
        return found

    def book(self, order: Order) -> Any:
        """What the sandbox's own books have for an order; there is no violation anywhere."""
        books = self.server.books()
        assert books["violations"] == []
        blank = dict.fromkeys(("authorized", "held", "captured", "refunded", "disputed"), 0)
        return books["orders"].get(order.id, blank | {"payments": []})

    def pay(self, order: Order, outcome: str = "success") -> None:
        """The customer pays at Razorpay's checkout."""
        assert order.live is not None
        self.server.page("POST", f"/checkout/{order.live.reference}/pay", outcome=outcome)

    def authenticate(self, order: Order, deed: str = "approve") -> None:
        """The customer answers Stripe's 3-D Secure page."""
        assert order.live is not None
        self.server.page("POST", f"/3ds/{order.live.reference}/{deed}")


def is_settled(order: Order) -> bool:
    waits = order.status in {"processing", "authorized"} or order.pending_capture is not None
    return not waits and all(r.status in {"succeeded", "failed"} for r in order.refunds)
