"""A server on loopback that damages its answers, one connection at a time."""

import json
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeAlias

Deed: TypeAlias = Callable[[socket.socket, threading.Event], None]


@dataclass
class Asked:
    """A request as it came."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


def answer(
    status: int, body: Any = b"", headers: Mapping[str, str] | None = None, *, part: float = 1.0
) -> Deed:
    """Answer; `part` below 1 stops in the middle of the body."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    named = {"content-type": "application/json", "content-length": str(len(raw))}
    lines = [f"{name}: {value}" for name, value in (named | dict(headers or {})).items()]
    head = "\r\n".join([f"HTTP/1.1 {status} Said", *lines, "connection: close", "", ""])

    def deed(connection: socket.socket, _: threading.Event) -> None:
        connection.sendall(head.encode() + raw[: int(len(raw) * part)])

    return deed


def close(_: socket.socket, __: threading.Event) -> None:
    """Say nothing."""


def hang(_: socket.socket, ended: threading.Event) -> None:
    """Say nothing, and stay."""
    ended.wait(30)


@dataclass
class Wire:
    """`deeds` are done one after the other, the last one for ever."""

    url: str
    deeds: list[Deed] = field(default_factory=lambda: [close])
    asked: list[Asked] = field(default_factory=list)

    def next_deed(self) -> Deed:
        return self.deeds.pop(0) if len(self.deeds) > 1 else self.deeds[0]


@contextmanager
def wire() -> Iterator[Wire]:
    ended = threading.Event()
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        made = Wire(f"http://127.0.0.1:{listener.getsockname()[1]}")
        thread = threading.Thread(target=_serve, args=(listener, made, ended), daemon=True)
        thread.start()
        try:
            yield made
        finally:
            ended.set()
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(5)


def unused_url() -> str:
    """An address where nobody listens."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        return f"http://127.0.0.1:{listener.getsockname()[1]}"


def _serve(listener: socket.socket, made: Wire, ended: threading.Event) -> None:
    threads: list[threading.Thread] = []
    while not ended.is_set():
        try:
            connection, _ = listener.accept()
        except OSError:
            break
        thread = threading.Thread(target=_one, args=(connection, made, ended), daemon=True)
        thread.start()
        threads.append(thread)
    for thread in threads:
        thread.join(5)


def _one(connection: socket.socket, made: Wire, ended: threading.Event) -> None:
    with connection:
        asked = _read(connection)
        if asked is not None:
            made.asked.append(asked)
            made.next_deed()(connection, ended)


def _read(connection: socket.socket) -> Asked | None:
    raw = b""
    while b"\r\n\r\n" not in raw:
        more = connection.recv(65_536)
        if not more:
            return None
        raw += more
    head, _, body = raw.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    headers = {n.lower(): v.strip() for n, _, v in (line.partition(":") for line in lines)}
    while len(body) < int(headers.get("content-length", "0")):
        body += connection.recv(65_536)
    method, path, _ = first.split(" ")
    return Asked(method, path, headers, body)
