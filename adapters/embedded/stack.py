"""Both embedded servers over one data folder, and the note by which others find them."""

import contextlib
import os
from pathlib import Path
from typing import Self

import msgspec

from adapters.embedded import folder
from adapters.embedded.nats import EmbeddedNats
from adapters.embedded.postgres import EmbeddedPostgres
from adapters.embedded.process import EmbeddedError

LOCK_S = 1


class StackPids(msgspec.Struct, frozen=True, kw_only=True):
    """Process ids of a running stack."""

    supervisor: int
    postgres: int
    nats: int


class StackInfo(msgspec.Struct, frozen=True, kw_only=True):
    """Where a running stack is; the URLs hold passwords."""

    data: str
    database_url: str
    nats_url: str
    nats_monitor_url: str
    pids: StackPids


class EmbeddedStack:
    """PostgreSQL and NATS with their data in `data` (0700); one stack per folder at a time.

    `start` must be called from the main thread (see `spawn`); calling it again restarts whichever
    server has died.
    """

    def __init__(self, data: Path) -> None:
        self.data = data.resolve()
        self.postgres = EmbeddedPostgres(self.data)
        self.nats = EmbeddedNats(self.data)
        self._lock: int | None = None

    def start(self) -> StackInfo:
        """Start what does not run, note it in `stack.json` (0600), and tell where it is.

        Raises:
            EmbeddedError: another process has a stack in this folder, the folder is open to other
                users, or a server does not start.
        """
        folder.private_folder(self.data)
        fresh = self._lock is None
        if self._lock is None:
            self._lock = folder.lock(self.data / "stack.lock", wait_s=LOCK_S, held=self._taken)
            os.truncate(self._lock, 0)
            os.pwrite(self._lock, str(os.getpid()).encode(), 0)
        try:
            self.postgres.start()
            self.nats.start()
            return self._note()
        except BaseException:
            if fresh:
                self.stop()
            raise

    def stop(self) -> None:
        """End both servers, remove the note and free the folder; does nothing if not started."""
        if self._lock is None:
            return
        (self.data / "stack.json").unlink(missing_ok=True)
        self.nats.stop()
        self.postgres.stop()
        os.close(self._lock)
        self._lock = None

    def alive(self) -> bool:
        """Whether both servers run."""
        return self.postgres.alive() and self.nats.alive()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _taken(self) -> str:
        pid = folder.read_int(self.data / "stack.lock")
        return f"{self.data} is in use by another Loop (pid {pid}): stop it or take another folder"

    def _note(self) -> StackInfo:
        postgres, nats = self.postgres.pid, self.nats.pid
        if postgres is None or nats is None:
            raise EmbeddedError(f"a server ended as soon as it was ready; see the logs {self.data}")
        info = StackInfo(
            data=str(self.data),
            database_url=self.postgres.url,
            nats_url=self.nats.url,
            nats_monitor_url=self.nats.monitor_url,
            pids=StackPids(supervisor=os.getpid(), postgres=postgres, nats=nats),
        )
        note = msgspec.json.format(msgspec.json.encode(info)).decode()
        folder.write_private(self.data / "stack.json", f"{note}\n")
        return info


def find_stack(data: Path) -> StackInfo | None:
    """Tell where the stack that runs over `data` is; None if none does (a stale note is none)."""
    if not folder.is_locked(data / "stack.lock"):
        return None
    with contextlib.suppress(FileNotFoundError, msgspec.DecodeError):
        return msgspec.json.decode((data / "stack.json").read_bytes(), type=StackInfo)
    return None
