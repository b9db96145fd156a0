"""Merchants' servers and their customers in a hostile run: over HTTP, with keys, until answered."""

import asyncio
import random
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Final, Literal
from urllib.parse import urlsplit

import httpx
import msgspec
import psycopg

from adapters.migrations import OPTIONS

Kind = Literal["card", "bank", "rupees", "manual", "declined"]

SHARES: Final[dict[Kind, int]] = {"card": 50, "bank": 12, "rupees": 23, "manual": 8, "declined": 7}
"""How often each kind of order comes, of a hundred."""
BAD: Final = ("pm_card_chargeDeclinedLostCard", "pm_card_visa_chargeDeclinedInsufficientFunds")
AT_ONCE: Final = 24
TRIES_MAX: Final = 200
PAUSE_S: Final = 0.3
ACT_AGAIN_S: Final = 4.0
REFUNDED: Final = 0.15
CANCELLED: Final = 0.5
FAILS_FIRST: Final = 0.3


@dataclass
class Sold:
    """One order as the merchant knows it; `goal` is what follows once it is authorized."""

    kind: Kind
    amount: int
    goal: Literal["", "capture", "cancel", "refund"] = ""

    @property
    def good(self) -> bool:
        """Whether it has a good card and is to be captured."""
        return self.kind != "declined" and self.goal != "cancel"


