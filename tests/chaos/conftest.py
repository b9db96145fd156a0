"""Workers as processes that can be killed, around a shop in this process."""

import secrets
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from adapters.embedded.postgres import EmbeddedPostgres
from adapters.migrations import OPTIONS, migrate
from adapters.settings import Settings, load_settings
from adapters.wiring import application
from commands.caller import Caller
from commands.register_merchant import register_merchant
from domain.ids import new_id
from domain.metadata import Actor
from tests.forked import Forked
from tests.places import in_memory
from tests.shop import Shop

STOP_S = 60.0


class WorkerProcess:
    """`loop work` as a process of its own; only what was started here is ever killed."""

    def __init__(self, settings: Settings, log: Path) -> None:
        self._settings = settings
        self._log = log
        self._process: Forked | None = None

    def start(self) -> None:
        self._process = Forked(["work"], self._settings.environment(), self._log)

    def kill(self) -> None:
        """Send SIGKILL: no handler runs, nothing is flushed."""
        if self._process is not None:
            self._process.kill()
        self._process = None

    def stop(self) -> int:
        """Ask it to drain; return its exit code."""
        assert self._process is not None
        code = self._process.stop(STOP_S)
        self._process = None
        return code

    def said(self, words: str) -> bool:
        """Tell whether its log has these words."""
        return self._log.exists() and words in self._log.read_text()


class Log:
    """What the tests read beside the shop: due rows and tags, straight from the tables."""

    def __init__(self, database_url: str) -> None:
        self._db = psycopg.connect(database_url, autocommit=True, options=OPTIONS)

    def close(self) -> None:
        self._db.close()

    def column(self, query: str) -> list[Any]:
        return [row[0] for row in self._db.execute(query.encode()).fetchall()]

    def acting(self) -> list[str]:
        """Return the orders with a step that a worker had begun and nobody has recorded."""
        return self.column(
            "SELECT DISTINCT order_id FROM due WHERE worker IS NOT NULL AND tries > 0 "
            "AND operation IN ('authorize', 'capture', 'void', 'refund', 'fence')"
        )

    def waiting(self) -> list[str]:
        """Return the orders that still wait for something."""
        return self.column("SELECT DISTINCT order_id FROM due")

    def waiting_now(self) -> list[str]:
        """Return the orders that wait for a worker, not only for time to pass."""
        return self.column(
            "SELECT DISTINCT order_id FROM due"
            " WHERE operation NOT IN ('warn_expiring', 'expire', 'challenge', 'watch_hold')"
        )

    def last_tags(self, order_ids: list[str]) -> list[str]:
        rows = self._db.execute(
            "SELECT DISTINCT ON (originator_id) topic FROM events"
            " WHERE originator_id = ANY(%s) ORDER BY originator_id, originator_version DESC",
            [order_ids],
        )
        return [row[0] for row in rows.fetchall()]


@pytest.fixture
def own_postgres() -> Iterator[EmbeddedPostgres]:
    """A server that a test may kill; it has a database of Loop's."""
    with (
        tempfile.TemporaryDirectory(prefix="loop-chaos-", dir=in_memory()) as data,
        EmbeddedPostgres(Path(data)) as server,
    ):
        migrate(server.url)
        yield server


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
        sandbox_latency_s="0.03",
        lease_s="6",
        call_limit_s="2",
        rate_limit_key="0",
        rate_limit_address="0",
    )


@pytest.fixture
def worker(settings: Settings, tmp_path: Path) -> Iterator[WorkerProcess]:
    process = WorkerProcess(settings, tmp_path / "worker.log")
    yield process
    process.kill()


@pytest.fixture
def log(database_url: str) -> Iterator[Log]:
    reader = Log(database_url)
    yield reader
    reader.close()


@pytest.fixture
async def shop(settings: Settings) -> AsyncIterator[Shop]:
    """A shop with no worker of its own."""
    async with application(settings, name="chaos") as app:
        operator = Actor("operator", "tests")
        caller = Caller(actor=operator, merchant_id="", mode="test", correlation_id="chaos")
        merchant = await register_merchant(app.ports, caller, name="Chaos shop")
        yield Shop(
            app,
            Caller(
                actor=operator,
                merchant_id=merchant.id,
                mode="test",
                correlation_id=new_id("req"),
            ),
        )
