"""What goes over the wire: an answer's head and body leave together, and nothing stays behind."""

import asyncio

from typing_extensions import override

from gateway.server import Gathered


class Wire(asyncio.Transport):
    """Where the bytes go; notes every call as the kernel would see it."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[bytes] = []
        self.closed = False

    @override
    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.sent.append(bytes(data))

    @override
    def close(self) -> None:
        self.closed = True

    @override
    def is_closing(self) -> bool:
        return self.closed


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
