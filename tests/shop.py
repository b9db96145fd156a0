"""A merchant's view of Loop: commands in, state out."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from adapters.sandbox.books import OrderBook
from adapters.wiring import Application
from commands.caller import Caller
from commands.cancel_order import cancel_order
from commands.capture_order import capture_order
from commands.confirm_order import confirm_order
from commands.create_order import NewOrder, create_order
from commands.execute import load_order
from commands.pay_order import PayOrder, pay_order
from commands.refund_order import refund_order
from domain.order.state import Order

DEADLINE_S = 90.0


@dataclass
class Shop:
    """A merchant's view of Loop: commands in, state out."""

    app: Application
    caller: Caller

    async def order(
        self,
        token: str | None = "sbx_approve",  # noqa: S107 - a test token
        *,
        wait_s: float = 10,
        **fields: object,
    ) -> Order:
        """Create an order and pay it with a token, waiting for the outcome."""
        request = NewOrder(**({"amount_minor": 1000, "currency": "USD"} | fields))  # type: ignore[arg-type]
        done = await create_order(self.app.ports, self.caller, request, None)
        paid = await pay_order(
            self.app.ports, self.caller, done.order.id, PayOrder(token=token), None, wait_s=wait_s
        )
        return paid.order

    async def created(self, **fields: object) -> Order:
        """Create an order and do not pay it."""
        request = NewOrder(**({"amount_minor": 1000, "currency": "USD"} | fields))  # type: ignore[arg-type]
        return (await create_order(self.app.ports, self.caller, request, None)).order

    async def pay(self, order: Order, token: str | None, *, wait_s: float = 0) -> Order:
        """Pay an order again."""
        request = PayOrder(token=token)
        done = await pay_order(self.app.ports, self.caller, order.id, request, None, wait_s=wait_s)
        return done.order

    async def read(self, order_id: str) -> Order:
        """Return the order as its stream says now."""
        return await load_order(self.app.ports, self.caller, order_id)

    async def until(self, order_id: str, settled: Callable[[Order], bool]) -> Order:
        """Return the order once the condition holds; fail after the deadline."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + DEADLINE_S
        with self.app.ports.watch.order(order_id) as changed:
            while True:
                order = await load_order(self.app.ports, self.caller, order_id)
                if settled(order):
                    return order
                assert loop.time() < deadline, f"{order_id} is still {order.status}: {order}"
                await changed(0.2)

    @property
    def events(self) -> Callable[[str], "asyncio.Future[list[str]]"]:
        """Return the tags of an order's events, without the prefix and version."""

        async def tags(order_id: str) -> list[str]:
            rows = (await self.app.ports.store.load([order_id]))[order_id]
            return [
                str(row.data.__struct_config__.tag).removeprefix("order.").removesuffix(".v1")
                for row in rows
            ]

        return lambda order_id: asyncio.ensure_future(tags(order_id))

    def book(self, order_id: str) -> OrderBook:
        """Return what the bank has for an order, in its own books."""
        books = self.app.sandbox.bank.books()
        assert books.violations == ()
        return books.orders[order_id]

    async def capture(
        self, order: Order, amount: int | None = None, *, final: bool = True
    ) -> Order:
        """Capture, waiting for the outcome."""
        done = await capture_order(
            self.app.ports,
            self.caller,
            order.id,
            amount_minor=amount,
            final=final,
            idempotency=None,
        )
        return done.order

    async def cancel(self, order: Order, *, wait_s: float = 10) -> Order:
        """Cancel, waiting for the outcome."""
        done = await cancel_order(
            self.app.ports, self.caller, order.id, reason="why", idempotency=None, wait_s=wait_s
        )
        return done.order

    async def refund(self, order: Order, amount: int | None = None) -> str:
        """Ask for a refund; return its id."""
        done = await refund_order(
            self.app.ports,
            self.caller,
            order.id,
            amount_minor=amount,
            reason=None,
            idempotency=None,
        )
        assert done.subject is not None
        return done.subject

    async def confirm(self, order: Order, *, wait_s: float = 10) -> Order:
        """Say that the customer is done."""
        return (await confirm_order(self.app.ports, self.caller, order.id, wait_s=wait_s)).order
