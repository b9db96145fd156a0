"""What a forked process of a storm runs: a writer, or `loop work --only ROLE` as it is."""

import asyncio
import json
import os
import random
from collections.abc import Callable, Coroutine
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from adapters import worker  # noqa: F401 - imported before the fork
from adapters.settings import Settings, load_settings
from adapters.wiring import Application
from commands.caller import Caller, Idempotency
from commands.cancel_order import cancel_order
from commands.capture_order import capture_order
from commands.create_order import NewOrder, create_order
from commands.pay_order import PayOrder, pay_order
from commands.refund_order import refund_order
from domain.errors import Conflict, Rejected, Unavailable
from domain.ids import new_id
from domain.metadata import Actor
from domain.order.state import Order
from gateway.verbs import common
from gateway.verbs.serve import _serve
from gateway.verbs.work import _work
from tests.chaos.sections import Sections, acknowledge, mark

GOOD: Final = ("sbx_approve",) * 4 + ("sbx_error_after", "sbx_capture_error_after", "sbx_pending")
BAD: Final = ("sbx_decline", "sbx_decline_lost_card")
CUSTOMERS: Final = 8
TRIES_MAX: Final = 100

Say = Callable[[str], None]

WHOLE: Final[dict[str, Callable[[Settings], Coroutine[Any, Any, None]]]] = {
    "gateway": lambda settings: _serve(settings, share_port=False),
    "worker": lambda settings: _work(settings, ()),
}
"""Processes as `loop up` runs them; the other roles are parts of one."""


def preload() -> None:
    """Import what a whole process needs sooner or later, before the forks."""
    for name in ("gateway.app", "gateway.parts", "gateway.server", "stripe", "razorpay", "httpx"):
        import_module(name)


def run_role(folder: Path, slot: int, role: str) -> None:
    """Be this role until told to end; settings stand in `folder/storm.json`."""
    storm: dict[str, Any] = json.loads((folder / "storm.json").read_text())
    os.environ.update(storm["environment"])
    if role in WHOLE:
        mark(Sections(folder / "sections"), slot)
        common.run(WHOLE[role](load_settings()))
        return
    say = acknowledge(folder / "acks")
    mark(Sections(folder / "sections"), slot)
    settings = load_settings()
    if role != "writer":
        common.run(_work(settings, (role,)))
        return
    caller = Caller(
        actor=Actor("operator", "storm"),
        merchant_id=storm["merchant"],
        mode="test",
        correlation_id="storm",
    )
    common.run(_write(settings, caller, storm["orders_per_s"], say))


async def _write(settings: Settings, caller: Caller, orders_per_s: float, say: Say) -> None:
    async def work(app: Application, stop: asyncio.Event) -> None:
        async with asyncio.TaskGroup() as tasks:
            for _ in range(CUSTOMERS):
                customer = Customer(app, caller, stop, say)
                tasks.create_task(customer.buy(CUSTOMERS / orders_per_s))

    await common.served(settings, "writer", work)


class Customer:
    """Asks as a merchant's server does: with keys, and again with the same key until answered."""

    def __init__(self, app: Application, caller: Caller, stop: asyncio.Event, say: Say) -> None:
        self._app = app
        self._caller = caller
        self._stop = stop
        self._say = say
        self._random = random.SystemRandom()

    async def buy(self, pause_s: float) -> None:
        """Make one order after the other until told to end."""
        before: Order | None = None
        while not self._stop.is_set():
            try:
                order = await self._order()
                if before is not None:
                    await self._change(before)
                before = order
            except (Conflict, Rejected) as error:
                if error.code != "invalid_status":
                    self._say(f"! {error!r} {error.code}")
            except Unavailable:
                pass  # Every try failed; the merchant gives up.
            except Exception as error:  # noqa: BLE001 - whatever it is, it is reported
                self._say(f"! {error!r}")
            await asyncio.sleep(pause_s * self._random.uniform(0.2, 1.8))

    async def _order(self) -> Order:
        request = NewOrder(
            amount_minor=self._random.randrange(100, 10_000),
            currency="USD",
            external_id=f"cart-{new_id('req')}",
            capture_method="manual" if self._random.random() < 0.1 else "automatic",
        )
        ports, caller = self._app.ports, self._caller
        order = await self._ask(lambda key: create_order(ports, caller, request, key))
        tokens = GOOD if self._random.random() < 0.85 else BAD
        pay = PayOrder(token=self._random.choice(tokens))
        await self._ask(lambda key: pay_order(ports, caller, order.id, pay, key, wait_s=0))
        return order

    async def _change(self, order: Order) -> None:
        """Capture or cancel a manual order; send a part of some others back."""
        ports, caller = self._app.ports, self._caller
        if order.capture_method == "automatic":
            if self._random.random() < 0.3:
                amount = order.amount.minor // 3
                await self._ask(
                    lambda key: refund_order(
                        ports, caller, order.id, amount_minor=amount, reason=None, idempotency=key
                    )
                )
        elif self._random.random() < 0.5:
            await self._ask(
                lambda key: capture_order(
                    ports, caller, order.id, amount_minor=None, final=True, idempotency=key
                )
            )
        else:
            await self._ask(
                lambda key: cancel_order(
                    ports, caller, order.id, reason="no", idempotency=key, wait_s=0
                )
            )

    async def _ask(self, command: Callable[[Idempotency], Any]) -> Order:
        """Ask with one key until there is an answer; `Unavailable` says nothing of the outcome."""
        key = Idempotency(key=new_id("req"), scope="storm", fingerprint=b"f" * 32)
        for tried in range(TRIES_MAX):
            try:
                return (await command(key)).order
            except Unavailable:
                if self._stop.is_set() or tried == TRIES_MAX - 1:
                    raise
                await asyncio.sleep(0.1)
        raise AssertionError("the last try returns or raises")