@dataclass
class Buyers:
    """Makes orders at a steady rate and plays the customers; runs in a thread of its own."""

    url: str
    api_key: str
    sandbox_url: str
    database_url: str
    seed: int
    orders: int
    seconds: float
    sold: dict[str, Sold] = field(default_factory=dict)
    odd: Counter[str] = field(default_factory=Counter)
    ended: bool = False
    _acted: dict[str, float] = field(default_factory=dict)
    _done: set[str] = field(default_factory=set)

    def run(self) -> None:
        """Sell everything, then serve customers until `ended`."""
        asyncio.run(self._run())

    async def _run(self) -> None:
        headers = {"X-API-Key": self.api_key}
        limits = httpx.Limits(max_connections=AT_ONCE * 2)
        async with (
            httpx.AsyncClient(
                base_url=self.url, headers=headers, timeout=30, limits=limits, trust_env=False
            ) as self._shop,
            httpx.AsyncClient(timeout=30, trust_env=False) as self._browser,
            await psycopg.AsyncConnection.connect(
                self.database_url, autocommit=True, options=OPTIONS
            ) as self._db,
            asyncio.TaskGroup() as tasks,
        ):
            tasks.create_task(self._sell_all())
            while not self.ended:
                await self._serve_customers()
                await self._follow_up()
                await asyncio.sleep(PAUSE_S)

    async def _sell_all(self) -> None:
        slots = asyncio.Semaphore(AT_ONCE)
        loop = asyncio.get_running_loop()
        began = loop.time()
        async with asyncio.TaskGroup() as tasks:
            for number in range(self.orders):
                late = began + number * self.seconds / self.orders - loop.time()
                await asyncio.sleep(max(0.0, late))
                await slots.acquire()
                task = tasks.create_task(self._sell(number))
                task.add_done_callback(lambda _: slots.release())

    async def _sell(self, number: int) -> None:
        """Create one order and pay it; what it is depends on seed and number alone."""
        dice = random.Random(f"{self.seed} {number}")
        (kind,) = dice.choices([*SHARES], [*SHARES.values()])
        amount = 10_000 * dice.randrange(1, 50) + dice.randrange(1000, 2000)
        asked: dict[str, Any] = {
            "amount": amount,
            "currency": "INR" if kind == "rupees" else dice.choice(["USD", "EUR", "USD"]),
            "externalId": f"cart-{self.seed}-{number}",
            "captureMethod": "manual" if kind == "manual" else "automatic",
        }
        order = await self._ask(f"make-{number}", "/v1/orders", asked)
        sold = Sold(kind, amount, _goal(kind, dice))
        self.sold[order["id"]] = sold
        token = {"bank": "pm_card_threeDSecure2Required", "declined": dice.choice(BAD)}
        method: dict[str, Any] = {"type": "card"}
        if kind != "rupees":
            method["token"] = token.get(kind, "pm_card_visa")
        pay: dict[str, Any] = {"paymentMethod": method}
        if dice.random() < 0.5:
            pay["returnUrl"] = "https://shop.test/back"
        await self._ask(f"pay-{number}", f"/v1/orders/{order['id']}/pay", pay)

    async def _ask(self, key: str, path: str, body: dict[str, Any]) -> Any:
        """Ask with one key until there is an answer that is no 5xx."""
        headers = {"Idempotency-Key": f"{self.seed}-{key}", "Prefer": "wait=0"}
        for _ in range(TRIES_MAX):
            try:
                answer = await self._shop.post(path, json=body, headers=headers)
            except httpx.TransportError:
                await asyncio.sleep(PAUSE_S)
                continue
            code = answer.json().get("code") if answer.is_error else ""
            if answer.is_success:
                return answer.json()
            self.odd[f"{path.rpartition('/')[2]} {answer.status_code} {code}"] += 1
            if answer.is_server_error or answer.status_code in {409, 429} or code == "no_processor":
                await asyncio.sleep(PAUSE_S)
                continue
            return answer.json()
        raise AssertionError(f"{path} is answered sooner or later")

    async def _serve_customers(self) -> None:
        """Let every customer act who is asked to, and again after a while if it came to nothing."""
        rows = await self._db.execute(
            "SELECT DISTINCT order_id FROM due WHERE operation IN ('challenge', 'expire_session')"
        )
        now = asyncio.get_running_loop().time()
        asked = [row[0] for row in await rows.fetchall() if row[0] in self.sold]
        due = [one for one in asked if now > self._acted.get(one, -ACT_AGAIN_S) + ACT_AGAIN_S]
        slots = asyncio.Semaphore(AT_ONCE)

        async def one(order_id: str) -> None:
            again = order_id in self._acted
            self._acted[order_id] = now
            async with slots:
                try:
                    await self._act(order_id, again=again)
                except httpx.TransportError as error:
                    self.odd[f"customer {type(error).__name__}"] += 1

        await asyncio.gather(*(one(order_id) for order_id in due))

    async def _act(self, order_id: str, *, again: bool) -> None:
        order = (await self._shop.get(f"/v1/orders/{order_id}")).json()
        action = order.get("nextAction") or {}
        if order.get("status") == "pending" and again:
            await self._pay_again(order_id)
        match action.get("type"):
            case "razorpay_checkout":
                path = f"/checkout/{action['orderId']}/pay"
                fails = not again and random.Random(order_id).random() < FAILS_FIRST
                await self._press(path, outcome="card_declined" if fails else "success")
            case "redirect":
                parts = urlsplit(action["redirectUrl"])
                await self._press(f"{parts.path}/approve")
            case "collect_payment_method":
                await self._pay_again(order_id)
            case None:
                pass
            case other:
                self.odd[f"next action {other}"] += 1

    async def _pay_again(self, order_id: str) -> None:
        """The customer is back at the shop, and takes the same card once more."""
        method = {"type": "card", "token": "pm_card_visa"}
        key = f"again-{order_id}-{self._acted[order_id]:.0f}"
        await self._ask(key, f"/v1/orders/{order_id}/pay", {"paymentMethod": method})

    async def _press(self, path: str, **fields: str) -> None:
        pressed = await self._browser.post(self.sandbox_url + path, data=fields)
        if pressed.is_client_error:
            self.odd[f"page {pressed.status_code}"] += 1

    async def _follow_up(self) -> None:
        """Capture, cancel or refund what has come so far; one each round for each order."""
        waiting = [one for one, sold in self.sold.items() if sold.goal and one not in self._done]
        rows = await self._db.execute(
            "SELECT order_id, status FROM orders WHERE order_id = ANY(%s)"
            " AND status IN ('authorized', 'captured')",
            [waiting],
        )
        for order_id, status in await rows.fetchall():
            sold = self.sold[order_id]
            if (sold.goal == "refund") != (status == "captured"):
                continue
            self._done.add(order_id)
            body = {"amount": sold.amount // 3} if sold.goal == "refund" else {}
            await self._ask(f"{sold.goal}-{order_id}", f"/v1/orders/{order_id}/{sold.goal}", body)


def _goal(kind: Kind, dice: random.Random) -> Literal["", "capture", "cancel", "refund"]:
    if kind == "manual":
        return "cancel" if dice.random() < CANCELLED else "capture"
    return "refund" if kind != "declined" and dice.random() < REFUNDED else ""


def told(buyers: Buyers) -> bytes:
    """Return what was sold, to be read by who looks into a broken run."""
    return msgspec.json.encode(buyers.sold)
