"""How long a client may keep a connection, how much it may send, and how it hears of the end."""

import asyncio
import contextlib
import json
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any, Final

import pytest
import uvicorn
import uvloop
from litestar import Litestar
from typing_extensions import override
from uvicorn.server import ServerState

from gateway.connection import BODY_BYTES_MAX, PIPELINED_MAX, Connection, Gathered, Patience
from gateway.server import serve
from tests.waiting import until

HEAD: Final = b"GET / HTTP/1.1\r\nHost: x\r\n"
BEGUN: Final = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n"
PATIENCE: Final = Patience()


class Wire(asyncio.Transport):
    """Where the bytes go; notes every call as the kernel would see it."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[bytes] = []
        self.closed = False
        self.aborted = False

    @override
    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.sent.append(bytes(data))

    @override
    def close(self) -> None:
        self.closed = True

    @override
    def abort(self) -> None:
        self.closed = self.aborted = True

    @override
    def is_closing(self) -> bool:
        return self.closed

    @override
    def pause_reading(self) -> None:
        """Everything is given by hand here."""

    @override
    def resume_reading(self) -> None:
        """As above."""

    def problem(self) -> dict[str, Any]:
        """Return the only answer, a problem that says that the connection ends."""
        (answer,) = self.sent
        head, _, body = answer.partition(b"\r\n\r\n")
        lines = head.decode().lower().split("\r\n")
        assert "content-type: application/problem+json" in lines
        assert f"content-length: {len(body)}" in lines
        assert "connection: close" in lines
        problem: dict[str, Any] = json.loads(body)
        assert lines[0] == f"http/1.1 {problem['status']} {problem['title'].lower()}"
        assert f"x-request-id: {problem['requestId']}" in lines
        assert self.closed
        return problem


async def quiet(scope: Any, receive: Any, send: Any) -> None:
    """Read a request and never answer."""
    while (await receive())["type"] != "http.disconnect":
        pass
    del scope, send


async def hasty(scope: Any, receive: Any, send: Any) -> None:
    """Answer without reading."""
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body", "body": b""})
    del scope, receive


def connected(app: Any = quiet, *, most: int | None = None) -> tuple[Connection, Wire]:
    config = uvicorn.Config(app, log_config=None, limit_concurrency=most, lifespan="off")
    return again(config, ServerState())


def again(config: uvicorn.Config, state: ServerState) -> tuple[Connection, Wire]:
    wire = Wire()
    connection = Connection(config, state, {}, asyncio.get_running_loop())
    connection.connection_made(wire)
    return connection, wire


async def look(connection: Connection, seconds: int) -> None:
    for _ in range(seconds):
        connection.look(PATIENCE)
    await asyncio.sleep(0)


async def test_what_is_written_in_one_turn_is_sent_in_one_piece_and_in_order() -> None:
    wire = Wire()
    gathered = Gathered(wire, asyncio.get_running_loop())
    gathered.write(b"head ")
    gathered.write(b"body")
    assert wire.sent == []
    await asyncio.sleep(0)
    assert wire.sent == [b"head body"]
    gathered.write(b"more")
    await asyncio.sleep(0)
    assert wire.sent == [b"head body", b"more"]


async def test_closing_sends_what_was_written_first() -> None:
    wire = Wire()
    gathered = Gathered(wire, asyncio.get_running_loop())
    gathered.write(b"last")
    gathered.close()
    assert (wire.sent, wire.closed, gathered.is_closing()) == ([b"last"], True, True)
    gathered.write(b"too late")
    await asyncio.sleep(0)
    assert wire.sent == [b"last"]


async def test_a_head_that_comes_byte_by_byte_is_given_up() -> None:
    connection, wire = connected()
    connection.data_received(HEAD + b"X-Slow: ")
    for _ in range(PATIENCE.head):
        connection.data_received(b"a")
        await look(connection, 1)
    assert (wire.sent, wire.closed) == ([], False)
    await look(connection, 1)
    assert wire.problem()["code"] == "request_timeout"


async def test_a_body_that_comes_byte_by_byte_is_given_up() -> None:
    connection, wire = connected()
    connection.data_received(BEGUN)
    connection.data_received(b"a")
    await look(connection, PATIENCE.body)
    assert (wire.sent, wire.closed) == ([], False)
    connection.data_received(b"b")
    await look(connection, 1)
    assert wire.problem()["status"] == 408


async def test_a_body_that_nobody_waits_for_is_not_waited_for_either() -> None:
    connection, wire = connected(hasty)
    connection.data_received(BEGUN)
    await until(lambda: len(wire.sent))
    await look(connection, PATIENCE.body + 1)
    assert wire.closed
    assert len(wire.sent) == 1


@pytest.mark.parametrize("said", [b"", b"\r\n"])
async def test_who_asks_for_nothing_is_let_go_without_a_word(said: bytes) -> None:
    connection, wire = connected()
    for _ in range(PATIENCE.idle):
        connection.data_received(said)
        await look(connection, 1)
    assert not wire.closed
    await look(connection, 1)
    assert (wire.sent, wire.closed) == ([], True)


async def test_after_an_answer_the_next_request_has_its_time() -> None:
    connection, wire = connected(hasty)
    for n in range(1, 4):
        await look(connection, PATIENCE.idle)
        connection.data_received(HEAD + b"\r\n")
        await until(lambda n=n: len(wire.sent) == n)
    await look(connection, PATIENCE.idle)
    assert not wire.closed
    await look(connection, 1)
    assert wire.closed


async def test_who_waits_for_us_may_wait() -> None:
    connection, wire = connected()
    connection.data_received(BEGUN + b"123456789")
    await look(connection, 1000)
    assert not wire.closed


async def test_who_does_not_take_an_answer_is_cut_off() -> None:
    connection, wire = connected()
    connection.data_received(HEAD + b"\r\n")
    await look(connection, 1000)
    connection.pause_writing()
    await look(connection, PATIENCE.taking)
    assert not wire.closed
    connection.resume_writing()
    await look(connection, 1)
    connection.pause_writing()
    await look(connection, PATIENCE.taking + 1)
    assert wire.aborted
    connection.connection_lost(None)


async def test_more_connections_than_there_may_be_hear_when_to_come_again() -> None:
    config = uvicorn.Config(quiet, log_config=None, limit_concurrency=1, lifespan="off")
    state = ServerState()
    _, first = again(config, state)
    _, second = again(config, state)
    await asyncio.sleep(0)
    assert second.problem()["code"] == "overloaded"
    assert b"retry-after: 1\r\n" in second.sent[0]
    assert not first.closed


async def test_a_body_without_an_end_is_not_read_for_ever() -> None:
    connection, wire = connected(hasty)
    connection.data_received(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
    connection.data_received(b"1\r\na\r\n0\r\nX-Endless: ")
    part = b"a" * 65_536
    for _ in range(BODY_BYTES_MAX // len(part) + 2):
        connection.data_received(part)
    assert wire.closed


async def test_no_more_requests_are_queued_than_there_may_be() -> None:
    connection, wire = connected(hasty)
    first = PIPELINED_MAX + 2  # one is being answered
    connection.data_received((HEAD + b"\r\n") * first)
    connection.data_received((HEAD + b"\r\n") * 1000)
    await until(lambda: wire.closed)
    assert b"".join(wire.sent).count(b"HTTP/1.1 204") == first


@pytest.fixture
def impatient() -> Iterator[tuple[str, int]]:
    """A server that waits for no head for longer than until it looks again."""
    ready: Future[int] = Future()
    ended: Future[asyncio.Event] = Future()
    loop = asyncio.new_event_loop()

    async def main() -> None:
        stop = asyncio.Event()
        ended.set_result(stop)
        patience = Patience(head=0)
        await serve(Litestar(), "127.0.0.1", 0, stop, ready=ready.set_result, patience=patience)

    thread = threading.Thread(target=loop.run_until_complete, args=(main(),), daemon=True)
    thread.start()
    yield "127.0.0.1", ready.result(60)
    loop.call_soon_threadsafe(ended.result(60).set)
    thread.join(60)
    loop.close()


def test_the_server_looks_at_its_connections(impatient: tuple[str, int]) -> None:
    with socket.create_connection(impatient, timeout=60) as client:
        client.sendall(HEAD)
        answer = b""
        with contextlib.suppress(ConnectionError):
            while part := client.recv(65_536):
                answer += part
    assert answer.startswith(b"HTTP/1.1 408 ")


def test_new_connections_are_taken_several_at_a_turn_of_a_busy_server() -> None:
    number = 64

    async def turns_taken() -> int:
        stop = asyncio.Event()
        ready = asyncio.get_running_loop().create_future()
        serving = asyncio.create_task(
            serve(Litestar(), "127.0.0.1", 0, stop, ready=ready.set_result)
        )
        where = ("127.0.0.1", await ready)
        clients = [socket.create_connection(where) for _ in range(number)]
        files, turns = open_files(), 0
        while open_files() < files + number:
            await asyncio.sleep(0)
            turns += 1
        for client in clients:
            client.close()
        stop.set()
        await serving
        return turns

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(turns_taken()) < number / 2


def open_files() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())
