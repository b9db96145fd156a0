"""A running Loop over one data folder: servers, schema, first key, children; as `loop up` needs it.

`up.json` (0600) in the folder says where it is, `shop.json` (0600) keeps the test key.
"""

import contextlib
import http.client
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TextIO
from urllib.parse import urlsplit

import click
import msgspec
import psycopg

from adapters.embedded import folder
from adapters.embedded.process import EmbeddedError, last_lines
from adapters.embedded.stack import EmbeddedStack, StackInfo
from adapters.migrations import OPTIONS, MigrationError, migrate
from adapters.settings import SettingError, Settings, load_settings
from gateway.supervisor import LOOK_S, METRICS, GaveUp, Supervisor, start_loop
from gateway.verbs.running_sandbox import RunningSandbox

if TYPE_CHECKING:
    from gateway.verbs.up import Options

READY_S: Final = 60.0
SHOP: Final = "Demo shop"
SHOP_SCOPES: Final = ("payments:write", "payments:read", "ledger:read")
EXTERNAL: Final = ("LOOP_DATABASE_URL", "LOOP_NATS_URL")
ALLOW_CIDRS: Final = "LOOP_WEBHOOK_ALLOW_CIDRS"
LOOPBACK: Final = "127.0.0.0/8,::1/128"
"""Where webhooks may go beside the public internet, unless said otherwise."""


class InUse(click.ClickException):
    """Another `loop up` runs over the folder."""

    exit_code = 2


class Shop(msgspec.Struct, frozen=True, rename="camel"):
    """The test merchant and its key."""

    merchant_id: str
    key_id: str
    api_key: str


def read_shop(home: Path) -> Shop | None:
    """Return the test merchant of a data folder, None where there is none."""
    try:
        return msgspec.json.decode((home / "shop.json").read_bytes(), type=Shop)
    except (FileNotFoundError, msgspec.DecodeError):
        return None


def _metrics_folder(home: Path) -> Path:
    """Return the folder that all processes write their samples to, without those of dead ones."""
    metrics = folder.private_folder(home / "metrics")
    for file in metrics.glob("*.db"):
        file.unlink()
    return metrics.absolute()


