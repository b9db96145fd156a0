"""Start and end one process that must not outlive us, and find it a port."""

import contextlib
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

LOOPBACK = "127.0.0.1"
PORTS = range(20_000, 32_000)  # below Linux' ephemeral range: no client socket sits on our port
PORT_TRIES_MAX = 200
LOG_BYTES_MAX = 10_000_000
READY_S = 60  # recovery of what is stored included
_TETHER = Path(__file__).with_name("tether.py")
_PASSED_ON = ("PATH", "LD_LIBRARY_PATH", "TMPDIR")


class EmbeddedError(RuntimeError):
    """An embedded server cannot do what was asked; the message says why and what to do."""


@dataclass(frozen=True, kw_only=True)
class RunAs:
    """Who a child is: user and group ids (None keeps ours) and a program that goes before it."""

    uid: int | None = None
    gid: int | None = None
    before: tuple[str, ...] = ()


def spawn(
    argv: Sequence[str | Path],
    *,
    death_signal: signal.Signals,
    output: int,
    cwd: Path,
    env: Mapping[str, str] | None = None,
    run_as: RunAs | None = None,
    keep: Sequence[int] = (),
) -> subprocess.Popen[bytes]:
    """Start a process that gets `death_signal` when we die, even by SIGKILL (Linux).

    The kernel sends it when the *thread* that started the child ends, so only the main thread may
    call this. The child sees none of our environment but `PATH` and `env`, has its own session
    (Ctrl-C in the terminal does not reach it) and keeps the file descriptors in `keep`.

    Raises:
        EmbeddedError: called from a thread other than the main thread.
    """
    if threading.get_native_id() != os.getpid() and sys.platform == "linux":
        raise EmbeddedError("start servers from the main thread: they end with their thread")
    who = run_as or RunAs()
    ids = (os.getpid(), int(death_signal), _id(who.uid), _id(who.gid))
    passed = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    return subprocess.Popen(  # noqa: S603 - the arguments are ours
        [sys.executable, "-I", "-S", _TETHER, *map(str, ids), *who.before, *argv],
        cwd=cwd,
        env=passed | dict(env or {}),
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        start_new_session=True,
        pass_fds=keep,
    )


def _id(value: int | None) -> int:
    return -1 if value is None else value


def end(process: subprocess.Popen[bytes], *steps: tuple[signal.Signals, float]) -> None:
    """Send each step's signal and wait its seconds; what still lives after the last is killed."""
    for step, wait_s in steps:
        if process.poll() is not None:
            return
        process.send_signal(step)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(wait_s)
    if process.poll() is None:
        process.kill()
        process.wait()


def works_in(pid: int, folder: Path) -> bool:
    """Whether process `pid` lives and has `folder` as its working directory.

    Where there is no `/proc` this is only whether it lives.
    """
    if not Path("/proc/self/cwd").exists():
        with contextlib.suppress(OSError):
            os.kill(pid, 0)
            return True
        return False
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cwd").samefile(folder)
    return False


def free_port(*, preferred: int | None = None, but: Sequence[int] = ()) -> int:
    """Choose a port of 127.0.0.1 that nobody listens on: `preferred` if it is free.

    Raises:
        EmbeddedError: no free port was found.
    """
    if preferred is not None and preferred not in but and _is_free(preferred):
        return preferred
    for port in random.sample(PORTS, PORT_TRIES_MAX):
        if port not in but and _is_free(port):
            return port
    raise EmbeddedError(f"no free port on {LOOPBACK} in {PORT_TRIES_MAX} tries")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except (OSError, OverflowError):
            return False
        return True


def open_log(path: Path) -> int:
    """Open a log for appending, mode 0600; one that has grown over 10 MB becomes `.1` first."""
    with contextlib.suppress(FileNotFoundError):
        if path.stat().st_size > LOG_BYTES_MAX:
            path.replace(path.with_name(path.name + ".1"))
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)


def last_lines(path: Path, *, start: int = 0, count: int = 12) -> str:
    """Give the last lines that a log has after byte `start`."""
    try:
        with path.open("rb") as log:
            log.seek(max(start, path.stat().st_size - 16_384))
            return "\n".join(log.read().decode(errors="replace").splitlines()[-count:])
    except FileNotFoundError:
        return ""


def becomes_ready(
    process: subprocess.Popen[bytes],
    is_ready: Callable[[], bool],
    *,
    name: str,
    log: Path,
    start: int,
    port_taken: str,
) -> bool:
    """Wait until a server that was started is ready; False if somebody took its port meanwhile.

    Args:
        process: the server.
        is_ready: looks whether it is.
        name: what errors call it.
        log: what it writes.
        start: byte of the log where this start begins.
        port_taken: what the log says when the port was taken.

    Raises:
        EmbeddedError: it ended, or is not ready after `READY_S` (last log lines).
    """
    deadline = time.monotonic() + READY_S
    while process.poll() is None:
        if is_ready():
            return True
        if time.monotonic() > deadline:
            raise failed(f"{name} is not ready after {READY_S} s", log, start)
        pause()
    if port_taken in last_lines(log, start=start):
        return False
    raise failed(f"{name} ended with code {process.returncode}", log, start)


def failed(what: str, log: Path, start: int) -> EmbeddedError:
    """Return the error of a server, with the last lines that its log has after byte `start`."""
    return EmbeddedError(f"{what}; {log} ends:\n{last_lines(log, start=start)}")


def pause() -> None:
    """Wait as long as a readiness probe waits between two looks."""
    time.sleep(0.02)
