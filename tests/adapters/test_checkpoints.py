"""Checkpoints: signed notes as C2SP has them, one history per key, told to a witness."""

import asyncio
import base64
import http.server
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Self

import nats
import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typing_extensions import override

from adapters import checkpoint_keys, checkpoints
from adapters.checkpoints import Checkpoints, Forked, Signed, latest, sign, tell
from adapters.log import Connection, connect
from adapters.nats import Bus
from adapters.notes import NoteError, Signer, Verifier, open_note, split_notes
from adapters.projector import Projector
from adapters.settings import SettingError, load_settings
from adapters.vault import MasterKeys
from adapters.witness import WitnessError, read_notes
from domain.checkpoint import Checkpoint
from projections import PROJECTIONS, audit_tree
from tests.history import History, life
from tests.waiting import running, until

TREE = PROJECTIONS["audit_tree"]
MASTER = MasterKeys(f"k1:{'5a' * 32}")

# golang.org/x/mod/sumdb/note: the note and key of its documentation.
PETER = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
THOUGHT = """If you think cryptography is the answer to your problem,
then you don't know what your problem is.

— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=
"""  # noqa: E501 - one line of base64


@pytest.fixture
async def db(database_url: str) -> AsyncIterator[Connection]:
    async with await connect(database_url, "test") as db:
        yield db


async def grow(database_url: str, db: Connection, history: History, lives: int = 1) -> None:
    """Append some orders and have the tree follow."""
    history.append([fact for _ in range(lives) for fact in life()])
    async with running(Projector(database_url, None, TREE)):
        await until(lambda: _level(db, history.head))


async def _level(db: Connection, head: int) -> bool:
    try:
        return await audit_tree.size(db) == head
    except psycopg.errors.UndefinedTable:
        return False


async def signed(db: Connection) -> Signed:
    made = await sign(db, MASTER)
    assert made is not None
    return made


def test_a_note_of_the_reference_implementation_is_opened() -> None:
    verifier = Verifier.parse(PETER)
    assert open_note(THOUGHT, [verifier]).signed_by == (verifier,)
    assert str(verifier) == PETER
    with pytest.raises(NoteError, match="not of this text"):
        open_note(THOUGHT.replace("don't", "do"), [verifier])


@given(st.binary(min_size=32, max_size=32), st.lists(st.text("ab \n—+", max_size=9), min_size=1))
def test_what_was_signed_is_opened_by_its_key_only(seed: bytes, lines: list[str]) -> None:
    signer, other = Signer("loop/x", seed), Signer("loop/x", bytes(32))
    text = "".join(f"{line}\n" for line in lines)
    note = signer.sign(text)
    assert open_note(note, [signer.verifier]).text == text
    assert open_note(note, [signer.verifier]).signed_by == (signer.verifier,)
    if seed != bytes(32):
        assert open_note(note, [other.verifier]).signed_by == ()
    assert Verifier.parse(str(signer.verifier)) == signer.verifier


@pytest.mark.parametrize(
    "text",
    ["", "x", "a+b+c", PETER.replace("c74f", "0000"), PETER[:-4], PETER.replace("+AR", "+BR")],
)
def test_a_malformed_key_is_refused(text: str) -> None:
    with pytest.raises(NoteError):
        Verifier.parse(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "o\n",
        "o\n1\n",
        "o\n01\nAA==\n",
        "o\n-1\nAA==\n",
        "o\n1\nAA==\n",
        "\n1\nAA==\n",
        "o\n1\n?\n",
    ],
)
def test_what_is_no_checkpoint_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="checkpoint"):
        Checkpoint.parse(text)


def test_a_checkpoint_reads_as_it_was_written_also_with_extensions() -> None:
    made = Checkpoint(origin="loop/a", size=7, root=bytes(range(32)))
    assert made.text() == f"loop/a\n7\n{base64.b64encode(bytes(range(32))).decode()}\n"
    assert Checkpoint.parse(made.text()) == Checkpoint.parse(made.text() + "more\n") == made


def test_notes_of_a_file_come_apart_again() -> None:
    notes = [Signer("loop/a", bytes(32)).sign(f"loop/a\n{n}\nroot\n") for n in range(3)]
    assert list(split_notes("\n".join(notes))) == notes
    assert list(split_notes("".join(notes))) == notes
    assert list(split_notes("")) == []


async def test_the_tree_is_signed_when_it_has_grown(
    database_url: str, db: Connection, history: History
) -> None:
    await grow(database_url, db, history)
    first = await signed(db)
    assert await sign(db, MASTER) is None
    await grow(database_url, db, history, 3)
    second = await signed(db)

    assert (first.size, second.size) == (7, 28)
    assert await latest(db) == second
    keys = await checkpoint_keys.verifiers(db, MASTER)
    opened = open_note(second.note, keys)
    assert opened.signed_by == tuple(keys)
    assert Checkpoint.parse(opened.text) == Checkpoint(
        origin=second.origin, size=28, root=second.root
    )


