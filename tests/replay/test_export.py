"""An auditor without a database verifies an exported order with one file."""

import asyncio
import copy
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from adapters.checkpoints import sign
from adapters.log import connect
from adapters.notes import Signer
from adapters.vault import MasterKeys
from domain.ids import new_id
from gateway.cli import cli
from replay import verify_export
from tests.replay.conftest import MASTER, ORDERS, Db, grow

ROOT = Path(verify_export.__file__).parent.parent

# As an auditor runs it: isolated, and with nothing of this repository to be found.
ALONE = """
import runpy, sys
sys.path = [p for p in sys.path if p != {root!r}]
sys.argv = sys.argv[1:]
try:
    runpy.run_path(sys.argv[0], run_name="__main__")
finally:
    ours = [m for m in ("domain", "adapters", "gateway", "replay", "psycopg", "msgspec")
            if m in sys.modules]
    if ours:
        sys.exit(f"it imported {{ours}}")
"""


def loop(url: str, *arguments: str | Path) -> Result:
    environment = {
        "LOOP_DATABASE_URL": url,
        "LOOP_NATS_URL": "nats://127.0.0.1:1",
        "LOOP_MASTER_KEYS": MASTER,
    }
    return CliRunner().invoke(cli, ["audit", *map(str, arguments)], env=environment)


