"""A merchant, a worker and a shop: everything real, in one process."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from adapters.settings import Settings, load_settings
from adapters.wiring import Application, application
from adapters.worker import work
from commands.caller import Caller
from commands.register_merchant import register_merchant
from domain.ids import new_id
from domain.metadata import Actor
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
    """A shop whose orders are driven by a worker."""
    caller = await register()
    stop = asyncio.Event()
    working = asyncio.create_task(work(app, stop))
    yield Shop(app, caller)
    stop.set()
    await asyncio.wait_for(working, 30)
