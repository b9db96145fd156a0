"""Plays the orders of `loop demo` over HTTP, as a merchant's server and a customer's browser."""

import asyncio
import time
from typing import Any, Final
from uuid import uuid4

import httpx
import msgspec

from gateway.verbs.demo_steps import (
    VISA,
    AnyStep,
    Ask,
    Captured,
    Customer,
    PayTwiceAtOnce,
    SameExternalIdAgain,
    SameOrderAgain,
    Scenario,
)

END_S: Final = 90.0
"""How long an order may take to come to its end."""
LOOK_S: Final = 0.1
AT_ONCE: Final = 8
RUSH: Final = 100
RUSH_AT_ONCE: Final = 24
UNPAID: Final = {"failed", "cancelled", "expired"}


class Unexpected(Exception):
    """An answer that is not what the scenario says; the message has both."""


class Played(msgspec.Struct, kw_only=True):
    """One order as it is played; `differs` says how it is not as expected, None while it runs."""

    scenario: Scenario
    order: dict[str, Any] = {}
    doing: str = "waiting"
    differs: str | None = None

    @property
    def ok(self) -> bool:
        """Whether it has ended as expected."""
        return self.differs == ""


class Rush(msgspec.Struct, frozen=True, kw_only=True):
    """Many plain orders at once: created, paid, captured."""

    order_ids: tuple[str, ...]
    failed: int
    seconds: float