class Running:
    """Everything that `loop up` runs; made by `alone_in`."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self._stack: EmbeddedStack | None = None
        self._info: StackInfo | None = None
        self._supervisor: Supervisor | None = None
        self._settings: Settings | None = None
        self._shop: Shop | None = None
        self._sandbox: RunningSandbox | None = None
        self._demo = False
        self._url = ""

    @classmethod
    @contextmanager
    def alone_in(cls, home: Path) -> Iterator["Running"]:
        """Hold the folder; a second one is told and ends with exit code 2."""
        try:
            home = folder.private_folder(home)
        except EmbeddedError as error:
            raise click.ClickException(str(error)) from None
        try:
            lock = folder.lock(home / "up.lock", wait_s=0, held=lambda: _taken(home))
        except EmbeddedError as error:
            raise InUse(str(error)) from None
        os.truncate(lock, 0)
        os.pwrite(lock, str(os.getpid()).encode(), 0)
        try:
            yield cls(home)
        finally:
            os.close(lock)

    def start(self, options: "Options") -> None:
        """Start everything and wait until HTTP answers.

        Raises:
            EmbeddedError, GaveUp, click.ClickException: with what a person can do about it.
        """
        from gateway.verbs.up import own_url, say  # noqa: PLC0415 - each needs the other

        self._demo = options.demo
        self._url = own_url(options.host, options.port)
        if options.sandbox:
            self._sandbox = RunningSandbox.beside(self.home, os.environ)
        self._start_servers(say)
        self._settings = settings = self._load(options)
        try:
            for name in migrate(settings.database_url):
                say(f"migrated {name}")
        except (psycopg.OperationalError, MigrationError) as error:
            raise click.ClickException(f"the database: {error}") from None
        if self._sandbox is not None:
            self._sandbox.check_vault(settings.database_url)
        logs = folder.private_folder(self.home / "logs")
        self._supervisor = supervisor = Supervisor(
            environment={
                **settings.environment(),
                METRICS: str(_metrics_folder(self.home)),
                "MALLOC_ARENA_MAX": "2",
            },
            logs=logs,
            servers_up=self._mend_servers,
            say=say,
        )
        if self._sandbox is not None:
            supervisor.add("sandbox", *self._sandbox.arguments)
        supervisor.add("gateway", "serve")
        for number in range(1, options.workers + 1):
            supervisor.add("worker" if options.workers == 1 else f"worker-{number}", "work")
        self._shop = self._find_shop() or self._make_shop()
        self._await_ready()
        for name in outdated(self._url):
            verb = f"`loop projections swap {name} --accept`"
            say(f"{name} shows the tables of an older version until {verb}")
        if self._sandbox is not None and not self._sandbox.delivers_to(self._url, self._shop):
            self._connect(self._shop)
        self._note()

    def _start_servers(self, say: Any) -> None:
        named = [name for name in EXTERNAL if os.environ.get(name)]
        if len(named) == 1:
            raise click.ClickException(f"set both of {' and '.join(EXTERNAL)}, or none")
        if named:
            return
        say("starting PostgreSQL and NATS")
        self._stack = EmbeddedStack(self.home)
        self._info = self._stack.start()

    def _mend_servers(self) -> bool:
        if self._stack is None or self._stack.alive():
            return False
        self._info = self._stack.start()
        return True

    def _load(self, options: "Options") -> Settings:
        urls = self._sandbox.base_urls if self._sandbox else {}
        try:
            return load_settings(
                home=str(self.home),
                host=options.host,
                port=str(options.port),
                call_limit_s=_call_limit(options),
                stripe_base_url=urls.get("stripe"),
                razorpay_base_url=urls.get("razorpay"),
                webhook_allow_cidrs=None if os.environ.get(ALLOW_CIDRS) else LOOPBACK,
            )
        except SettingError as error:
            raise click.ClickException(str(error)) from None

    def _find_shop(self) -> Shop | None:
        """Return the key of the folder if this database still takes it."""
        shop = read_shop(self.home)
        if shop is None:
            return None
        assert self._settings is not None
        with psycopg.connect(self._settings.database_url, options=OPTIONS) as db:
            found = db.execute(
                "SELECT 1 FROM api_keys WHERE key_id = %s AND revoked_at IS NULL", [shop.key_id]
            ).fetchone()
        return shop if found else None

    def _make_shop(self) -> Shop:
        make = ("keys", "create", "--new-merchant", SHOP, "--name", "loop up", "--json")
        make += tuple(part for scope in SHOP_SCOPES for part in ("--scope", scope))
        said = self._done((*make, "--sandbox") if self._sandbox else make)
        shop = msgspec.json.decode(said.splitlines()[-1], type=Shop)
        folder.write_private(self.home / "shop.json", msgspec.json.encode(shop).decode())
        return shop

    def _connect(self, shop: Shop) -> None:
        """Wire a merchant whom the sandbox does not know: one of an older folder."""
        self._done(("sandbox", "connect", "--merchant", shop.merchant_id, "--json"))

    def _done(self, words: tuple[str, ...]) -> str:
        """Run a verb to its end; return what it says."""
        assert self._supervisor is not None
        reading, writing = os.pipe()
        try:
            process = start_loop(words, self._supervisor.environment, writing)
        finally:
            os.close(writing)
        with os.fdopen(reading, encoding="utf-8") as output:
            said = output.read()
        if process.wait() != 0:
            raise click.ClickException(f"`loop {' '.join(words[:2])}` failed:\n{said}")
        return said

    def _await_ready(self) -> None:
        assert self._supervisor is not None
        deadline = time.monotonic() + READY_S
        while not (answers(self._url) and (self._sandbox is None or self._sandbox.answers())):
            self._supervisor.look()
            if time.monotonic() > deadline:
                log = self._supervisor.logs / "gateway.log"
                raise GaveUp(f"not ready after {READY_S:.0f} s; see {log}\n{last_lines(log)}")
            time.sleep(0.03)

    def ready_line(self) -> dict[str, Any]:
        """Return what tells a machine where everything is."""
        assert self._supervisor is not None, "started"
        assert self._shop is not None, "started"
        servers = self._info.pids if self._info else None
        return {
            "ready": True,
            "url": self._url,
            "sandboxUrl": self._sandbox.url if self._sandbox else None,
            "apiKey": self._shop.api_key,
            "merchantId": self._shop.merchant_id,
            "data": str(self.home),
            "pids": {
                "gateway": self._supervisor.pids("gateway"),
                "worker": self._supervisor.pids("worker"),
                "sandbox": next(iter(self._supervisor.pids("sandbox")), None),
                "postgres": servers.postgres if servers else None,
                "nats": servers.nats if servers else None,
            },
        }

    def _note(self) -> None:
        folder.write_private(
            self.home / "up.json", msgspec.json.encode(self.ready_line()).decode() + "\n"
        )

    def watch(self, *, demo_output: TextIO) -> None:
        """Look after everything until a signal comes.

        Raises:
            GaveUp: something died too often.
        """
        assert self._supervisor is not None, "started"
        demo = None
        if self._demo:
            words = ("demo", "--data", str(self.home))
            demo = start_loop(words, self._supervisor.environment, demo_output.fileno())
        while True:
            time.sleep(LOOK_S)
            if demo is not None and demo.poll() is not None:  # no zombie, and not started again
                demo = None
            if self._supervisor.look():
                self._note()

    def stop(self) -> None:
        """End children, then servers; does nothing where nothing was started."""
        if self._supervisor is not None:
            self._supervisor.drain()
        if self._stack is not None:
            self._stack.stop()
        (self.home / "up.json").unlink(missing_ok=True)


def _call_limit(options: "Options") -> str | None:
    """Return a short limit for the demo: nobody wants to watch a bank hang for half a minute."""
    return "2" if options.demo and not os.environ.get("LOOP_CALL_LIMIT_S") else None


def _taken(home: Path) -> str:
    pid = folder.read_int(home / "up.lock")
    return f"another `loop up` (pid {pid}) runs over {home}: stop it, or take another --data"


def answers(url: str) -> bool:
    """Whether `/ready` says 200."""
    return _ready(url) is not None


def outdated(url: str) -> list[str]:
    """Return the read models that stand still because another version made what they show."""
    checks: dict[str, Any] = (_ready(url) or {}).get("checks", {})
    return checks.get("outdated", [])


def _ready(url: str) -> dict[str, Any] | None:
    """Return what `/ready` answers with 200, None where it does not."""
    parts = urlsplit(url)
    with contextlib.suppress(OSError, http.client.HTTPException, msgspec.DecodeError):
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=5)
        try:
            connection.request("GET", "/ready")
            answer = connection.getresponse()
            if answer.status == http.HTTPStatus.OK:
                return msgspec.json.decode(answer.read(), type=dict[str, Any])
        finally:
            connection.close()
    return None
