"""Twelve kinds of tampering done by hand in SQL, each named with its position."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner
from psycopg import sql

from adapters.checkpoint_keys import signers
from adapters.checkpoints import sign
from adapters.log import connect
from adapters.notes import Signer
from adapters.vault import MasterKeys
from domain.checkpoint import Checkpoint
from domain.merkle import root
from gateway.cli import cli
from projections import audit_tree
from tests.replay.conftest import MASTER, ORDERS, SIZES, Db, grow


def verify(url: str, *more: str | Path) -> tuple[int, dict[str, Any]]:
    """Run `loop audit verify`; return its exit code and what it says."""
    environment = {
        "LOOP_DATABASE_URL": url,
        "LOOP_NATS_URL": "nats://127.0.0.1:1",
        "LOOP_MASTER_KEYS": MASTER,
    }
    arguments = ["audit", "verify", "--json", *map(str, more)]
    done = CliRunner().invoke(cli, arguments, env=environment, prog_name="loop")
    assert done.stdout, done.output
    return done.exit_code, json.loads(done.stdout)


def found(url: str, *more: str | Path) -> list[tuple[str, int, int]]:
    """Return what `loop audit verify` names; it must be something."""
    code, report = verify(url, *more)
    assert (code, report["verdict"]) == (1, "tampered")
    return [(f["kind"], f["position"], f["upto"]) for f in report["findings"]]


def edit(db: Db, position: int, old: bytes, new: bytes) -> None:
    """Replace something in the stored bytes of an event."""
    row = db.execute("SELECT state FROM events WHERE notification_id = %s", [position]).fetchone()
    assert row is not None
    changed = bytes(row[0]).replace(old, new)
    assert changed != row[0]
    done = db.execute(
        "UPDATE events SET state = %s WHERE notification_id = %s", [changed, position]
    )
    assert done.rowcount == 1


def renumber(db: Db, after: int, by: int) -> None:
    """Move all later events so many positions on."""
    db.execute("UPDATE events SET notification_id = -notification_id")
    db.execute(
        "UPDATE events SET notification_id = CASE WHEN -notification_id > %s"
        " THEN -notification_id + %s ELSE -notification_id END",
        [after, by],
    )


def regrow(url: str, db: Db) -> None:
    """Make the tree anew from what the log says now."""
    db.execute("TRUNCATE audit_tree_v1")
    db.execute("UPDATE projection_positions SET position = 0")
    asyncio.run(grow(url))


def resign(url: str, db: Db, thief: Callable[[str], Signer], *, from_size: int = 0) -> None:
    """Replace the checkpoints by ones over what the tree says now."""
    origin = db.execute("SELECT DISTINCT origin FROM checkpoints").fetchone()
    assert origin is not None
    db.execute("DELETE FROM checkpoints WHERE size >= %s", [from_size])
    for size in (size for size in SIZES if size >= from_size):
        made = Checkpoint(origin=origin[0], size=size, root=asyncio.run(root_of(url, size)))
        db.execute(
            "INSERT INTO checkpoints VALUES (%s, %s, %s, %s)",
            [origin[0], size, made.root, thief(origin[0]).sign(made.text())],
        )


async def root_of(url: str, size: int) -> bytes:
    async with await connect(url, "test") as db:
        return await audit_tree.computed(db, lambda nodes: root(nodes, size))


def stolen(url: str) -> Callable[[str], Signer]:
    """The key itself, as somebody has it who also got the master key."""

    async def key() -> Signer:
        async with await connect(url, "test") as db:
            return (await signers(db, MasterKeys(MASTER)))[-1]

    signer = asyncio.run(key())
    return lambda _origin: signer


def test_a_history_that_nobody_touched_is_verified_by_its_witness(url: str, witness: Path) -> None:
    code, report = verify(url, "--witness", witness)
    assert (code, report["verdict"], report["findings"]) == (0, "verified", [])
    assert (report["events"], report["checkpoints"], report["witnessed"]) == (42, 3, 42)


def test_without_a_witness_it_is_only_consistent(url: str) -> None:
    code, report = verify(url)
    assert (code, report["verdict"], report["findings"]) == (3, "unwitnessed", [])
    assert report["witnessed"] is None


def test_1_edited_data(url: str, db: Db) -> None:
    edit(db, 17, b'"minor":1000', b'"minor":9000')
    assert found(url) == [("altered", 17, 17)]


def test_2_edited_metadata(url: str, db: Db) -> None:
    edit(db, 18, b'"operator"', b'"customer"')
    assert found(url) == [("altered", 18, 18)]


def test_3_edited_time_of_recording(url: str, db: Db) -> None:
    db.execute(
        "UPDATE events SET recorded_at = recorded_at + interval '1 microsecond'"
        " WHERE notification_id = 19"
    )
    assert found(url) == [("altered", 19, 19)]


def test_4_moved_to_another_stream(url: str, db: Db) -> None:
    db.execute(
        "UPDATE events SET originator_id = 'ord_other', originator_version = 1"
        " WHERE notification_id = 20"
    )
    assert found(url) == [("altered", 20, 20)]


def test_5_deleted_in_the_middle(url: str, db: Db) -> None:
    db.execute("DELETE FROM events WHERE notification_id IN (21, 25, 26)")
    assert found(url) == [("missing", 21, 21), ("missing", 25, 26)]


@pytest.mark.parametrize("versions", [False, True], ids=["positions", "versions too"])
@pytest.mark.parametrize("last", [22, 24], ids=["one", "three"])
def test_6_deleted_and_renumbered(url: str, db: Db, *, versions: bool, last: int) -> None:
    db.execute("DELETE FROM events WHERE notification_id BETWEEN 22 AND %s", [last])
    renumber(db, last, 21 - last)
    if versions:
        db.execute(
            "UPDATE events e SET originator_version = n.version FROM (SELECT originator_id AS id,"
            " originator_version AS old, row_number() OVER (PARTITION BY originator_id"
            " ORDER BY originator_version) AS version FROM events) n"
            " WHERE e.originator_id = n.id AND e.originator_version = n.old"
        )
    assert found(url) == [("missing", 22, last)]


COLUMNS = ("originator_id", "originator_version", "topic", "state", "notification_id",
           "recorded_at")  # fmt: skip
SWAPS = {
    "positions": {"notification_id"},
    "positions and times": {"notification_id", "recorded_at"},
    "contents": {"topic", "state"},
}


@pytest.mark.parametrize("other", [10, 30])
@pytest.mark.parametrize("swapped", SWAPS.values(), ids=SWAPS)
def test_7_two_swapped(url: str, db: Db, swapped: set[str], other: int) -> None:
    db.execute("CREATE TEMP TABLE two AS SELECT * FROM events LIMIT 0")
    db.execute("INSERT INTO two SELECT * FROM events WHERE notification_id = ANY(%s)", [[9, other]])
    db.execute("DELETE FROM events e USING two WHERE e.notification_id = two.notification_id")
    picked = sql.SQL(", ").join(
        sql.Identifier("b" if name in swapped else "a", name) for name in COLUMNS
    )
    pairs = sql.SQL("SELECT {} FROM two a, two b WHERE a.notification_id <> b.notification_id")
    db.execute(sql.SQL("INSERT INTO events ") + pairs.format(picked))
    assert found(url) == [("reordered", 9, 9), ("reordered", other, other)]


@pytest.mark.parametrize("many", [1, 2])
def test_8_inserted(url: str, db: Db, many: int) -> None:
    renumber(db, 14, many)
    for n in range(many):
        db.execute(
            "INSERT INTO events SELECT 'ord_forged', %s, topic, state, %s, recorded_at FROM events"
            " WHERE notification_id = 3",
            [n + 1, 15 + n],
        )
    assert found(url) == [("inserted", 15, 14 + many)]


def test_8_inserted_before_the_first(url: str, db: Db) -> None:
    db.execute(
        "INSERT INTO events SELECT 'ord_forged', 1, topic, state, 0, recorded_at FROM events"
        " WHERE notification_id = 3"
    )
    assert found(url) == [("inserted", 0, 0)]


def test_9_tail_cut(url: str, db: Db) -> None:
    db.execute("DELETE FROM events WHERE notification_id >= 36")
    assert found(url) == [("truncated", 36, 42)]


def test_10_tail_cut_with_its_checkpoints(url: str, db: Db) -> None:
    db.execute("DELETE FROM events WHERE notification_id >= 31")
    db.execute("DELETE FROM checkpoints WHERE size >= 31")
    assert found(url) == [("truncated", 31, 42)]


def test_10_tail_cut_with_all_that_knew_it(url: str, db: Db, witness: Path) -> None:
    db.execute("DELETE FROM events WHERE notification_id >= 31")
    db.execute("DELETE FROM checkpoints WHERE size >= 31")
    regrow(url, db)
    assert verify(url)[0] == 3
    assert found(url, "--witness", witness) == [("truncated", 31, 42)]


def rewrite(url: str, db: Db, position: int) -> None:
    """Change an event and make everything agree that it has always been so."""
    edit(db, position, b'"minor":1000', b'"minor":9000')
    regrow(url, db)


def test_11_rewritten_and_signed_with_another_key(url: str, db: Db, witness: Path) -> None:
    rewrite(url, db, 1)
    resign(url, db, lambda origin: Signer(origin, b"another key that is ours"[:24] + bytes(8)))
    assert found(url) == [("rewritten", 1, 42)]
    assert found(url, "--witness", witness) == [("rewritten", 1, 14)]


def test_11_rewritten_from_the_middle_and_signed_with_another_key(url: str, db: Db) -> None:
    rewrite(url, db, 17)
    resign(url, db, lambda origin: Signer(origin, bytes(32)), from_size=28)
    assert found(url) == [("rewritten", 15, 42)]


def test_12_rewritten_and_signed_with_the_stolen_key(url: str, db: Db, witness: Path) -> None:
    rewrite(url, db, 1)
    resign(url, db, stolen(url))
    code, report = verify(url)
    assert (code, report["verdict"], report["findings"]) == (3, "unwitnessed", [])
    assert found(url, "--witness", witness) == [("rewritten", 1, 14)]


def test_12_rewritten_from_the_middle_with_the_stolen_key(url: str, db: Db, witness: Path) -> None:
    rewrite(url, db, 30)
    resign(url, db, stolen(url))
    assert verify(url)[0] == 3
    assert found(url, "--witness", witness) == [("rewritten", 29, 42)]


def test_an_edit_that_was_signed_but_not_put_into_the_tree(url: str, db: Db, witness: Path) -> None:
    rewrite(url, db, 17)
    resign(url, db, stolen(url))
    edit(db, 17, b'"minor":9000', b'"minor":1000')
    regrow(url, db)
    edit(db, 17, b'"minor":1000', b'"minor":9000')
    assert found(url) == [("tree", 17, 17)]
    assert found(url, "--witness", witness) == [("altered", 17, 17)]


def test_rewritten_but_for_the_signatures(url: str, db: Db) -> None:
    rewrite(url, db, 17)
    assert found(url) == [("rewritten", 15, 28)]


def test_an_edit_with_its_leaf_is_named_by_the_node_above(url: str, db: Db) -> None:
    edit(db, 17, b'"minor":1000', b'"minor":9000')
    kept = dict(db.execute("SELECT position, hashes FROM audit_tree_v1").fetchall())
    regrow(url, db)
    for position, hashes in kept.items():
        if position != 17:
            db.execute(
                "UPDATE audit_tree_v1 SET hashes = %s WHERE position = %s", [hashes, position]
            )
    assert found(url) == [("altered", 17, 18)]


def test_damage_of_the_tree_alone_is_no_doubt_about_the_log(url: str, db: Db) -> None:
    db.execute("UPDATE audit_tree_v1 SET hashes = sha256('x') WHERE position = 5")
    assert found(url) == [("tree", 5, 5)]


def test_damage_of_a_checkpoint_alone_is_no_doubt_about_the_log(url: str, db: Db) -> None:
    db.execute("UPDATE checkpoints SET note = replace(note, E'\\n28\\n', E'\\n27\\n')"
               " WHERE size = 28")  # fmt: skip
    assert found(url) == [("checkpoint", 28, 28)]


def test_checkpoints_that_are_all_gone_are_missed(url: str, db: Db) -> None:
    db.execute("TRUNCATE checkpoints")
    assert found(url) == [("checkpoint", 42, 42)]


def test_another_name_of_the_log_does_not_hide_what_was_signed_before(url: str, db: Db) -> None:
    db.execute("UPDATE log_identity SET log_id = 'another'")
    rewrite(url, db, 1)
    db.execute("TRUNCATE checkpoints")

    async def sign_as_the_worker_does() -> None:
        async with await connect(url, "test") as connection:
            assert await sign(connection, MasterKeys(MASTER)) is not None

    asyncio.run(sign_as_the_worker_does())
    assert found(url) == [("checkpoint", 42, 42)]


def test_an_event_behind_the_last_checkpoint_may_not_leave_its_stream_with_a_gap(
    url: str, db: Db
) -> None:
    db.execute(
        "INSERT INTO events SELECT 'ord_new', 2, topic, state, 43, recorded_at FROM events"
        " WHERE notification_id = 42"
    )
    assert found(url) == [("missing", 43, 43)]


def test_what_cannot_be_checked_is_not_called_tampering(url: str, tmp_path: Path) -> None:
    broken = tmp_path / "notes"
    broken.write_text("no note\n")
    for more in (("--witness", str(tmp_path / "none")), ("--witness", str(broken)), ("--key", "x")):
        environment = {"LOOP_DATABASE_URL": url, "LOOP_NATS_URL": "nats://127.0.0.1:1"}
        done = CliRunner().invoke(
            cli, ["audit", "verify", *more], env=environment | {"LOOP_MASTER_KEYS": MASTER}
        )
        assert (done.exit_code, done.stdout) == (4, ""), done.output


def test_people_read_the_verdict_and_the_place(url: str, db: Db) -> None:
    edit(db, 17, b'"minor":1000', b'"minor":9000')
    environment = {"LOOP_DATABASE_URL": url, "LOOP_NATS_URL": "nats://127.0.0.1:1"}
    done = CliRunner().invoke(
        cli, ["audit", "verify"], env=environment | {"LOOP_MASTER_KEYS": MASTER}
    )
    assert done.exit_code == 1
    assert "tampered with" in done.stdout
    assert "altered" in done.stdout
    assert f"event 17 (order.authorized.v1 of {ORDERS[4]}) is not what it was" in done.stdout


def test_a_report_is_json_of_its_struct(url: str) -> None:
    from replay.audit import Report  # noqa: PLC0415 - only here

    assert msgspec.convert(verify(url)[1], Report).events == 42
