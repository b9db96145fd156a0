"""Starts the sandbox: only on loopback, and never beside a live key."""

import asyncio
import contextlib
import ipaddress
import os
import secrets
import socket
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final

import msgspec
import uvicorn
from typing_extensions import override
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from adapters.sandbox_server import endpoints
from adapters.sandbox_server.app import TRANSPORT, App
from adapters.sandbox_server.box import Box
from adapters.sandbox_server.control import Control
from adapters.sandbox_server.desk import Desk
from adapters.sandbox_server.faults import PROFILES, Faults
from adapters.sandbox_server.store import Store
from adapters.sandbox_server.webhooks import Courier

PORT: Final = 18_440
STRIPE_KEY: Final = "sk_test_sandbox"
RAZORPAY_KEY: Final = "rzp_test_sandbox"
RAZORPAY_SECRET: Final = "sandbox_secret"  # noqa: S105 - the same for everybody
_LIVE: Final = ("sk_live_", "rk_live_", "rzp_live_")
DRAIN_S: Final = 2
BACKLOG: Final = 2048
NOTE: Final = "ready.json"
"""File in the data folder that says where the sandbox is (mode 0600)."""


class CannotStartError(RuntimeError):
    """The sandbox must not or cannot start; the message says why."""


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """How a sandbox runs.

    Attributes:
        data: where it keeps its file; None keeps all in memory.
        port: 0 takes a free one.
        profile: replaces the fault rules; None keeps those of the data folder.
        webhooks: `[stripe:|razorpay:]URL=SECRET`; without a dialect both deliver there.
        public_url: how a customer's browser reaches its pages; None is host and port.
        exposed: another address than loopback is allowed, for a network of containers.
    """

    data: str | None = None
    host: str = "127.0.0.1"
    port: int = PORT
    seed: int | None = None
    profile: str | None = None
    webhooks: tuple[str, ...] = ()
    token: str | None = None
    public_url: str | None = None
    exposed: bool = False


class Ready(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What a client needs to know."""

    url: str
    stripe_url: str
    razorpay_url: str
    control_url: str
    token: str
    stripe_key: str = STRIPE_KEY
    razorpay_key_id: str = RAZORPAY_KEY
    razorpay_key_secret: str = RAZORPAY_SECRET
    seed: int = 0
    pid: int = 0


class _Protocol(HttpToolsProtocol):
    """Lets the application close the connection in the middle of an answer."""

    @override
    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["extensions"] = {TRANSPORT: {"transport": self.transport}}


class _Server(uvicorn.Server):
    """Leaves the signals to whoever started it, and says when it accepts."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    @override
    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._ready()

    @override
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def check(options: Options, environment: Mapping[str, str]) -> None:
    """Refuse what must not be.

    Raises:
        CannotStartError: another address than loopback, a live key in the environment, or an
            unknown profile.
    """
    if not options.exposed and not _is_loopback(options.host):
        raise CannotStartError(
            f"the sandbox serves loopback only, not {options.host}; "
            "--exposed is for networks of containers"
        )
    for name, value in sorted(environment.items()):
        if any(mark in value for mark in _LIVE):
            raise CannotStartError(f"{name} holds a live key: no sandbox beside live money")
    if options.profile is not None and options.profile not in PROFILES:
        raise CannotStartError(f"no profile {options.profile}: there are {', '.join(PROFILES)}")
    for webhook in options.webhooks:
        _webhook_of(webhook)


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _name_of(host: str) -> str:
    """Give the name under which others reach an address: of any address, the machine's own."""
    try:
        if ipaddress.ip_address(host).is_unspecified:
            return socket.gethostname()
    except ValueError:
        return host
    return f"[{host}]" if ":" in host else host


async def serve(options: Options, stop: asyncio.Event, ready: Callable[[Ready], None]) -> None:
    """Serve until `stop` is set; `ready` is told once connections are accepted.

    Raises:
        CannotStartError: see `check`.
        TakenError: another sandbox runs over the folder.
        OSError: the address is taken.
    """
    check(options, os.environ)
    family = socket.AF_INET6 if ":" in options.host else socket.AF_INET
    with (
        contextlib.closing(Store(Path(options.data) if options.data else None)) as store,
        socket.create_server(
            (options.host, options.port), family=family, backlog=BACKLOG
        ) as listener,
    ):
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        url = f"http://{_name_of(options.host)}:{listener.getsockname()[1]}"
        app, courier, told = _parts(options, store, url)

        def accepting() -> None:
            if options.data:
                _note(Path(options.data), told)
            ready(told)

        server = _Server(_config(app), accepting)
        stopping: asyncio.Task[object] = asyncio.create_task(stop.wait())
        delivering: asyncio.Task[object] = asyncio.create_task(courier.run())
        serving = asyncio.create_task(server.serve([listener]))
        try:
            ended, _ = await asyncio.wait(
                {serving, delivering, stopping}, return_when=asyncio.FIRST_COMPLETED
            )
            for task in ended:
                task.result()  # what ended it before its time is raised
        finally:
            server.should_exit = True
            stopping.cancel()
            delivering.cancel()
            await asyncio.gather(stopping, delivering, return_exceptions=True)
            await serving
            await courier.close()


def _parts(options: Options, store: Store, url: str) -> tuple[App, Courier, Ready]:
    seed: int = store.meta("seed", 0) if options.seed is None else options.seed
    token: str = options.token or store.meta("token") or secrets.token_hex(16)
    store.set_meta("seed", seed)
    store.set_meta("token", token)
    box = Box(store, seed=seed, base_url=(options.public_url or url).rstrip("/"))
    faults = Faults(box)
    if options.profile is not None:
        faults.profile(options.profile)
    for webhook in options.webhooks:
        for dialect, address, secret in _webhook_of(webhook):
            endpoints.add(box, dialect, address, secret)
    courier = Courier(box)
    app = App(box, Desk(box, faults), Control(box, faults, token), courier)
    told = Ready(
        url=url,
        stripe_url=f"{url}/stripe",
        razorpay_url=f"{url}/razorpay",
        control_url=f"{url}/_sandbox",
        token=token,
        seed=seed,
        pid=os.getpid(),
    )
    return app, courier, told


def _note(folder: Path, told: Ready) -> None:
    """Leave in the folder where the sandbox is and its control token; it stays there."""
    note = folder / f"{NOTE}.new"
    note.touch(mode=0o600)
    note.write_bytes(msgspec.json.encode(told))
    note.replace(folder / NOTE)


def _config(app: App) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=_Protocol,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        backlog=BACKLOG,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=DRAIN_S,
    )


def _webhook_of(text: str) -> list[tuple[str, str, str]]:
    """Read `[dialect:]URL=SECRET`.

    Raises:
        CannotStartError: it is not that.
    """
    url, equals, secret = text.rpartition("=")
    dialect, colon, rest = url.partition(":")
    named = colon and dialect in ("stripe", "razorpay")
    address = rest if named else url
    if not equals or not secret or not address.startswith(("http://", "https://")):
        raise CannotStartError(f"cannot read the webhook {text!r}: say [stripe:]URL=SECRET")
    return [(one, address, secret) for one in ([dialect] if named else ["stripe", "razorpay"])]
