"""`loop projections` as an operator types it: what it prints, and the exit codes."""

import asyncio
import json
import secrets
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from click.testing import CliRunner, Result

from adapters.projector import Projector
from adapters.read_models import install, projections_status
from gateway.cli import cli
from projections import PROJECTIONS
from tests.gateway.loops import LOOP, environment
from tests.history import History, life
from tests.waiting import running, until

NAMES = ("orders", "ledger")


@pytest.fixture
def history(database_url: str) -> Iterator[History]:
    history = History(database_url)
    history.append([*life("ord_a"), *life("ord_b")])
    yield history
    history.close()


@pytest.fixture
def settings(database_url: str, tmp_path: Path) -> dict[str, str]:
    return {
        "LOOP_HOME": str(tmp_path),
        "LOOP_DATABASE_URL": database_url,
        "LOOP_NATS_URL": "nats://127.0.0.1:1",
        "LOOP_MASTER_KEYS": f"k1:{secrets.token_hex(32)}",
    }


@pytest.fixture
def loop(settings: dict[str, str]) -> Callable[..., Result]:
    def run(*arguments: str) -> Result:
        return CliRunner().invoke(cli, ["projections", *arguments], env=settings)

    return run


def worked(database_url: str, history: History, *names: str) -> None:
    """Let a worker bring read models level; the tables of all of them are there then."""

    async def work() -> None:
        await install(database_url)
        async with running(*[Projector(database_url, None, PROJECTIONS[n]) for n in names]):

            async def level() -> bool:
                found = await projections_status(database_url)
                return all(s.position == history.head for s in found if s.live and s.name in names)

            await until(level)

    asyncio.run(work())


def lines(result: Result) -> list[dict[str, Any]]:
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_a_rebuild_says_what_it_did_and_what_comes_next(
    database_url: str, history: History, loop: Callable[..., Result]
) -> None:
    worked(database_url, history, *NAMES)

    done = loop("rebuild", *NAMES)
    assert done.exit_code == 0, done.output
    assert "orders_v2 is live at event 14" in done.stdout
    assert "2 rows, digest" in done.stdout
    assert "loop projections drop ledger" in done.stdout

    beside = loop("rebuild", "orders", "--no-swap", "--json")
    (report,) = lines(beside)
    assert beside.exit_code == 0
    assert (report["outcome"], report["live"], report["built"]) == ("equal", 2, 3)
    assert loop("compare", "orders").exit_code == 0
    listed = {one["name"]: one for one in json.loads(loop("list", "--json").stdout)}
    assert list(listed) == list(PROJECTIONS)
    assert [listed["orders"][role] for role in ("live", "building", "kept")] == [[2], [3], [1]]
    assert (listed["orders"]["kind"], listed["ledger"]["kind"]) == ("rows per stream", "sums")
    shown = loop("status").stdout
    for words in ("orders_v1 kept", "orders_v2 live", "orders_v3 building"):
        assert words in shown
    assert "v1" in loop("list").stdout

    assert lines(loop("swap", "orders", "--json"))[0]["outcome"] == "swapped"
    dropped = loop("drop", "orders", "--json")
    assert lines(dropped) == [{"dropped": ["orders_v1", "orders_v2"]}]
    assert lines(loop("drop", "--all", "--json"))[0]["dropped"] == [
        "ledger_v1",
        "ledger_entries_v1",
    ]
    assert loop("drop", "orders").stdout == "nothing to be dropped\n"


def test_tables_that_differ_end_with_three_and_are_listed_by_column(
    database_url: str, history: History, loop: Callable[..., Result]
) -> None:
    worked(database_url, history, "orders")
    assert loop("rebuild", "orders", "--no-swap").exit_code == 0
    history.db.execute("UPDATE orders_v2 SET captured_minor = 7 WHERE order_id = 'ord_a'")

    for verb in (("rebuild", "orders"), ("swap", "orders", "--accept"), ("compare", "orders")):
        done = loop(*verb)
        assert done.exit_code == 3, done.output
        assert "1 changed, 0 missing, 0 added" in done.stdout
        assert "captured_minor: 1 rows" in done.stdout
        assert "ord_a  captured_minor: 1000 -> 7" in done.stdout
    assert loop("compare", "orders", "--log").exit_code == 0
    history.db.execute("UPDATE orders_v1 SET captured_minor = 7 WHERE order_id = 'ord_b'")
    wrong = loop("compare", "orders", "--log", "--json")
    assert wrong.exit_code == 3
    assert lines(wrong)[0]["differences"][0]["columns"] == {"captured_minor": [7, 1000]}


