"""The HTTP side: raw ASGI, so that answers can be cut, dripped and left out."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeAlias

from adapters.sandbox_server import desk, pages
from adapters.sandbox_server.box import Box
from adapters.sandbox_server.control import Control
from adapters.sandbox_server.desk import Desk
from adapters.sandbox_server.webhooks import Courier
from adapters.sandbox_server.wire import Answer, Damage, Json, Request, json_answer

_Receive: TypeAlias = Callable[[], Awaitable[Json]]
_Send: TypeAlias = Callable[[Json], Awaitable[None]]

BODY_MAX: Final = 262_144
GARBAGE: Final = b"<!doctype html><title>It works!</title> {{{"
TRANSPORT: Final = "loop.transport"
"""Where the scope's extensions carry the connection (see `server.py`)."""


class _GoneError(Exception):
    """The client has gone before its request was whole."""


class App:
    """The ASGI application."""

    def __init__(self, box: Box, desk: Desk, control: Control, courier: Courier) -> None:
        self._box = box
        self._desk = desk
        self._control = control
        self._courier = courier

    async def __call__(self, scope: Json, receive: _Receive, send: _Send) -> None:
        """Answer one request."""
        assert scope["type"] == "http", scope["type"]
        try:
            body = await _body(receive)
        except _GoneError:
            return  # a request whose end never came is none
        if body is None:
            await _send(send, json_answer(413, {"error": {"message": "The body is too large."}}))
            return
        request = request_of(scope, body)
        answer = await self._answer(request)
        if answer.deliver_first:
            await self._courier.flush(answer.deliver_first)
        await self._reply(scope, receive, send, request, answer)

    async def _answer(self, request: Request) -> Answer:
        if request.dialect in desk.DIALECTS:
            return await self._desk.answer(request)
        if request.dialect == "control":
            return await self._control.answer(request)
        answer = await pages.answer(self._box, request)
        self._box.changed()
        return answer

    async def _reply(
        self, scope: Json, receive: _Receive, send: _Send, request: Request, answer: Answer
    ) -> None:
        damage = answer.damage
        if damage is None:
            await _send(send, answer)
            return
        match damage.do:
            case "status":
                await _send(send, desk.failed(request, damage))
            case "delay":
                await self._box.clock.sleep(damage.seconds)
                await _send(send, answer)
            case "garbage":
                page = GARBAGE if damage.html else b"\xff\xfe\x00" + GARBAGE
                await _send(send, Answer(status=200, body=page, headers=answer.headers))
            case "drip":
                await self._drip(send, answer, damage)
            case _:
                if damage.do == "hang":
                    await self._hang(receive, damage.seconds)
                if damage.do == "truncate":
                    await _send(send, answer, keep=max(1, len(answer.body) // 2), more=True)
                await _close(scope, receive)

    async def _hang(self, receive: _Receive, seconds: float) -> None:
        """Say nothing until the time is over or the client has gone."""
        gone = asyncio.ensure_future(receive())
        over = asyncio.ensure_future(self._box.clock.sleep(seconds))
        await asyncio.wait({gone, over}, return_when=asyncio.FIRST_COMPLETED)
        gone.cancel()
        over.cancel()

    async def _drip(self, send: _Send, answer: Answer, damage: Damage) -> None:
        pieces = 10
        size = max(1, -(-len(answer.body) // pieces))
        await send(_start(answer))
        for begin in range(0, len(answer.body), size):
            await self._box.clock.sleep(damage.seconds / pieces)
            piece = answer.body[begin : begin + size]
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


def request_of(scope: Json, body: bytes) -> Request:
    """Give the request, and whom it is for.

    `/stripe/v1/…` and `/razorpay/v1/…` name the dialect; of a bare `/v1/…` the kind of key does.
    """
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
    path: str = scope["path"]
    dialect = "page"
    if path.startswith("/_sandbox"):
        dialect = "control"
    elif path.startswith(("/v1/", "/v2/")):
        dialect = _dialect_of(headers.get("authorization", ""))
    elif path.startswith(("/stripe/", "/razorpay/")):
        dialect, path = path[1:].split("/", 1)
        path = f"/{path}"
    if pages.is_page(path):
        dialect = "page"
    return Request(
        dialect=dialect,
        method=scope["method"],
        path=path,
        query=scope["query_string"].decode("latin-1"),
        headers=headers,
        body=body,
    )


def _dialect_of(authorization: str) -> str:
    scheme, _, value = authorization.partition(" ")
    # "rzp_" in base64
    return "razorpay" if scheme.lower() == "basic" and value.startswith("cnpw") else "stripe"


async def _body(receive: _Receive) -> bytes | None:
    """Read the body; None if it is too large.

    Raises:
        _GoneError: the client went away in the middle of it.
    """
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise _GoneError
        part: bytes = message.get("body", b"")
        size += len(part)
        if size <= BODY_MAX:
            parts.append(part)
        if not message.get("more_body"):
            return b"".join(parts) if size <= BODY_MAX else None


def _start(answer: Answer) -> Json:
    headers: list[tuple[bytes, bytes]] = [
        (name.encode("latin-1"), value.encode("latin-1")) for name, value in answer.headers.items()
    ]
    headers.append((b"content-length", str(len(answer.body)).encode()))
    return {"type": "http.response.start", "status": answer.status, "headers": headers}


async def _send(
    send: _Send, answer: Answer, *, keep: int | None = None, more: bool = False
) -> None:
    await send(_start(answer))
    body = answer.body if keep is None else answer.body[:keep]
    await send({"type": "http.response.body", "body": body, "more_body": more})


async def _close(scope: Json, receive: _Receive) -> None:
    """Close the connection and wait until the server has seen it."""
    transport: Any = scope["extensions"][TRANSPORT]["transport"]
    transport.close()
    while (await receive())["type"] != "http.disconnect":
        pass
