"""A merchant with a receiver, and a dispatcher that tells it what is written to the log."""

import secrets
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, LiteralString

import pytest
from msgspec.structs import replace

from adapters.address_guard import AddressGuard
from adapters.dispatcher import ROOM, Dispatcher
from adapters.feed import Feed
from adapters.projector import Projector
from adapters.relay import Relay
from adapters.settings import Settings, load_settings
from adapters.webhook_sender import Sender
from adapters.wiring import Application, application
from commands.add_endpoint import NewEndpoint, ShownEndpoint, add_endpoint
from commands.caller import Caller
from commands.register_merchant import register_merchant
from domain import events as e
from domain.ids import new_id
from domain.metadata import Actor
from projections import PROJECTIONS
from tests.history import History, life
from tests.receiver import Receiver, receiving
from tests.waiting import running, until


@pytest.fixture
def settings(database_url: str, nats_url: str, tmp_path: Path) -> Settings:
    home = tmp_path / "home"
    home.mkdir()
    return load_settings(
        {},
        home=str(home),
        database_url=database_url,
        nats_url=nats_url,
        master_keys=f"k1:{secrets.token_hex(32)}",
        webhook_allow_cidrs="127.0.0.0/8",
    )


@pytest.fixture
async def app(settings: Settings) -> AsyncIterator[Application]:
    async with application(settings, name="test") as made:
        yield made


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as made:
        yield made


@pytest.fixture
def history(app: Application) -> Iterator[History]:
    made = History(app.settings.database_url)
    yield made
    made.close()


@dataclass
class Told:
    """A merchant, what is written to its log, and what became of it."""

    app: Application
    caller: Caller
    history: History

    async def endpoint(self, url: str, *events: str) -> ShownEndpoint:
        wanted = NewEndpoint(url=url, events=events or ("*",))
        return await add_endpoint(self.app.ports, self.caller, wanted)

    def order(self, *, upto: int = 7) -> str:
        """Write an order of that many events; return its id."""
        order_id = new_id("ord")
        self.append(life(order_id)[:upto])
        return order_id

    def append(self, rows: Sequence[tuple[str, e.AnyEvent]]) -> None:
        self.history.append(rows, merchant=self.caller.merchant_id)

    def column(self, statement: LiteralString, *values: object) -> list[Any]:
        return [row[0] for row in self.history.db.execute(statement, values).fetchall()]

    def statuses(self) -> list[str]:
        return self.column("SELECT status FROM webhook_deliveries ORDER BY position, endpoint_id")

    def tries(self) -> list[int]:
        """How often each delivery was tried that was tried at all and is not over."""
        return self.column(
            "SELECT tries FROM webhook_deliveries WHERE tries > 0 AND status = 'failed'"
            " AND worker IS NULL AND due_at > clock_timestamp() ORDER BY position"
        )

    def failing_for(self, hours: int) -> None:
        """Have everything failed for that long."""
        self.history.db.execute(
            "UPDATE webhook_failing SET since = clock_timestamp() - make_interval(hours => %s)",
            [hours],
        )

    def endpoint_statuses(self, endpoint_id: str) -> list[str]:
        """What the log says of an endpoint, after it was made."""
        return self.column(
            "SELECT convert_from(state, 'UTF8')::json -> 'data' ->> 'status' FROM events"
            " WHERE topic = 'merchant.endpoint_changed.v1'"
            " AND convert_from(state, 'UTF8')::json -> 'data' ->> 'endpoint_id' = %s"
            " ORDER BY notification_id",
            endpoint_id,
        )

    def again(self) -> None:
        """Send everything again."""
        self.history.db.execute(
            "UPDATE webhook_deliveries SET status = 'pending', due_at = clock_timestamp()"
        )
        self.history.db.execute("NOTIFY loop_webhooks")

    def due_now(self) -> None:
        """Let the time come that everything is waiting for."""
        self.history.db.execute(
            "UPDATE webhook_deliveries SET due_at = clock_timestamp()"
            " WHERE due_at > clock_timestamp()"
        )
        self.history.db.execute("NOTIFY loop_webhooks")

    def workers(self) -> list[Any]:
        """A relay, the projector of webhooks, and a dispatcher."""
        url, feed = self.app.settings.database_url, Feed(self.app.bus)
        return [
            Relay(url, self.app.bus),
            feed,
            Projector(url, feed, PROJECTIONS["webhooks"]),
            self.dispatcher(),
        ]

    def dispatcher(self, guard: AddressGuard | None = None) -> Dispatcher:
        settings = self.app.settings
        sender = Sender(guard or AddressGuard(settings.webhook_allow_cidrs), connections=ROOM)
        return Dispatcher(self.app.ports, settings.database_url, sender)

    async def level(self) -> None:
        """Wait until the read model shows the whole log."""
        await until(lambda: self.column("SELECT position FROM webhook_mark") == [self.history.head])

    async def made(self, deliveries: int) -> None:
        """Wait until the projector has made that many deliveries."""
        await until(lambda: len(self.statuses()) == deliveries)

    async def over(self, deliveries: int, status: str = "delivered") -> None:
        """Wait until that many deliveries have a status."""
        await until(lambda: self.statuses().count(status) == deliveries)


@pytest.fixture
async def idle(app: Application, history: History) -> Told:
    """A merchant, and nobody who works."""
    operator = Caller(
        actor=Actor("operator", "tests"), merchant_id="", mode="test", correlation_id="tests"
    )
    merchant = await register_merchant(app.ports, operator, name="Test shop")
    caller = replace(operator, merchant_id=merchant.id, correlation_id=new_id("req"))
    return Told(app, caller, history)


@pytest.fixture
async def told(idle: Told) -> AsyncIterator[Told]:
    """The same with everybody at work."""
    async with running(*idle.workers()):
        yield idle
