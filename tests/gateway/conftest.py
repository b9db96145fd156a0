"""A whole service for a file of tests: workers and HTTP server on real engines, in one thread."""

import asyncio
import itertools
import secrets
import threading
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any, Self, TypeVar

import httpx
import msgspec
import psycopg
import pytest
from psycopg import sql

from adapters.api_keys import key_hash
from adapters.embedded.nats import EmbeddedNats
from adapters.embedded.postgres import EmbeddedPostgres
from adapters.rate_limits import Limit
from adapters.read_models import install
from adapters.settings import Settings, load_settings
from adapters.wiring import Application, application
from adapters.worker import work
from commands.caller import Caller
from commands.issue_key import issue_key
from commands.register_merchant import register_merchant
from commands.revoke_key import revoke_key
from domain.metadata import Actor, Mode
from gateway.app import create_app
from gateway.parts import deps_of_application
from gateway.server import serve
from tests.conftest import at_database

T = TypeVar("T")
_numbers = itertools.count(1)
_operator = Caller(
    actor=Actor("operator", "tests"), merchant_id="", mode="test", correlation_id="tests"
)


class Service:
    """A running service; `url` is its address, `app` its parts.

    `working` runs the workers too; `limits` are taken instead of those of the settings.
    """

    def __init__(
        self, settings: Settings, *, working: bool = True, limits: dict[str, Limit] | None = None
    ) -> None:
        self._settings = settings
        self._working = working
        self._limits = limits or {}
        self._ready: Future[str] = Future()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._stop = asyncio.Event()
        self.app: Application
        self.loop: asyncio.AbstractEventLoop

    def __enter__(self) -> Self:
        self._thread.start()
        self.url = self._ready.result(60)
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self._thread.join(60)
        assert not self._thread.is_alive(), "the service did not stop"

    @property
    def database_url(self) -> str:
        return self._settings.database_url

    def stop(self) -> None:
        if self._thread.is_alive():
            self.loop.call_soon_threadsafe(self._stop.set)

    def _run(self) -> None:
        try:
            asyncio.run(self._main())
        except BaseException as error:
            if not self._ready.done():
                self._ready.set_exception(error)
            raise

    async def _main(self) -> None:
        await install(self._settings.database_url)
        self.loop = asyncio.get_running_loop()
        async with application(self._settings, name="gateway-tests") as self.app:
            roles = work(self.app, self._stop) if self._working else self._stop.wait()
            working = asyncio.create_task(roles)
            deps = deps_of_application(self.app)
            limits = msgspec.structs.replace(deps.limits, **self._limits)
            http = create_app(msgspec.structs.replace(deps, limits=limits))
            await serve(http, "127.0.0.1", 0, self._stop, ready=self._is_ready)
            await working

    def _is_ready(self, port: int) -> None:
        self._ready.set_result(f"http://127.0.0.1:{port}")

    def call(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(90)

    def merchant(self) -> Caller:
        merchant = self.call(register_merchant(self.app.ports, _operator, name="Test shop"))
        return Caller(
            actor=Actor("operator", "tests"),
            merchant_id=merchant.id,
            mode="test",
            correlation_id="tests",
        )

    def key(
        self,
        caller: Caller,
        *,
        mode: Mode = "test",
        scopes: tuple[str, ...] = ("payments:read", "payments:write"),
    ) -> tuple[str, Callable[[], None]]:
        """Issue a key; return its secret and what revokes it."""
        issued = self.call(
            issue_key(
                self.app.ports,
                caller,
                name="tests",
                mode=mode,
                scopes=scopes,
                hash_secret=lambda secret: key_hash(self.app.master_keys, secret),
            )
        )

        def revoke() -> None:
            self.call(revoke_key(self.app.ports, caller, key_id=issued.key_id))

        return issued.secret, revoke

    def client(self, key: str | None) -> httpx.Client:
        headers = {"X-API-Key": key} if key else {}
        return httpx.Client(base_url=self.url, headers=headers, timeout=90, trust_env=False)


def settings_for(home: Path, database_url: str, nats_url: str) -> Settings:
    (home / "sandbox").mkdir(exist_ok=True)
    return load_settings(
        {},
        home=str(home),
        database_url=database_url,
        nats_url=nats_url,
        master_keys=f"k1:{secrets.token_hex(32)}",
        public_url="http://loop.test",
        sandbox_latency_s="0.001",
        webhook_allow_cidrs="127.0.0.0/8",
        rate_limit_key="0",
        rate_limit_address="0",
    )


@pytest.fixture(scope="module")
def settings(
    postgres: EmbeddedPostgres,
    database_template: str,
    nats_server: EmbeddedNats,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Settings]:
    """Settings with a database of their own."""
    name = f"gateway_{next(_numbers)}"
    database, template = sql.Identifier(name), sql.Identifier(database_template)
    home = tmp_path_factory.mktemp(name)
    with psycopg.connect(postgres.url, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(database, template))
        yield settings_for(home, at_database(postgres.url, name), nats_server.url)
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(database))


@pytest.fixture(scope="module")
def service(settings: Settings) -> Iterator[Service]:
    with Service(settings) as running:
        yield running


@pytest.fixture(scope="module")
def merchant(service: Service) -> Caller:
    return service.merchant()


@pytest.fixture(scope="module")
def api_key(service: Service, merchant: Caller) -> str:
    return service.key(merchant)[0]


@pytest.fixture(scope="module")
def client(service: Service, api_key: str) -> Iterator[httpx.Client]:
    with service.client(api_key) as http:
        yield http
