"""What the benchmarks run on: embedded servers with fsync, databases, processes, merchants."""

import asyncio
import contextlib
import os
import secrets
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, LiteralString

import psycopg
from psycopg import sql

from adapters.api_keys import key_hash
from adapters.embedded.nats import EmbeddedNats
from adapters.embedded.postgres import EmbeddedPostgres
from adapters.migrations import migrate
from adapters.read_models import install
from adapters.settings import Settings, load_settings
from adapters.wiring import Application, application
from commands.caller import Caller
from commands.issue_key import issue_key
from commands.register_merchant import register_merchant
from domain.ids import new_id
from domain.metadata import Actor
from gateway.verbs.running import answers

DEADLINE_S = 1800.0
"""Longer than anything takes that still works."""


@dataclass(frozen=True)
class Shop:
    """A merchant, with a key for HTTP and a caller for commands."""

    caller: Caller
    api_key: str


@dataclass
class Servers:
    """PostgreSQL and NATS of one run, and the folder that all data is in."""

    folder: Path
    postgres: EmbeddedPostgres
    nats: EmbeddedNats
    databases: int = 0

    @property
    def pids(self) -> tuple[int, ...]:
        """The two servers' processes."""
        return tuple(pid for pid in (self.postgres.pid, self.nats.pid) if pid is not None)

    def database(self, *, migrated: bool = True) -> str:
        """Make a new database, and give its URL."""
        self.databases += 1
        name = f"bench_{self.databases}"
        with psycopg.connect(self.postgres.url, autocommit=True) as db:
            db.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        url = self.postgres.url.replace("/loop?", f"/{name}?")
        if migrated:
            migrate(url)
        return url

    def settings(self, *, nats_url: str | None = None) -> Settings:
        """Return settings with a database, port and books of their own; the bank is at once."""
        home = self.folder / f"home-{secrets.token_hex(4)}"
        home.mkdir()
        return load_settings(
            {},
            home=str(home),
            port=str(free_port()),
            database_url=self.database(),
            nats_url=nats_url or self.nats.url,
            master_keys=f"k1:{secrets.token_hex(32)}",
            sandbox_latency_s="0",
            webhook_allow_cidrs="127.0.0.0/8",
            rate_limit_key="0",
            rate_limit_address="0",
        )


@contextlib.contextmanager
def servers(folder: Path) -> Iterator[Servers]:
    """Start both servers as `loop up` does, but for more connections."""
    with (
        EmbeddedPostgres(folder, settings={"max_connections": "400"}) as postgres,
        EmbeddedNats(folder) as nats,
    ):
        yield Servers(folder, postgres, nats)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def start(*arguments: str, env: Mapping[str, str], output: int) -> "subprocess.Popen[bytes]":
    """Start a Python module with this environment."""
    return subprocess.Popen(
        [sys.executable, "-m", *arguments],
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.DEVNULL,
    )


@contextlib.asynccontextmanager
async def process(
    *arguments: str, env: dict[str, str] | None = None
) -> AsyncIterator["subprocess.Popen[bytes]"]:
    """Run a Python module until the end of the block."""
    environment = {**os.environ, "MALLOC_ARENA_MAX": "2", **(env or {})}
    running = start(*arguments, env=environment, output=subprocess.DEVNULL)
    try:
        yield running
        assert running.poll() is None, f"{arguments} ended with {running.returncode}"
    finally:
        await ended(running)


async def ended(running: "subprocess.Popen[bytes]") -> None:
    """End a process in order."""
    running.send_signal(signal.SIGTERM)
    await asyncio.to_thread(running.wait)


async def until(condition: Callable[[], Awaitable[bool]], every_s: float = 0.02) -> None:
    """Wait until a condition holds that only asking again can tell.

    Raises:
        TimeoutError: after `DEADLINE_S`.
    """
    async with asyncio.timeout(DEADLINE_S):
        while True:
            if await condition():
                return
            await asyncio.sleep(every_s)


async def query_until(database_url: str, query: LiteralString, answer: Any) -> None:
    """Wait until a query of the schema `loop` has one row with this one value."""
    async with await psycopg.AsyncConnection.connect(
        database_url, autocommit=True, options="-c search_path=loop"
    ) as db:

        async def answered() -> bool:
            return await (await db.execute(query)).fetchone() == (answer,)

        await until(answered)


async def responds(url: str, running: "subprocess.Popen[bytes]") -> None:
    """Wait until a Loop at this address is ready."""

    async def ready() -> bool:
        assert running.poll() is None, f"{running.args!r} ended with {running.returncode}"
        return await asyncio.to_thread(answers, url)

    await until(ready, 0.01)


@contextlib.asynccontextmanager
async def serving(settings: Settings) -> AsyncIterator[int]:
    """Run `loop serve`; gives its pid once it answers."""
    async with process("gateway.cli", "serve", env=settings.environment()) as running:
        await responds(f"http://{settings.host}:{settings.port}", running)
        yield running.pid


@contextlib.asynccontextmanager
async def working(settings: Settings, only: str | None = None) -> AsyncIterator[int]:
    """Run `loop work`; gives its pid."""
    roles = ("--only", only) if only else ()
    async with process("gateway.cli", "work", *roles, env=settings.environment()) as running:
        yield running.pid


@contextlib.asynccontextmanager
async def shops(settings: Settings, number: int) -> AsyncIterator[tuple[Application, list[Shop]]]:
    """Give the application of this process and some merchants."""
    async with application(settings, name="bench") as app:
        yield app, [await _shop(app) for _ in range(number)]


async def _shop(app: Application) -> Shop:
    caller = Caller(
        actor=Actor("operator", "bench"), merchant_id="", mode="test", correlation_id=new_id("req")
    )
    merchant = await register_merchant(app.ports, caller, name="Bench shop")
    caller = Caller(
        actor=Actor("operator", "bench"),
        merchant_id=merchant.id,
        mode="test",
        correlation_id=new_id("req"),
    )
    issued = await issue_key(
        app.ports,
        caller,
        name="bench",
        mode="test",
        hash_secret=lambda secret: key_hash(app.master_keys, secret),
    )
    return Shop(caller, issued.secret)


async def level(database_url: str) -> None:
    """Wait until every projection has seen the whole log."""
    await install(database_url)
    await query_until(
        database_url,
        "SELECT min(position) >= (SELECT coalesce(max(notification_id), 0) FROM events)"
        " FROM projection_positions WHERE live",
        answer=True,
    )