def test_an_operator_pauses_and_resumes(
    database_url: str, history: History, loop: Callable[..., Result]
) -> None:
    asyncio.run(install(database_url))
    assert lines(loop("pause", "orders", "--json")) == [{"paused": ["orders"]}]
    assert "paused since" in loop("status").stdout
    history.append(life())
    worked(database_url, history, "ledger")
    assert "ledger" in loop("pause", "--all").stdout
    assert lines(loop("resume", "orders", "--json")) == [{"resumed": ["orders"]}]
    assert loop("resume", "orders").stdout == "nothing to be resumed\n"
    worked(database_url, history, "orders")


def test_what_was_parked_is_retried_and_told(
    database_url: str, history: History, loop: Callable[..., Result]
) -> None:
    broken = history.append_raw([("ord_a", "order.teleported.v9", b"{}")])
    worked(database_url, history, "orders")
    assert loop("status").exit_code == 1

    failed = loop("retry", "orders")
    assert (failed.exit_code, "still fails" in failed.stdout) == (1, True)
    history.db.execute("ALTER TABLE events DISABLE TRIGGER ALL")
    history.db.execute("DELETE FROM events WHERE notification_id = %s", [broken])
    retried = loop("retry", "orders", "--stream", "ord_a", "--json")
    assert retried.exit_code == 0
    assert json.loads(retried.stdout) == [{"name": "orders", "stream": "ord_a", "error": None}]
    assert "nothing is parked" in loop("retry", "--all").stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("rebuild",), "name some read models"),
        (("rebuild", "orders", "--all"), "name some read models"),
        (("pause", "nothing"), "no read model nothing: there are orders"),
        (("drop", "--all", "--version", "1"), "--version goes with one"),
    ],
)
def test_wrong_usage_ends_with_two(
    loop: Callable[..., Result], arguments: tuple[str, ...], words: str
) -> None:
    done = loop(*arguments)
    assert done.exit_code == 2
    assert words in done.stderr


def test_what_cannot_be_done_ends_with_one_and_says_why(
    database_url: str, history: History, loop: Callable[..., Result]
) -> None:
    assert "run `loop migrate`" in loop("rebuild", "orders").stderr
    worked(database_url, history, "orders")
    none = loop("swap", "orders", "--json")
    assert (none.exit_code, lines(none)[0]["outcome"]) == (1, "failed")
    live = loop("drop", "orders", "--version", "1")
    assert (live.exit_code, "orders_v1 is live" in live.stderr) == (1, True)
    with psycopg.connect(database_url, autocommit=True) as other:
        other.execute("SELECT pg_advisory_lock(hashtextextended('loop.rebuild orders', 0))")
        second = loop("rebuild", "orders", "ledger", "--json")
    told = {line["name"]: line for line in lines(second)}
    assert second.exit_code == 1
    assert "somebody else" in told["orders"]["error"]
    assert told["ledger"]["outcome"] == "swapped"


def started(settings: dict[str, str], *options: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [*LOOP, "projections", "rebuild", "orders", *options],
        env=environment(**settings),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


async def test_ctrl_c_leaves_what_was_built_and_says_how_to_go_on(
    database_url: str, history: History, settings: dict[str, str]
) -> None:
    await install(database_url)
    async with running(Projector(database_url, None, PROJECTIONS["orders"])):

        async def level() -> bool:
            found = await projections_status(database_url)
            return any(s.name == "orders" and s.position == history.head for s in found)

        await until(level)
    # Somebody holds the new tables' row, so that the rebuild is inside when the signal comes.
    with psycopg.connect(database_url, options="-c search_path=loop") as holder:
        holder.execute(
            "INSERT INTO projection_positions (name, version, code, position, live)"
            " VALUES ('orders', 2, %s, 0, false)",
            [PROJECTIONS["orders"].version],
        )
        holder.execute("CREATE TABLE orders_v2 (LIKE orders_v1 INCLUDING ALL)")
        holder.commit()
        holder.execute("SELECT 1 FROM projection_positions WHERE version = 2 FOR UPDATE")
        process = started(settings)
        waits = "SELECT 1 FROM pg_stat_activity WHERE application_name = 'loop-rebuild-orders'"
        with psycopg.connect(database_url, autocommit=True) as watch:
            await until(
                lambda: watch.execute(f"{waits} AND wait_event_type = 'Lock'").fetchone(),  # type: ignore[bad-argument-type]
                60,
            )
        process.send_signal(signal.SIGINT)
        _, told = await asyncio.to_thread(process.communicate, timeout=60)
    assert process.returncode == 130, told
    assert "cancelled at event 0 of 14" in told
    assert "`loop projections rebuild orders` goes on" in told
    again = started(settings, "--json")
    out, told = await asyncio.to_thread(again.communicate, timeout=60)
    assert again.returncode == 0, told
    assert (json.loads(out)["outcome"], json.loads(out)["built"]) == ("swapped", 2)
