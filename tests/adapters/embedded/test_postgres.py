import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import psycopg
import pytest

from adapters.embedded.postgres import EmbeddedPostgres
from adapters.embedded.process import EmbeddedError

POSTGRES = "adapters.embedded.postgres.EmbeddedPostgres"


def one(url: str, query: bytes) -> object:
    with psycopg.connect(url, autocommit=True) as connection:
        row = connection.execute(query).fetchone()
        return row and row[0]


def write_seven(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 7 AS n")


def test_the_database_is_durable_utf8_and_sorts_the_same_everywhere(
    postgres: EmbeddedPostgres,
) -> None:
    assert one(postgres.url, b"SHOW fsync") == "on"
    assert one(postgres.url, b"SHOW synchronous_commit") == "on"
    assert one(postgres.url, b"SHOW server_encoding") == "UTF8"
    assert one(postgres.url, b"SELECT current_setting('server_version_num')::int / 10000") == 18
    locale = (
        b"SELECT datlocprovider::text || ' ' || datlocale FROM pg_database WHERE datname = 'loop'"
    )
    assert one(postgres.url, locale) == "b C.UTF-8"


def test_nobody_gets_in_without_the_password(postgres: EmbeddedPostgres) -> None:
    password = str(urlsplit(postgres.url).password)
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(postgres.url.replace(password, "guess"))


def test_it_listens_on_loopback_only(postgres: EmbeddedPostgres) -> None:
    sockets = psutil.Process(postgres.pid).net_connections(kind="all")

    assert {socket.AF_INET} == {used.family for used in sockets}
    assert {"127.0.0.1"} == {used.laddr.ip for used in sockets}


def test_it_has_no_capabilities_even_if_root_starts_it(postgres: EmbeddedPostgres) -> None:
    status = Path(f"/proc/{postgres.pid}/status").read_text()
    assert "CapEff:\t0000000000000000\n" in status


def test_a_port_that_was_taken_meanwhile_is_replaced(data: Path) -> None:
    server = EmbeddedPostgres(data)
    with server:
        before = urlsplit(server.url).port
        write_seven(server.url)
    with socket.create_server(("127.0.0.1", before or 0)), server:
        assert urlsplit(server.url).port != before
        assert one(server.url, b"SELECT n FROM kept") == 7


def test_a_server_left_alive_by_an_earlier_run_is_stopped_first(data: Path) -> None:
    earlier, later = EmbeddedPostgres(data), EmbeddedPostgres(data)
    with earlier:
        write_seven(earlier.url)
        with later:
            assert not earlier.alive()
            assert earlier.pid is None
            assert one(later.url, b"SELECT n FROM kept") == 7


def test_a_stranger_that_has_the_pid_of_a_crashed_server_is_left_alone(data: Path) -> None:
    server = EmbeddedPostgres(data)
    with server:
        write_seven(server.url)
        note = data / "postgres/cluster/postmaster.pid"
        lines = note.read_text().splitlines()
        os.kill(server.pid or 0, signal.SIGKILL)
    with subprocess.Popen(["sleep", "300"]) as stranger:
        note.write_text("\n".join([str(stranger.pid), *lines[1:]]))
        try:
            with server:
                assert one(server.url, b"SELECT n FROM kept") == 7
            assert stranger.poll() is None
        finally:
            stranger.kill()


def test_an_initdb_killed_half_way_is_done_again(
    data: Path, supervise: Callable[[str, Path], "subprocess.Popen[str]"]
) -> None:
    supervisor = supervise(POSTGRES, data)
    half = data / "postgres/cluster.new/global"
    deadline = time.monotonic() + 30
    while not half.exists():
        assert time.monotonic() < deadline
    supervisor.kill()
    supervisor.wait()
    assert not (data / "postgres/cluster").exists()

    with EmbeddedPostgres(data) as server:
        assert one(server.url, b"SELECT 1") == 1
    assert not (data / "postgres/cluster.new").exists()
    assert not (data / "postgres/initdb-password").exists()


def test_a_cluster_that_cannot_start_gives_the_last_log_lines(data: Path) -> None:
    with EmbeddedPostgres(data):
        pass
    shutil.rmtree(data / "postgres/cluster/pg_wal")

    server = EmbeddedPostgres(data)
    with pytest.raises(EmbeddedError, match=r"ended with code 1; .*\n(.*\n)*.*pg_wal"):
        server.start()
    assert not server.alive()


def test_starting_twice_is_starting_once(postgres: EmbeddedPostgres) -> None:
    before = postgres.pid
    assert postgres.start() == postgres.url
    assert postgres.pid == before


def test_a_thread_that_may_end_cannot_start_a_server(data: Path) -> None:
    errors: list[EmbeddedError] = []

    def start() -> None:
        try:
            EmbeddedPostgres(data).start()
        except EmbeddedError as error:
            errors.append(error)

    thread = threading.Thread(target=start)
    thread.start()
    thread.join()

    assert "main thread" in str(errors[0])
    assert not (data / "postgres/cluster").exists()
