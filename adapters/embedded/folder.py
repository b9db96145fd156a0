"""What the embedded servers keep on disk besides their data: locks, secrets and small notes."""

import contextlib
import fcntl
import os
import secrets
import stat
import time
from collections.abc import Callable
from pathlib import Path

from adapters.embedded.process import EmbeddedError, pause


def private_folder(path: Path) -> Path:
    """Make `path` a folder that only its owner can read, and give it resolved.

    An empty folder is made private; one with contents that others can read is refused rather than
    changed, as it may be something else (`--data /tmp`).

    Raises:
        EmbeddedError: others can read the folder and it is not empty, or it cannot be made.
    """
    try:
        path = path.resolve()
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        if stat.S_IMODE(path.stat().st_mode) & 0o067:  # g+x: see identity.py
            if any(path.iterdir()):
                raise EmbeddedError(f"{path} is open to other users: chmod 700 it or take another")
            path.chmod(0o700)
    except OSError as error:
        raise EmbeddedError(f"cannot use {path}: {error.strerror}") from error
    return path


def write_private(path: Path, text: str) -> None:
    """Write a file of mode 0600 that is either old or new, never half."""
    new = path.with_name(f".{path.name}.new")
    new.unlink(missing_ok=True)
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    move(new, path)


def move(old: Path, new: Path) -> None:
    """Rename within one folder, so that a power cut afterwards does not undo it."""
    old.replace(new)
    descriptor = os.open(new.parent, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def secret(path: Path) -> str:
    """Read the password in `path`, 192 random bits made at the first call.

    It begins with a letter: NATS reads a number where one could stand.
    """
    with contextlib.suppress(FileNotFoundError):
        return path.read_text()
    password = f"p{secrets.token_hex(24)}"
    write_private(path, password)
    return password


def read_int(path: Path) -> int | None:
    """Give the number on the first line of `path`; None if there is none."""
    try:
        return int(path.read_text().splitlines()[0])
    except (FileNotFoundError, ValueError, IndexError):
        return None


def lock(path: Path, *, wait_s: float, held: Callable[[], str]) -> int:
    """Lock the file at `path` and give its descriptor; the lock ends when all copies are closed.

    A server that inherits the descriptor holds the lock as long as any of its processes lives.
    `held` is called while somebody else has it and explains who.

    Raises:
        EmbeddedError: still held after `wait_s` seconds; the message is what `held` gave.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    deadline = time.monotonic() + wait_s
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            who = held()
            if time.monotonic() > deadline:
                os.close(descriptor)
                raise EmbeddedError(who) from None
            pause()
        else:
            return descriptor


def is_locked(path: Path) -> bool:
    """Whether somebody holds the lock at `path`."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    else:
        return False
    finally:
        os.close(descriptor)
