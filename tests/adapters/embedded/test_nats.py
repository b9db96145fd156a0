import os
import shutil
import signal
import socket
import stat
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import nats
import psutil
from nats.js import JetStreamContext

from adapters.embedded.nats import EmbeddedNats


@asynccontextmanager
async def jetstream(url: str) -> AsyncGenerator[JetStreamContext]:
    client = await nats.connect(url, connect_timeout=5)
    try:
        yield client.jetstream(timeout=5)
    finally:
        await client.close()


async def store(url: str) -> int:
    """Store one message in the stream, made if missing; give its sequence."""
    async with jetstream(url) as js:
        await js.add_stream(name="LOOP", subjects=["loop.>"])
        return (await js.publish("loop.test", b"x")).seq


async def test_messages_survive_a_kill_and_clients_find_the_same_port(data: Path) -> None:
    with EmbeddedNats(data) as server:
        before = server.url
        assert await store(before) == 1
        os.kill(server.pid or 0, signal.SIGKILL)
        psutil.wait_procs([psutil.Process(server.pid)] if server.pid else [], timeout=10)
        assert not server.alive()

        assert server.start() == before
        assert await store(before) == 2


async def test_a_store_deleted_while_it_runs_is_made_anew_by_a_restart(data: Path) -> None:
    with EmbeddedNats(data) as server:
        assert await store(server.url) == 1
        shutil.rmtree(data / "nats/store")

        server.stop()
        server.start()

        assert await store(server.url) == 1


async def test_a_folder_deleted_while_it_runs_is_made_anew_by_a_restart(data: Path) -> None:
    with EmbeddedNats(data) as server:
        assert await store(server.url) == 1
        shutil.rmtree(data)

        server.stop()
        server.start()

        assert await store(server.url) == 1


async def test_a_store_deleted_while_down_is_made_anew(data: Path) -> None:
    with EmbeddedNats(data) as server:
        assert await store(server.url) == 1
    shutil.rmtree(data / "nats/store")
    with server:
        assert await store(server.url) == 1


async def test_a_port_that_was_taken_meanwhile_is_replaced(data: Path) -> None:
    server = EmbeddedNats(data)
    with server:
        assert await store(server.url) == 1
        before, monitor = urlsplit(server.url).port, urlsplit(server.monitor_url).port
    with socket.create_server(("127.0.0.1", before or 0)), server:
        assert urlsplit(server.url).port != before
        assert urlsplit(server.monitor_url).port == monitor
        assert await store(server.url) == 2


async def test_a_server_left_alive_by_an_earlier_run_is_stopped_first(data: Path) -> None:
    earlier, later = EmbeddedNats(data), EmbeddedNats(data)
    with earlier:
        assert await store(earlier.url) == 1
        with later:
            assert not earlier.alive()
            assert await store(later.url) == 2


def test_nobody_gets_in_without_the_password(nats_url: str) -> None:
    with socket.create_connection(("127.0.0.1", urlsplit(nats_url).port or 0), timeout=10) as raw:
        raw.sendall(b'CONNECT {"user": "loop", "pass": "guess", "verbose": true}\r\nPING\r\n')
        answer = b"".join(iter(lambda: raw.recv(4096), b""))  # it hangs up
    assert b"-ERR 'Authorization Violation'" in answer
    assert b"PONG" not in answer


async def test_it_listens_on_loopback_only(nats_server: EmbeddedNats, nats_url: str) -> None:
    async with jetstream(nats_url):
        sockets = psutil.Process(nats_server.pid).net_connections(kind="all")
    assert {used.laddr.ip for used in sockets} == {"127.0.0.1"}


async def test_the_configuration_holds_no_password(data: Path) -> None:
    with EmbeddedNats(data) as server:
        password = str(urlsplit(server.url).password)
    assert password not in (data / "nats/nats.conf").read_text()
    assert password not in (data / "nats/nats.log").read_text()
    assert stat.S_IMODE((data / "nats/nats.log").stat().st_mode) == 0o600
