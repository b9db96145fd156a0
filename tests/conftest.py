"""Real servers for every test: one PostgreSQL and one NATS a session, one database a test."""

import itertools
import logging
import os
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
import structlog
from psycopg import sql
from psycopg_pool import AsyncConnectionPool

from adapters.embedded.nats import EmbeddedNats
from adapters.embedded.postgres import EmbeddedPostgres
from adapters.migrations import OPTIONS, migrate
from tests.history import History
from tests.places import SMALL, in_memory

TEMPLATE = "loop_template"

os.environ["COLUMNS"] = "120"
"""What is printed is folded alike, wherever the tests run."""


def at_database(url: str, name: str) -> str:
    """Give the URL of another database on the same server."""
    return url.replace("/loop?", f"/{name}?")


@pytest.fixture(scope="session")
def postgres() -> Iterator[EmbeddedPostgres]:
    # Not in pytest's own folder: no other user can enter that, and PostgreSQL never runs as root.
    with (
        tempfile.TemporaryDirectory(prefix="loop-test-", dir=in_memory()) as data,
        EmbeddedPostgres(Path(data), settings=SMALL) as server,
    ):
        yield server


@pytest.fixture(scope="session")
def database_template(postgres: EmbeddedPostgres) -> str:
    """The name of a database with all migrations and no rows."""
    with psycopg.connect(postgres.url, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(TEMPLATE)))
    migrate(at_database(postgres.url, TEMPLATE))
    return TEMPLATE


@pytest.fixture(autouse=True)
def logging_as_it_was() -> Iterator[None]:
    """Undo what a verb that ran in this process set up for its own log lines."""
    configured, root = structlog.get_config(), logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    structlog.configure(**configured)
    root.handlers[:] = handlers
    root.setLevel(level)


_numbers = itertools.count(1)


@contextmanager
def fresh_database(server_url: str, template: str) -> Iterator[str]:
    """A migrated database; dropped afterwards with whoever is still connected."""
    name = f"test_{next(_numbers)}"
    database = sql.Identifier(name)
    with psycopg.connect(server_url, autocommit=True) as connection:
        statement = sql.SQL("CREATE DATABASE {} TEMPLATE {}")
        connection.execute(statement.format(database, sql.Identifier(template)))
        yield at_database(server_url, name)
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(database))


@pytest.fixture
def database_url(postgres: EmbeddedPostgres, database_template: str) -> Iterator[str]:
    with fresh_database(postgres.url, database_template) as url:
        yield url


@pytest.fixture
def history(database_url: str) -> Iterator[History]:
    history = History(database_url)
    yield history
    history.close()


@pytest.fixture(scope="module")
def shared_database_url(postgres: EmbeddedPostgres, database_template: str) -> Iterator[str]:
    """One database for all tests of a file, where they do not get in each other's way."""
    with fresh_database(postgres.url, database_template) as url:
        yield url


@pytest.fixture
async def pool(database_url: str) -> AsyncIterator[AsyncConnectionPool]:
    """Connections to the test's database as `adapters/wiring.py` makes them."""
    kwargs = {"autocommit": True, "options": OPTIONS}
    pool = AsyncConnectionPool(database_url, min_size=1, max_size=8, open=False, kwargs=kwargs)
    async with pool:
        yield pool


@pytest.fixture(scope="session")
def nats_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedNats]:
    with EmbeddedNats(tmp_path_factory.mktemp("nats")) as server:
        yield server


@pytest.fixture
def nats_url(nats_server: EmbeddedNats) -> str:
    return nats_server.url
