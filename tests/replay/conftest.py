"""A signed history of 42 events with its witness, and copies of it to be tampered with."""

import asyncio
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql

from adapters.checkpoints import sign, tell
from adapters.embedded.postgres import EmbeddedPostgres
from adapters.log import connect
from adapters.projector import Projector
from adapters.read_models import install
from adapters.vault import MasterKeys
from domain.ids import new_id
from projections import PROJECTIONS
from tests.conftest import at_database
from tests.history import History, life
from tests.waiting import running, until

MASTER = f"k1:{'5a' * 32}"
TREE = PROJECTIONS["audit_tree"]
ORDERS = [new_id("ord") for _ in range(6)]
SIZES = (14, 28, 42)

_numbers = itertools.count(1)
Db = psycopg.Connection[Any]


async def grow(url: str) -> None:
    """Let the tree have all leaves, as the projector makes them."""
    async with await connect(url, "test") as db:

        async def level() -> bool:
            cursor = await db.execute(
                "SELECT p.position = (SELECT count(*) FROM events) FROM projection_positions p"
                " WHERE name = 'audit_tree'"
            )
            return await cursor.fetchone() == (True,)

        async with running(Projector(url, None, TREE)):
            await until(level)


async def honest(url: str, history: History, witness: Path) -> None:
    """42 events of six orders that took turns, signed three times, each told to the witness."""
    facts = [fact for step in zip(*map(life, ORDERS), strict=True) for fact in step]
    async with await connect(url, "test") as db:
        for start in range(0, 42, 14):
            history.append(facts[start : start + 14])
            await install(url, [TREE])
            await grow(url)
            assert await sign(db, MasterKeys(MASTER)) is not None
            await tell(db, str(witness))


@pytest.fixture(scope="module")
def signed(
    postgres: EmbeddedPostgres, database_template: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, Path]]:
    """The name of a database with a signed history, and what the witness was told of it."""
    name = "audited"
    copy(postgres, name, database_template)
    url = at_database(postgres.url, name)
    history = History(url)
    witness = tmp_path_factory.mktemp("witness") / "checkpoints.txt"
    asyncio.run(honest(url, history, witness))
    history.close()
    yield name, witness
    with psycopg.connect(postgres.url, autocommit=True) as db:
        db.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def copy(postgres: EmbeddedPostgres, name: str, template: str) -> None:
    names = sql.Identifier(name), sql.Identifier(template)
    with psycopg.connect(postgres.url, autocommit=True) as db:
        db.execute(sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(*names))


@pytest.fixture
def url(postgres: EmbeddedPostgres, signed: tuple[str, Path]) -> Iterator[str]:
    """A copy of the signed history, to be tampered with."""
    name = f"tampered_{next(_numbers)}"
    copy(postgres, name, signed[0])
    yield at_database(postgres.url, name)
    with psycopg.connect(postgres.url, autocommit=True) as db:
        db.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture
def db(url: str) -> Iterator[Db]:
    """What the database's owner has: everything, and no trigger in the way."""
    with psycopg.connect(url, autocommit=True, options="-c search_path=loop") as db:
        db.execute("ALTER TABLE events DISABLE TRIGGER ALL")
        db.execute("ALTER TABLE checkpoints DISABLE TRIGGER ALL")
        yield db


@pytest.fixture
def witness(signed: tuple[str, Path]) -> Path:
    return signed[1]
