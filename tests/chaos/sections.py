"""Where a process is at this moment: counters in shared memory, set around its critical sections.

A process that is stopped and then killed was inside exactly what its counters say. The hooks exist
in the tests alone; they wrap methods of the real classes and change nothing of what these do.
"""

import mmap
import os
from collections.abc import Awaitable, Callable
from functools import wraps
from pathlib import Path
from typing import Any, Final

from adapters.applier import Applier
from adapters.event_store import PostgresEventStore
from adapters.group_commit import GroupCommit
from adapters.stream import LogStream
from commands.append import Append
from commands.sagas.at_processor import AtProcessor
from domain.events import Recorded

KINDS: Final = ("append", "publish", "projector", "call")
SLOTS: Final = 32
PIPE_ATOMIC: Final = 4096
"""Bytes that a pipe takes whole or not at all, even from a process that is killed (POSIX)."""


class Sections:
    """Counters of all processes, one row of `KINDS` per slot, in a file that all of them map."""

    def __init__(self, path: Path) -> None:
        size = SLOTS * len(KINDS)
        if not path.exists():
            path.write_bytes(bytes(size))
        with path.open("r+b") as file:
            self._memory = mmap.mmap(file.fileno(), size)

    def set(self, slot: int, kind: str, count: int) -> None:
        self._memory[slot * len(KINDS) + KINDS.index(kind)] = min(255, count)

    def clear(self, slot: int) -> None:
        for kind in KINDS:
            self.set(slot, kind, 0)

    def inside(self, slot: int) -> tuple[str, ...]:
        """Return what a process has open."""
        row = self._memory[slot * len(KINDS) : (slot + 1) * len(KINDS)]
        return tuple(kind for kind, count in zip(KINDS, row, strict=True) if count)

    def close(self) -> None:
        self._memory.close()


def mark(sections: Sections, slot: int) -> None:
    """Make this process keep its counters."""
    sections.clear(slot)
    GroupCommit._commit = _counted(GroupCommit._commit, sections, slot, "append")  # type: ignore[method-assign]
    Applier.commit = _counted(Applier.commit, sections, slot, "projector")  # type: ignore[method-assign]
    AtProcessor.call = _counted(AtProcessor.call, sections, slot, "call")  # type: ignore[method-assign]
    _mark_publishing(sections, slot)


def _counted(
    method: Callable[..., Awaitable[Any]], sections: Sections, slot: int, kind: str
) -> Callable[..., Awaitable[Any]]:
    count = 0

    @wraps(method)
    async def counted(*args: Any, **kwargs: Any) -> Any:
        nonlocal count
        count += 1
        sections.set(slot, kind, count)
        try:
            return await method(*args, **kwargs)
        finally:
            count -= 1
            sections.set(slot, kind, count)

    return counted


def _mark_publishing(sections: Sections, slot: int) -> None:
    """A publication is open as long as something is sent and not acknowledged."""

    def wrapped(method: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        @wraps(method)
        async def after(stream: LogStream, *args: Any, **kwargs: Any) -> Any:
            if method.__name__ == "publish":
                sections.set(slot, "publish", 1)
            try:
                return await method(stream, *args, **kwargs)
            finally:
                sections.set(slot, "publish", int(stream._sent > stream._acked))

        return after

    for name in ("publish", "flush", "settle", "_on_ack"):
        setattr(LogStream, name, wrapped(getattr(LogStream, name)))


def acknowledge(fifo: Path) -> Callable[[str], None]:
    """Say every append of this process on a pipe as soon as it is returned; give the sayer."""
    pipe = os.open(fifo, os.O_WRONLY)
    append = PostgresEventStore.append

    def say(line: str) -> None:
        data = f"{line}\n".encode()
        assert len(data) <= PIPE_ATOMIC, "a line is written whole"
        os.write(pipe, data)

    @wraps(append)
    async def acknowledged(store: PostgresEventStore, what: Append) -> tuple[Recorded, ...]:
        rows = await append(store, what)
        for row in rows:
            say(f"{row.position} {row.stream_id} {row.version} {row.metadata.event_id}")
        return rows

    PostgresEventStore.append = acknowledged  # type: ignore[method-assign]
    return say
