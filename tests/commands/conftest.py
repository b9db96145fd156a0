"""A merchant, a worker and a shop: everything real, in one process."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from adapters.settings import Settings, load_settings
from adapters.wiring import Application, application
from adapters.worker import work
from commands.caller import Caller
from commands.register_merchant import register_merchant
from domain.ids import new_id
from domain.metadata import Actor
from tests.commands.door import Door, door_of
from tests.commands.market import Market
from tests.sandbox_server import SandboxServer, sandbox_server
from tests.shop import Shop


@pytest.fixture
def settings(database_url: str, nats_url: str, tmp_path: Path) -> Settings:
    return load_settings(
        {},
        home=str(tmp_path / "home"),
        database_url=database_url,
        nats_url=nats_url,
        master_keys=f"k1:{secrets.token_hex(32)}",
        sandbox_latency_s="0.001",
        lease_s="5",
        call_limit_s="1",
    )


@pytest.fixture
async def app(settings: Settings) -> AsyncIterator[Application]:
    settings.home.mkdir(parents=True, exist_ok=True)
    async with application(settings, name="test") as running:
        yield running


@pytest.fixture
async def register(app: Application) -> Callable[[], Awaitable[Caller]]:
    async def make() -> Caller:
        caller = Caller(
            actor=Actor("operator", "tests"), merchant_id="", mode="test", correlation_id="tests"
        )
        merchant = await register_merchant(app.ports, caller, name="Test shop")
        return Caller(
            actor=Actor("operator", "tests"),
            merchant_id=merchant.id,
            mode="test",
            correlation_id=new_id("req"),
        )

    return make


@pytest.fixture
async def shop(app: Application, register: Callable[[], Awaitable[Caller]]) -> AsyncIterator[Shop]:
    """A shop whose orders are driven by a worker; nobody fills read models."""
    caller = await register()
    stop = asyncio.Event()
    working = asyncio.create_task(work(app, stop, ("relay", "saga")))
    yield Shop(app, caller)
    stop.set()
    await asyncio.wait_for(working, 90)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxServer]:
    with sandbox_server(tmp_path_factory.mktemp("vendors")) as running:
        yield running


@pytest.fixture
async def market(settings: Settings, server: SandboxServer) -> AsyncIterator[Market]:
    server.control("POST", "reset")
    settings.home.mkdir(parents=True, exist_ok=True)
    at_sandbox = replace(
        settings,
        stripe_base_url=server.ready.stripe_url,
        razorpay_base_url=server.ready.razorpay_url,
        lease_s=60,
    )
    async with application(at_sandbox, name="test") as app:
        caller = Caller(
            actor=Actor("operator", "tests"), merchant_id="", mode="test", correlation_id="tests"
        )
        merchant = await register_merchant(app.ports, caller, name="Test shop")
        caller = replace(caller, merchant_id=merchant.id, correlation_id=new_id("req"))
        made = Market(Shop(app, caller), server)
        await made.configure(secrets.token_hex(6))
        yield made


@pytest.fixture
async def door(market: Market) -> AsyncIterator[Door]:
    async with door_of(market) as opened:
        await opened.open()
        yield opened
