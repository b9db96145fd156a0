import multiprocessing
from collections.abc import Iterator

import psycopg
import pytest

from adapters import migrations
from adapters.embedded.postgres import EmbeddedPostgres
from adapters.migrations import MigrationError, migrate
from tests.conftest import at_database

EMPTY = "without_schema"


@pytest.fixture
def empty_url(postgres: EmbeddedPostgres) -> Iterator[str]:
    with psycopg.connect(postgres.url, autocommit=True) as db:
        db.execute(f"CREATE DATABASE {EMPTY}")
        yield at_database(postgres.url, EMPTY)
        db.execute(f"DROP DATABASE {EMPTY} WITH (FORCE)")


def schema(url: str) -> list[tuple[str, ...]]:
    with psycopg.connect(url) as db:
        return db.execute(
            "SELECT table_name, column_name, data_type FROM information_schema.columns"
            " WHERE table_schema = 'loop' ORDER BY 1, 2"
        ).fetchall()


def test_a_second_run_changes_nothing(database_url: str) -> None:
    before = schema(database_url)
    assert migrate(database_url) == []
    assert schema(database_url) == before


def test_of_two_processes_at_once_one_runs_each_file(empty_url: str, database_url: str) -> None:
    names = [migration.name for migration in migrations.migrations()]
    with multiprocessing.get_context("spawn").Pool(2) as processes:
        ran = processes.map(migrate, [empty_url] * 2, chunksize=1)
    assert sorted(ran) == [[], names]
    assert schema(empty_url) == schema(database_url)


def test_a_file_that_was_changed_after_it_was_run_is_refused(database_url: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as db:
        db.execute("UPDATE loop.schema_migrations SET checksum = 'other' WHERE number = 1")
    with pytest.raises(MigrationError, match=r"0001_log\.sql was changed"):
        migrate(database_url)


def test_a_database_of_a_newer_version_is_refused(database_url: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as db:
        db.execute("INSERT INTO loop.schema_migrations VALUES (9999, '9999_later.sql', 'x')")
    with pytest.raises(MigrationError, match=r"9999_later\.sql"):
        migrate(database_url)


def test_a_file_that_fails_leaves_nothing_and_is_run_again(
    empty_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = migrations.migrations()
    broken = migrations.Migration(
        len(known) + 1, "broken.sql", "CREATE TABLE half (); SELECT 1 / 0", "x"
    )
    monkeypatch.setattr(migrations, "migrations", lambda: [*known, broken])
    with pytest.raises(psycopg.errors.DivisionByZero):
        migrate(empty_url)
    assert "half" not in {row[0] for row in schema(empty_url)}
    monkeypatch.undo()
    assert migrate(empty_url) == []
