"""The sandbox's file: SQLite in WAL mode, one connection, one database transaction a request.

A committed transaction survives the server's own SIGKILL; a power cut may take the last ones.
"""

import fcntl
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

import msgspec

from adapters.sandbox_server.wire import Json

LIST_MAX: Final = 100
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(dict[str, Any]).decode


class TakenError(RuntimeError):
    """Another sandbox runs over the folder."""


class Store:
    """The objects and everything else that lasts.

    Args:
        folder: where the file is made; None keeps all in memory.
    """

    def __init__(self, folder: Path | None) -> None:
        self._lock = _lock(folder) if folder else None
        path = folder / "sandbox.sqlite3" if folder else ":memory:"
        self.db = sqlite3.connect(path, isolation_level=None)
        self.db.row_factory = sqlite3.Row
        self.db.execute("PRAGMA journal_mode = WAL")
        self.db.execute("PRAGMA synchronous = NORMAL")
        self.db.executescript(files("adapters.sandbox_server").joinpath("schema.sql").read_text())

    def close(self) -> None:
        """Close the file."""
        self.db.close()
        if self._lock:
            self._lock.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Run a database transaction; inside another one this is the other one."""
        if self.db.in_transaction:
            yield
            return
        self.db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self.db.execute("COMMIT")
        except BaseException:
            self.db.execute("ROLLBACK")
            raise

    def add(self, kind: str, body: Json, *, account: str, parent: str | None = None) -> None:
        """Insert an object; `created` comes from the body's own."""
        self.db.execute(
            "INSERT INTO objects (id, kind, account, parent, created, body) "
            "VALUES (?, ?, ?, ?, ?, ?)",
            (body["id"], kind, account, parent, _created(body), _encode(body)),
        )

    def save(self, kind: str, body: Json) -> None:
        """Write an object that has changed."""
        self.db.execute(
            "UPDATE objects SET body = ? WHERE kind = ? AND id = ?",
            (_encode(body), kind, body["id"]),
        )

    def remove(self, kind: str, object_id: str) -> None:
        """Forget an object."""
        self.db.execute("DELETE FROM objects WHERE kind = ? AND id = ?", (kind, object_id))

    def get(self, kind: str, object_id: str, account: str | None = None) -> Json | None:
        """Give an object of this account; None for the account means whoever's."""
        row = self.db.execute(
            "SELECT account, body FROM objects WHERE kind = ? AND id = ?", (kind, object_id)
        ).fetchone()
        if row is None or account not in (None, row["account"]):
            return None
        return _decode(row["body"])

    def account_of(self, kind: str, object_id: str) -> str:
        """Give the account that an object belongs to, or nothing."""
        row = self.db.execute(
            "SELECT account FROM objects WHERE kind = ? AND id = ?", (kind, object_id)
        ).fetchone()
        return row["account"] if row else ""

    def children(self, kind: str, parent: str) -> list[Json]:
        """Give what belongs to an object, oldest first."""
        rows = self.db.execute(
            "SELECT body FROM objects WHERE kind = ? AND parent = ? ORDER BY seq", (kind, parent)
        )
        return [_decode(row["body"]) for row in rows]

    def newest(
        self, kind: str, account: str, *, where: str = "", values: Sequence[Any] = ()
    ) -> Iterator[Json]:
        """Give an account's objects, newest first; `where` is further SQL."""
        rows = self.db.execute(
            f"SELECT body FROM objects WHERE kind = ? AND account = ? {where} ORDER BY seq DESC",  # noqa: S608 - `where` is ours
            (kind, account, *values),
        )
        return (_decode(row["body"]) for row in rows)

    def sequence(self, kind: str, object_id: str) -> int | None:
        """Give an object's place in the order of creation."""
        row = self.db.execute(
            "SELECT seq FROM objects WHERE kind = ? AND id = ?", (kind, object_id)
        ).fetchone()
        return row["seq"] if row else None

    def meta(self, name: str, default: Any = None) -> Any:
        """Give a named value."""
        row = self.db.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
        return msgspec.json.decode(row["value"]) if row else default

    def set_meta(self, name: str, value: Any) -> None:
        """Keep a named value."""
        self.db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (name, _encode(value)))

    def strike(self, scope: str, now: float) -> tuple[int, float]:
        """Count a fault's strike; give how many there were before, and when the first was."""
        row = self.db.execute(
            "INSERT INTO strikes VALUES (?, 1, ?) "
            "ON CONFLICT (scope) DO UPDATE SET count = count + 1 RETURNING count, first",
            (scope, now),
        ).fetchone()
        return row["count"] - 1, row["first"]

    def reset(self) -> None:
        """Forget everything but the token, the clock and the seed."""
        with self.transaction():
            for table in (
                "objects",
                "money",
                "keys",
                "jobs",
                "strikes",
                "rules",
                "requests",
                "deliveries",
                "attempts",
            ):
                self.db.execute(f"DELETE FROM {table}")  # noqa: S608 - the names are ours
            self.db.execute("DELETE FROM meta WHERE name NOT IN ('token', 'clock', 'seed')")


def _created(body: Json) -> int:
    return int(body.get("created") or body.get("created_at") or 0)


def _lock(folder: Path) -> Any:
    folder.mkdir(parents=True, exist_ok=True)
    lock = (folder / "sandbox.lock").open("w", encoding="utf-8")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        lock.close()
        raise TakenError(f"another sandbox runs over {folder}") from None
    return lock