class Player:
    """A merchant with an API key; `latencies_s` are of all requests that do not wait."""

    def __init__(self, url: str, sandbox_url: str, api_key: str) -> None:
        self._sandbox_url = sandbox_url
        limits = httpx.Limits(max_connections=64)
        self._http = httpx.AsyncClient(
            base_url=url, headers={"X-API-Key": api_key}, timeout=30, limits=limits
        )
        self.latencies_s: list[float] = []

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def play_all(self, orders: list[Played]) -> None:
        """Play all orders, some at a time; those that crash the worker when the rest has ended."""
        slots = asyncio.Semaphore(AT_ONCE)

        async def one(played: Played) -> None:
            async with slots:
                await self._play(played)

        await asyncio.gather(*(one(p) for p in orders if not p.scenario.crashes))
        await asyncio.gather(*(one(p) for p in orders if p.scenario.crashes))

    async def _play(self, played: Played) -> None:
        try:
            await self._create(played)
            for step in played.scenario.steps:
                await self._do(played, step)
            await self._until(played, played.scenario.ends)
            played.differs = await self._settled(played)
        except Unexpected as error:
            played.differs = str(error)
        except httpx.HTTPError as error:
            played.differs = f"{type(error).__name__} {error}"
        played.doing = ""

    async def _create(self, played: Played) -> None:
        played.doing = "create"
        scenario = played.scenario
        body = {
            "amount": scenario.amount,
            "currency": scenario.currency,
            "externalId": f"demo-{uuid4().hex[:8]}",
            "customerEmail": "ada@example.com",
            "description": scenario.name,
            "captureMethod": "manual" if scenario.manual else "automatic",
        }
        key = str(uuid4())
        answer = await self._post("/v1/orders", body, key=key)
        _expect(answer, 201)
        played.order = answer.json()
        if SameOrderAgain() in scenario.steps:
            again = await self._post("/v1/orders", body, key=key)
            _expect(again, 201)
            same = again.json()["id"] == played.order["id"]
            if not same or again.headers.get("Idempotent-Replayed") != "true":
                raise Unexpected("the repetition was not answered with the same order")
        if SameExternalIdAgain() in scenario.steps:
            again = await self._post("/v1/orders", body, key=str(uuid4()))
            _expect(again, 409, "external_id_exists")
            if again.json()["orderId"] != played.order["id"]:
                raise Unexpected("the refusal names another order")

    async def _do(self, played: Played, step: AnyStep) -> None:
        match step:
            case Ask():
                played.doing = step.verb
                path = f"/v1/orders/{played.order['id']}/{step.verb}"
                answer = await self._post(path, step.body, key=str(uuid4()))
                _expect(answer, step.answers, step.code)
                await self._until(played, step.becomes)
            case Customer():
                played.doing = f"customer: {step.presses}"
                await self._press(played.order["nextAction"], step.presses)
                await self._until(played, step.becomes)
            case Captured():
                await self._until_captured(played, step.minor)
            case PayTwiceAtOnce():
                played.doing = "pay, twice"
                path = f"/v1/orders/{played.order['id']}/pay"
                body = {"paymentMethod": {"type": "card", "token": step.token}}
                both = await asyncio.gather(*(self._post(path, body) for _ in range(2)))
                answers = sorted(answer.status_code for answer in both)
                if answers != [200, 422]:
                    raise Unexpected(f"two pays at once were answered {answers}, not 200 and 422")
            case SameOrderAgain() | SameExternalIdAgain():
                pass  # done with the creation

    async def _press(self, action: dict[str, Any], button: str) -> None:
        """Do what the customer does on the page that the order names."""
        if action["type"] == "razorpay_checkout":
            page = f"{self._sandbox_url}/checkout/{action['orderId']}/pay"
            outcome = "success" if button == "approve" else "card_declined"
            pressed = await self._http.post(page, data={"outcome": outcome})
            refused = pressed.status_code == httpx.codes.BAD_REQUEST and button == "fail"
        else:
            page = action["redirectUrl"].partition("?")[0]
            pressed = await self._http.post(f"{page}/{button}")
            refused = False
        if pressed.is_error and not refused:
            raise Unexpected(f"the bank's page answered {pressed.status_code}")

    async def _until(self, played: Played, status: str | None) -> None:
        """Read the order until it has the status; give up when it has ended with another."""
        deadline = time.monotonic() + END_S
        while True:
            await self._read(played)
            now = played.order["status"]
            if status is None or now == status:
                return
            if now in UNPAID:
                raise Unexpected(f"ended as {now}, expected {status}")
            if time.monotonic() > deadline:
                raise Unexpected(f"still {now} after {END_S:.0f} s, expected {status}")
            await asyncio.sleep(LOOK_S)

    async def _until_captured(self, played: Played, minor: int) -> None:
        deadline = time.monotonic() + END_S
        while played.order["amountCaptured"] != minor:
            if time.monotonic() > deadline:
                raise Unexpected(f"captured {played.order['amountCaptured']}, expected {minor}")
            await asyncio.sleep(LOOK_S)
            await self._read(played)

    async def _settled(self, played: Played) -> str:
        """Wait for amounts that follow the status; return what still differs then."""
        deadline = time.monotonic() + END_S
        while (differs := differences(played)) and time.monotonic() < deadline:
            await asyncio.sleep(LOOK_S)
            await self._read(played)
        return differs

    async def _read(self, played: Played) -> None:
        started = time.perf_counter()
        answer = await self._http.get(f"/v1/orders/{played.order['id']}")
        self.latencies_s.append(time.perf_counter() - started)
        _expect(answer, 200)
        played.order = answer.json()

    async def _post(
        self, path: str, body: dict[str, Any], *, key: str | None = None
    ) -> httpx.Response:
        started = time.perf_counter()
        headers = {"Idempotency-Key": key} if key else {}
        answer = await self._http.post(path, json=body, headers=headers)
        if path == "/v1/orders":
            self.latencies_s.append(time.perf_counter() - started)
        return answer

    async def rush(self) -> Rush:
        """Create and pay `RUSH` orders, `RUSH_AT_ONCE` at a time."""
        slots = asyncio.Semaphore(RUSH_AT_ONCE)
        ids: list[str] = []
        started = time.monotonic()
        done = await asyncio.gather(*(self._rush_one(slots, ids) for _ in range(RUSH)))
        seconds = time.monotonic() - started
        return Rush(order_ids=tuple(ids), failed=done.count(False), seconds=seconds)

    async def _rush_one(self, slots: asyncio.Semaphore, ids: list[str]) -> bool:
        scenario = Scenario(name="rush", steps=(), ends="captured", amount=1000)
        played = Played(scenario=scenario)
        async with slots:
            try:
                await self._create(played)
                ids.append(played.order["id"])
                path = f"/v1/orders/{played.order['id']}/pay"
                method = {"type": "card", "token": VISA}
                paid = await self._post(path, {"paymentMethod": method})
                if paid.is_success and paid.json()["status"] == "captured":
                    return True
                await self._until(played, "captured")
            except (Unexpected, httpx.HTTPError):
                return False
        return True


def _expect(answer: httpx.Response, status: int, code: str | None = None) -> None:
    got = answer.json().get("code") if answer.is_error else None
    if answer.status_code != status or got != code:
        path = answer.request.url.path.rpartition("/")[2]
        expected = f"{status} {code or ''}".strip()
        raise Unexpected(f"{path} answered {answer.status_code} {got or ''}, expected {expected}")


def differences(played: Played) -> str:
    """Return in what the order is not as its scenario says; empty when it is."""
    order, scenario = played.order, played.scenario
    failure = (order["failure"] or {}).get("code")
    pairs = (
        ("captured", order["amountCaptured"], scenario.captured_minor),
        ("refunded", order["amountRefunded"], scenario.refunded),
        ("failure", failure, scenario.failure),
    )
    return "; ".join(f"{n} {got}, expected {want}" for n, got, want in pairs if got != want)
