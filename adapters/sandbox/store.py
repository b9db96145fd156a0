"""The bank's SQLite file: rows in and out, and each key's effect and answer in one transaction."""

import fcntl
import hashlib
import sqlite3
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, TypeAlias, TypeVar

import msgspec

from adapters.sandbox.objects import Answer, Capture, Payment, Refund, View

BUSY_TIMEOUT_S: Final = 30.0
_SCHEMA: Final = Path(__file__).with_name("schema.sql")
_Row = TypeVar("_Row", Payment, Capture, Refund)


Param: TypeAlias = str | int | bool | None


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """One request as it came in; `params` are all that is sent with it.

    Attributes:
        key: the idempotency key; None is a request of the bank's own dashboard.
    """

    operation: str
    key: str | None
    reference: str | None
    params: dict[str, Param]

    @property
    def fingerprint(self) -> bytes:
        """What must be the same under the same key."""
        said = [self.operation, self.reference, self.params]
        return hashlib.sha256(msgspec.json.encode(said, order="sorted")).digest()


class Store:
    """One connection, for any thread; several processes may each have one on the same file.

    WAL with synchronous=NORMAL: what was committed outlives the SIGKILL of every process at any
    moment. A power cut may take the last commits with it, which a sandbox can bear.
    """

    def __init__(self, path: Path, *, busy_timeout_s: float = BUSY_TIMEOUT_S) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = threading.Lock()
        self._db = sqlite3.connect(
            path, timeout=busy_timeout_s, isolation_level=None, check_same_thread=False
        )
        self._db.row_factory = sqlite3.Row
        with _alone(path):
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = NORMAL")
            self._db.execute("PRAGMA foreign_keys = ON")
            self._db.executescript(_SCHEMA.read_text(encoding="utf-8"))

    def close(self) -> None:
        """Close the connection."""
        with self._lock:
            self._db.close()

    @contextmanager
    def transaction(self, begin: str = "BEGIN IMMEDIATE") -> Generator[sqlite3.Connection]:
        """Commit all that is done inside, or nothing; nobody else writes meanwhile."""
        with self._lock:
            self._db.execute(begin)
            try:
                yield self._db
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")

    def once(
        self, request: Request, now_us: int, effect: Callable[[Answer | None], Answer]
    ) -> Answer:
        """Answer a key as it was answered first; a new key is a new effect.

        An unfinished answer is not final: `effect` gets it and looks again.
        """
        with self.transaction() as db:
            row = db.execute(
                "SELECT fingerprint, answer FROM keys WHERE key = ?", (request.key,)
            ).fetchone()
            if row and row["fingerprint"] != request.fingerprint:
                answer = Answer(result="key_reused", reference=request.reference, at_us=now_us)
                self._note(request, now_us, answer, replayed=True)
                return answer
            stored = msgspec.json.decode(row["answer"], type=Answer) if row else None
            if stored and stored.result != "pending":
                answer = stored
            else:
                answer = effect(stored)
                if request.key is not None and answer.result != "no_such_payment":
                    db.execute(
                        "INSERT INTO keys (key, fingerprint, answer) VALUES (?, ?, ?) "
                        "ON CONFLICT (key) DO UPDATE SET answer = excluded.answer",
                        (request.key, request.fingerprint, msgspec.json.encode(answer)),
                    )
            self._note(request, now_us, answer, replayed=row is not None)
            return answer

    def _note(self, request: Request, now_us: int, answer: Answer, *, replayed: bool) -> None:
        """Write the request into the journal."""
        self._db.execute(
            "INSERT INTO requests (at_us, operation, key, reference, result, code, replayed) "
            "VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                now_us,
                request.operation,
                request.key,
                answer.reference,
                answer.result,
                answer.code,
                replayed,
            ),
        )

    def claim(self, scope: str, fault: str) -> bool:
        """Tell whether this is the fault's first time; remembered before it strikes."""
        with self.transaction() as db:
            cursor = db.execute("INSERT OR IGNORE INTO faults VALUES (?, ?)", (scope, fault))
            return cursor.rowcount == 1

    def view(self, reference: str) -> View | None:
        """Give a payment with its captures and refunds, oldest first; None if there is none."""
        given = (reference,)
        row = self._db.execute("SELECT * FROM payments WHERE reference = ?", given).fetchone()
        if row is None:
            return None
        captures = self._db.execute(
            "SELECT * FROM captures WHERE reference = ? ORDER BY rowid", given
        )
        refunds = self._db.execute(
            "SELECT * FROM refunds WHERE reference = ? ORDER BY rowid", given
        )
        return View(
            payment=_read(row, Payment),
            captures=tuple(_read(capture, Capture) for capture in captures),
            refunds=tuple(_read(refund, Refund) for refund in refunds),
        )

    def references(
        self, merchant: str, mode: str, since_us: int, below: tuple[int, str], limit: int
    ) -> list[str]:
        """Give a merchant's payments that changed since then, below a time and reference."""
        rows = self._db.execute(
            "SELECT reference FROM payments WHERE merchant = ? AND mode = ? AND changed_us >= ? "
            "AND (changed_us, reference) < (?, ?) ORDER BY changed_us DESC, reference DESC LIMIT ?",
            (merchant, mode, since_us, *below, limit),
        )
        return [row["reference"] for row in rows]

    def add(self, payment: Payment) -> None:
        """Insert a new payment."""
        self._db.execute(
            "INSERT INTO payments (reference, order_id, attempt_id, merchant, mode, amount, "
            "currency, token, hold_us, status, changed_us) VALUES (:reference, :order_id, "
            ":attempt_id, :merchant, :mode, :amount, :currency, :token, :hold_us, :status, "
            ":changed_us)",
            msgspec.structs.asdict(payment),
        )

    def save(self, before: View, after: View) -> None:
        """Write what a request has changed; captures are only ever added."""
        if after.payment != before.payment:
            self._save_payment(after.payment)
        self._db.executemany(
            "INSERT INTO captures VALUES (:id, :reference, :subject, :amount, :at_us)",
            map(msgspec.structs.asdict, after.captures[len(before.captures) :]),
        )
        changed = [refund for refund in after.refunds if refund not in before.refunds]
        self._db.executemany(
            "INSERT INTO refunds VALUES "
            "(:id, :reference, :subject, :amount, :status, :code, :looks, :at_us) "
            "ON CONFLICT (id) DO UPDATE SET status = excluded.status, code = excluded.code, "
            "looks = excluded.looks, at_us = excluded.at_us",
            map(msgspec.structs.asdict, changed),
        )

    def _save_payment(self, payment: Payment) -> None:
        self._db.execute(
            "UPDATE payments SET status = :status, authorized = :authorized, held = :held, "
            "looks = :looks, challenge_approved = :challenge_approved, "
            "decline_code = :decline_code, authorized_us = :authorized_us, "
            "capture_before_us = :capture_before_us, cancelled_us = :cancelled_us, "
            "lapsed_us = :lapsed_us, changed_us = :changed_us WHERE reference = :reference",
            msgspec.structs.asdict(payment),
        )


def _read(row: Any, kind: type[_Row]) -> _Row:
    """Convert a row; SQLite has no booleans, so conversion is lax."""
    return msgspec.convert(dict(row), kind, strict=False)


@contextmanager
def _alone(path: Path) -> Generator[None]:
    """Keep other processes out while the file is made: going to WAL ignores the busy timeout."""
    with path.with_name(f"{path.name}.lock").open("w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