async def test_no_second_history_is_signed(
    database_url: str, db: Connection, history: History
) -> None:
    await grow(database_url, db, history)
    await signed(db)
    history.db.execute("UPDATE audit_tree_v1 SET hashes = sha256(hashes) WHERE position = 7")
    history.db.execute("INSERT INTO audit_tree_v1 VALUES (8, (SELECT sha256('') || sha256('')))")
    with pytest.raises((Forked, LookupError)):
        await sign(db, MASTER)
    history.db.execute(
        "UPDATE audit_tree_v1 SET hashes = decode(repeat('00', 128), 'hex') WHERE position = 8"
    )
    history.db.execute(
        "UPDATE audit_tree_v1 SET hashes = decode(repeat('00', 32), 'hex') WHERE position = 7"
    )
    with pytest.raises(Forked):
        await sign(db, MASTER)
    assert (await latest(db) or first_of_nothing()).size == 7


def first_of_nothing() -> Signed:
    raise AssertionError("there is a checkpoint")


async def test_kept_checkpoints_do_not_change(
    database_url: str, db: Connection, history: History
) -> None:
    await grow(database_url, db, history)
    await signed(db)
    for statement in (
        "UPDATE checkpoints SET note = ''",
        "DELETE FROM checkpoints",
        "TRUNCATE checkpoints",
    ):
        with pytest.raises(psycopg.errors.RestrictViolation):
            history.db.execute(statement)


async def test_a_new_key_signs_and_the_old_one_still_verifies(
    database_url: str, db: Connection, history: History
) -> None:
    await grow(database_url, db, history)
    first = await signed(db)
    fresh = await checkpoint_keys.rotate(db, MASTER, first.origin)
    await grow(database_url, db, history)
    second = await signed(db)

    old, new = await checkpoint_keys.verifiers(db, MASTER)
    assert new == fresh.verifier != old
    assert open_note(first.note, [old, new]).signed_by == (old,)
    assert open_note(second.note, [old, new]).signed_by == (new,)
    dumped = history.db.execute("SELECT string_agg(s::text, ' ') FROM secrets s").fetchone()
    assert dumped is not None
    assert fresh._key.private_bytes_raw().hex() not in dumped[0]


async def test_a_file_gets_every_checkpoint_once_however_often_it_is_told(
    database_url: str, db: Connection, history: History, tmp_path: Path
) -> None:
    file = tmp_path / "witness.txt"
    made: list[str] = []
    for _ in range(3):
        await grow(database_url, db, history)
        made.append((await signed(db)).note)
        await tell(db, str(file))
        assert await tell(db, str(file)) == 0
    assert read_notes(str(file)) == made
    with pytest.raises(WitnessError):
        await tell(db, str(tmp_path))
    with pytest.raises(WitnessError):
        read_notes(str(tmp_path / "nothing"))


def test_a_witness_is_a_file_or_a_web_address(tmp_path: Path) -> None:
    given = {
        "LOOP_DATABASE_URL": "postgresql://x",
        "LOOP_NATS_URL": "nats://x",
        "LOOP_MASTER_KEYS": f"k1:{'5a' * 32}",
    }
    for where in ("", "notes.txt", str(tmp_path), "https://witness.example/notes"):
        assert load_settings(given | {"LOOP_WITNESS": where}).witness == where
    with pytest.raises(SettingError, match="LOOP_WITNESS"):
        load_settings(given | {"LOOP_WITNESS": "ftp://witness.example"})


async def test_the_role_signs_publishes_and_tells_a_witness_that_was_away(
    database_url: str, history: History, nats_url: str
) -> None:
    heard: list[bytes] = []

    async def hear(message: object) -> None:
        heard.append(message.data)  # type: ignore[attr-defined]

    async with Bus(nats_url, name="test") as bus:
        client = await nats.connect(nats_url)
        await client.subscribe(checkpoints.SUBJECT, cb=hear)
        await client.flush()
        await bus.client()
        with Keeper() as keeper:
            keeper.refuse = 2
            roles = [Checkpoints(database_url, bus, MASTER, keeper.url) for _ in range(2)]
            async with running(Projector(database_url, None, TREE), *roles):
                for _ in range(2):
                    history.append(life())
                    await until(lambda: asyncio.to_thread(keeper.has, history.head))
            assert read_notes(keeper.url) == [note.decode() for note in heard] == keeper.notes
        await client.close()
    found = history.db.execute("SELECT note FROM checkpoints ORDER BY size").fetchall()
    assert [note for (note,) in found] == keeper.notes


class Keeper:
    """A witness over HTTP that keeps what is POSTed; it refuses the first few."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.refuse = 0
        keeper = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                keeper.refuse -= 1
                self.send_response(503 if keeper.refuse >= 0 else 204)
                if keeper.refuse < 0:
                    keeper.notes.append(body)
                self.end_headers()

            def do_GET(self) -> None:
                self.send_response(200)
                self.end_headers()
                self.wfile.write("\n".join(keeper.notes).encode())

            @override
            def log_message(self, format: str, *args: Any) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/notes"

    def has(self, size: int) -> bool:
        return bool(self.notes) and self.notes[-1].splitlines()[1] == str(size)

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
