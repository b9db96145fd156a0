"""Numbered schema migrations: plain SQL files, run once, in order, each in its own transaction."""

import hashlib
from importlib.resources import files
from typing import Final, NamedTuple

import psycopg
from psycopg import sql

SCHEMA: Final = "loop"
OPTIONS: Final = f"-c search_path={SCHEMA} -c timezone=UTC"
"""The `options` that every connection of ours is made with."""
_LOCK: Final = 7_160_310_001


class MigrationError(Exception):
    """The database was made by other files than these; the message names the first that differs."""


class Migration(NamedTuple):
    """One file; `checksum` is the SHA-256 of its text."""

    number: int
    name: str
    text: str
    checksum: str


def migrations() -> list[Migration]:
    """Return all migrations in order; their numbers are 1, 2, 3, …."""
    found: list[Migration] = []
    for file in sorted(files(__name__).iterdir(), key=lambda f: f.name):
        if file.name.endswith(".sql"):
            text = file.read_text(encoding="utf-8")
            number = int(file.name.split("_", 1)[0])
            checksum = hashlib.sha256(text.encode()).hexdigest()
            found.append(Migration(number, file.name, text, checksum))
    assert [m.number for m in found] == list(range(1, len(found) + 1)), "numbers have no gaps"
    return found


def migrate(url: str) -> list[str]:
    """Bring a database to the newest schema; return the names of the files that were run.

    Several processes may call it at once.

    Raises:
        MigrationError: a file that was run before has changed, or the database is newer than us.
        psycopg.OperationalError: the database cannot be reached.
    """
    with psycopg.connect(url, autocommit=True, options=OPTIONS) as db:
        db.execute("SELECT pg_advisory_lock(%s)", [_LOCK])
        db.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(sql.Identifier(SCHEMA)))
        db.execute(
            "CREATE TABLE IF NOT EXISTS schema_migrations (number int PRIMARY KEY,"
            " name text NOT NULL, checksum text NOT NULL,"
            " run_at timestamptz NOT NULL DEFAULT now())"
        )
        rows = db.execute("SELECT number, name, checksum FROM schema_migrations").fetchall()
        done = {number: (name, checksum) for number, name, checksum in rows}
        known = migrations()
        _check(done, known)
        pending = [m for m in known if m.number not in done]
        for migration in pending:
            _run(db, migration)
        return [m.name for m in pending]


def name_anew(url: str) -> str:
    """Give a restored log a name of its own and return it; what it lost is then found out.

    Messages of the other log are dropped from then on, and no attempt starts before its merchant's
    accounts were listed at the processors.

    Raises:
        psycopg.OperationalError: the database cannot be reached.
    """
    with psycopg.connect(url, autocommit=True, options=OPTIONS) as db:
        row = db.execute(
            "UPDATE log_identity SET log_id = gen_random_uuid()::text RETURNING log_id"
        ).fetchone()
    assert row is not None, "the migrations name the log"
    return str(row[0])


def _check(done: dict[int, tuple[str, str]], known: list[Migration]) -> None:
    by_number = {m.number: m for m in known}
    for number, (name, checksum) in sorted(done.items()):
        migration = by_number.get(number)
        if migration is None:
            raise MigrationError(f"the database has {name}, which this version does not know")
        if migration.checksum != checksum:
            raise MigrationError(f"{name} was changed after it was run")


def _run(db: psycopg.Connection, migration: Migration) -> None:
    with db.transaction():
        db.execute(migration.text.encode())
        db.execute(
            "INSERT INTO schema_migrations (number, name, checksum) VALUES (%s, %s, %s)",
            [migration.number, migration.name, migration.checksum],
        )