def verified(folder: Path, *more: str | Path) -> tuple[int, dict[str, Any]]:
    """Run the single file over the export of a folder; return exit code and report."""
    command = [sys.executable, "-I", "-c", ALONE.format(root=str(ROOT)), "verify_export.py"]
    done = subprocess.run(
        [*command, "export.json", "--json", *map(str, more)],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


@pytest.fixture
def folder(url: str, tmp_path: Path) -> Path:
    """What the auditor was sent: an export and the program."""
    done = loop(
        url, "export", ORDERS[2], "-o", tmp_path / "export.json",
        "--verifier", tmp_path / "verify_export.py",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    return tmp_path


@pytest.fixture
def key(url: str) -> str:
    keys: list[str] = json.loads(loop(url, "key", "--json").stdout)["keys"]
    return keys[0]


def test_with_a_key_that_is_trusted_it_is_verified(folder: Path, key: str) -> None:
    code, report = verified(folder, "--key", key)
    assert (code, report["verdict"]) == (0, "verified")
    assert (report["proven"], report["notSignedYet"], report["checkpoint"]) == (7, 0, 42)


def test_with_a_witness_it_needs_no_key(folder: Path, witness: Path) -> None:
    code, report = verified(folder, "--witness", witness)
    assert (code, report["verdict"], report["witnessed"]) == (0, "verified", 42)


def test_with_neither_it_is_only_consistent(folder: Path) -> None:
    code, report = verified(folder)
    assert (code, report["verdict"]) == (3, "consistent")


def test_another_key_or_another_history_is_found_out(
    folder: Path, key: str, witness: Path, tmp_path: Path
) -> None:
    origin = key.split("+", maxsplit=1)[0]
    other = str(Signer(origin, bytes(32)).verifier)
    assert verified(folder, "--key", other)[0] == 1
    notes = witness.read_text().splitlines()
    place = notes.index("42") + 1
    forged = tmp_path / "forged"
    forged.write_text("\n".join([*notes[:place], "A" * 43 + "=", *notes[place + 1 :], ""]))
    code, report = verified(folder, "--key", key, "--witness", forged)
    assert (code, report["verdict"]) == (1, "tampered")
    assert "another history of 42" in report["detail"]


def change(path: str, value: Any) -> Callable[[dict[str, Any]], None]:
    *parents, last = [int(part) if part.isdigit() else part for part in path.split(".")]

    def apply(export: dict[str, Any]) -> None:
        place: Any = export
        for part in parents:
            place = place[part]
        assert place[last] != value
        place[last] = value

    return apply


FORGERIES: dict[str, Callable[[dict[str, Any]], None]] = {
    "bytes": change("events.1.state", "e30="),
    "time": change("events.1.recordedAtMicros", 1),
    "type": change("events.1.type", "order.captured.v1"),
    "hash": change("events.1.hash", "00" * 32),
    "position": change("events.1.position", 40),
    "proof": change("events.1.proof", []),
    "no proof": change("events.1.proof", None),
    "proof of another": lambda export: export["events"][1].update(
        proof=export["events"][2]["proof"]
    ),
    "left out": lambda export: export["events"].pop(3),
    "doubled": lambda export: export["events"].insert(3, export["events"][3]),
    "swapped": lambda export: export["events"].reverse(),
    "none": lambda export: export["events"].clear(),
    "of another order": change("orderId", ORDERS[0]),
    "head": change("checkpoint.rootHash", "00" * 32),
    "size": change("checkpoint.size", 43),
    "signature": lambda export: export["checkpoint"].update(
        note=export["checkpoint"]["note"].replace("\n42\n", "\n41\n")
    ),
}


@pytest.mark.parametrize("forge", FORGERIES.values(), ids=FORGERIES)
def test_every_forgery_of_an_export_is_found(
    folder: Path, key: str, forge: Callable[[dict[str, Any]], None]
) -> None:
    export = json.loads((folder / "export.json").read_text())
    assert verify_export.verify(export, [key], None)["verdict"] == "verified"
    forged = copy.deepcopy(export)
    forge(forged)
    assert verify_export.verify(forged, [key], None)["verdict"] == "tampered"


def test_what_is_no_export_has_an_exit_code_of_its_own(folder: Path, key: str) -> None:
    for text in ("", "{}", '{"format": "loop-order-proof/9"}', "[]"):
        (folder / "export.json").write_text(text)
        done = subprocess.run(
            [sys.executable, "verify_export.py", "export.json", "--key", key],
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode, done.stdout) == (2, "")
        assert "cannot be read" in done.stderr


async def sign_again(url: str) -> None:
    await grow(url)
    async with await connect(url, "test") as db:
        assert await sign(db, MasterKeys(MASTER)) is not None


def one_more_order(db: Db) -> None:
    """Append seven events, as the log's own function would."""
    db.execute(
        "INSERT INTO events SELECT %s, originator_version, topic, state,"
        " 42 + originator_version, recorded_at + interval '1 minute' FROM events"
        " WHERE originator_id = %s",
        [new_id("ord"), ORDERS[0]],
    )


def test_an_export_proves_that_it_grew_from_what_the_witness_has(
    url: str, db: Db, witness: Path, tmp_path: Path, key: str
) -> None:
    one_more_order(db)
    asyncio.run(sign_again(url))
    done = loop(url, "export", ORDERS[2], "--witness", witness, "-o", tmp_path / "export.json")
    assert done.exit_code == 0, done.output
    (tmp_path / "verify_export.py").write_bytes(Path(verify_export.__file__).read_bytes())

    code, report = verified(tmp_path, "--witness", witness)
    assert (code, report["checkpoint"], report["witnessed"]) == (0, 49, 42)
    export = json.loads((tmp_path / "export.json").read_text())
    export["consistency"][-1]["proof"][0] = "00" * 32
    assert verify_export.verify(export, [key], witness)["verdict"] == "tampered"


def test_events_that_are_not_signed_yet_are_said_to_be_so(url: str, db: Db, key: str) -> None:
    db.execute(
        "INSERT INTO events SELECT originator_id, 8, topic, state, 43, recorded_at FROM events"
        " WHERE originator_id = %s AND originator_version = 7",
        [ORDERS[2]],
    )
    export = json.loads(loop(url, "export", ORDERS[2], "--json").stdout)
    report = verify_export.verify(export, [key], None)
    assert (report["verdict"], report["proven"], report["notSignedYet"]) == ("consistent", 7, 1)
    proven = loop(url, "prove", ORDERS[2], "--json")
    assert (proven.exit_code, json.loads(proven.stdout)["pending"]) == (3, [43])


def test_a_rotated_key_signs_on_and_what_the_old_one_signed_still_verifies(
    url: str, db: Db, witness: Path, key: str
) -> None:
    rotated = json.loads(loop(url, "key", "--rotate", "--json").stdout)["keys"]
    assert rotated[1:] == [key]
    one_more_order(db)
    asyncio.run(sign_again(url))
    export = json.loads(loop(url, "export", ORDERS[2], "--json").stdout)

    assert verify_export.verify(export, [rotated[0]], None)["verdict"] == "verified"
    assert verify_export.verify(export, [key], None)["verdict"] == "tampered"
    done = loop(url, "verify", "--witness", witness, "--json")
    report = json.loads(done.stdout)
    assert (done.exit_code, report["signed"], report["witnessed"]) == (0, 49, 42)
    assert report["checkpoints"] == 4


def test_prove_shows_every_event(url: str) -> None:
    shown = loop(url, "prove", ORDERS[2])
    assert shown.exit_code == 0, shown.output
    assert shown.stdout.count("proven by") == 7
    assert loop(url, "prove", "ord_x").exit_code == 1
    assert loop(url, "export", new_id("ord")).exit_code == 1


def test_checkpoint_prints_what_a_witness_keeps(url: str, witness: Path) -> None:
    note = loop(url, "checkpoint").stdout
    assert note in witness.read_text()
    told = json.loads(loop(url, "checkpoint", "--json").stdout)
    assert (told["size"], told["note"]) == (42, note.rstrip("\n") + "\n")


def test_before_anything_is_signed_the_verbs_say_so(database_url: str) -> None:
    for verb in (["checkpoint"], ["key"], ["prove", ORDERS[2]], ["export", ORDERS[2]]):
        done = loop(database_url, *verb)
        assert (done.exit_code, done.stdout) == (1, ""), done.output
        assert "nothing was signed yet" in done.stderr
