import contextlib
import os
import signal
import socket
import stat
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import psycopg
import pytest

from adapters.embedded.folder import private_folder
from adapters.embedded.process import EmbeddedError
from adapters.embedded.stack import EmbeddedStack, find_stack

STANDARD_PORTS = (4222, 5432, 6222, 8222)


def write_row(url: str, text: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS notes (text text)")
        connection.execute("INSERT INTO notes VALUES (%s)", (text,))


def rows(url: str) -> list[str]:
    with psycopg.connect(url) as connection:
        return [text for (text,) in connection.execute("SELECT text FROM notes ORDER BY text")]


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_servers_start_where_others_have_the_standard_ports(data: Path) -> None:
    with contextlib.ExitStack() as others:
        for port in STANDARD_PORTS:
            other = others.enter_context(socket.socket())
            with contextlib.suppress(OSError):  # somebody has it already: as good
                other.bind(("127.0.0.1", port))
                other.listen()
        info = others.enter_context(EmbeddedStack(data)).start()

        ports = {
            urlsplit(u).port for u in (info.database_url, info.nats_url, info.nats_monitor_url)
        }
        assert len(ports) == 3
        assert ports.isdisjoint(STANDARD_PORTS)
        write_row(info.database_url, "there")


def test_a_killed_supervisor_leaves_no_server_and_the_next_start_finds_the_data(
    data: Path, supervise: Callable[[str, Path], "subprocess.Popen[str]"]
) -> None:
    supervisor = supervise("adapters.embedded.stack.EmbeddedStack", data)
    assert supervisor.stdout is not None
    assert supervisor.stdout.readline() == "started\n"
    first = find_stack(data)
    assert first is not None
    assert first.pids.supervisor == supervisor.pid
    write_row(first.database_url, "before")
    servers = psutil.Process(supervisor.pid).children(recursive=True)
    assert {first.pids.postgres, first.pids.nats} < {server.pid for server in servers}

    supervisor.kill()

    _, alive = psutil.wait_procs(servers, timeout=90)
    assert not alive
    assert find_stack(data) is None
    assert "database system is shut down" in (data / "postgres/postgres.log").read_text()
    with EmbeddedStack(data) as second:
        assert second.postgres.url == first.database_url
        assert second.nats.url == first.nats_url
        assert rows(second.postgres.url) == ["before"]


def test_a_start_right_after_the_kill_waits_for_the_servers_to_go(
    data: Path, supervise: Callable[[str, Path], "subprocess.Popen[str]"]
) -> None:
    supervisor = supervise("adapters.embedded.stack.EmbeddedStack", data)
    assert supervisor.stdout is not None
    assert supervisor.stdout.readline() == "started\n"

    supervisor.kill()
    supervisor.wait()

    with EmbeddedStack(data) as second:
        write_row(second.postgres.url, "after")


def test_killed_servers_come_back_with_rows_port_and_password(stack: EmbeddedStack) -> None:
    before = stack.start()
    write_row(before.database_url, "kept")
    os.kill(before.pids.postgres, signal.SIGKILL)
    os.kill(before.pids.nats, signal.SIGKILL)
    psutil.wait_procs([psutil.Process(before.pids.postgres), psutil.Process(before.pids.nats)], 10)
    assert not stack.alive()

    after = stack.start()

    assert stack.alive()
    assert (after.database_url, after.nats_url) == (before.database_url, before.nats_url)
    assert after.pids != before.pids
    assert find_stack(stack.data) == after
    assert rows(after.database_url) == ["kept"]


def test_a_folder_takes_one_stack_only(stack: EmbeddedStack) -> None:
    with pytest.raises(EmbeddedError, match=rf"in use by another Loop \(pid {os.getpid()}\)"):
        EmbeddedStack(stack.data).start()

    assert stack.alive()
    assert find_stack(stack.data) == stack.start()


def test_the_note_is_there_while_the_stack_runs(data: Path) -> None:
    assert find_stack(data) is None
    with EmbeddedStack(data) as stack:
        found = find_stack(data)
        assert found == stack.start()
        note = (data / "stack.json").read_bytes()
    assert find_stack(data) is None
    assert not (data / "stack.json").exists()

    (data / "stack.json").write_bytes(note)
    assert find_stack(data) is None  # a note that outlived its stack


def test_nobody_else_can_read_the_data(stack: EmbeddedStack) -> None:
    for folder in (".", "postgres"):  # g+x: of nobody's group, when nobody runs PostgreSQL
        assert mode(stack.data / folder) & ~0o010 == 0o700
    for folder in ("postgres/cluster", "nats"):
        assert mode(stack.data / folder) == 0o700
    for secret in ("stack.json", "postgres/password", "nats/password"):
        assert mode(stack.data / secret) == 0o600


def test_a_folder_that_others_can_read_is_refused_unless_empty(data: Path) -> None:
    data.mkdir(mode=0o755)
    (data / "holiday.jpg").touch()
    with pytest.raises(EmbeddedError, match="open to other users"):
        EmbeddedStack(data).start()
    assert mode(data) == 0o755

    (data / "holiday.jpg").unlink()
    assert mode(private_folder(data)) == 0o700


def test_passwords_are_never_in_a_command_line(data: Path) -> None:
    seen: set[str] = set()
    done = threading.Event()

    def watch() -> None:
        while not done.is_set():
            for process in psutil.Process().children(recursive=True):
                with contextlib.suppress(psutil.Error):
                    seen.add(" ".join(process.cmdline()))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        with EmbeddedStack(data) as stack:
            passwords = [urlsplit(u).password for u in (stack.postgres.url, stack.nats.url)]
            write_row(stack.postgres.url, "x")
    finally:
        done.set()
        watcher.join()

    assert any("initdb" in line for line in seen)
    assert any("nats-server" in line for line in seen)
    assert all(password and len(password) > 40 for password in passwords)
    assert not any(str(password) in line for line in seen for password in passwords)
