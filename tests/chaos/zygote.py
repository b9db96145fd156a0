"""Forks the processes of a storm: everything is imported once, so a restart takes milliseconds.

    python -m tests.chaos.zygote SOCKET_FD FOLDER [whole]

Requests are lines: `fork SLOT ROLE` answers a pid, `poll PID` an exit status or nothing, `reap PID`
waits for it. A process that has ended keeps its pid until it is reaped, so no stranger is killed.
"""

import os
import signal
import socket
import sys
import traceback
from pathlib import Path

from adapters.embedded.tether import _tie
from tests.chaos.processes import preload, run_role


def main() -> None:
    """Serve until the storm goes away."""
    folder = Path(sys.argv[2])
    if sys.argv[3:] == ["whole"]:
        preload()
    server = socket.socket(fileno=int(sys.argv[1]))
    requests = server.makefile("r", encoding="ascii")
    for line in requests:
        verb, *words = line.split()
        match verb:
            case "fork":
                answer = str(_fork(folder, int(words[0]), words[1], server))
            case "poll":
                answer = _status(int(words[0]), os.WNOHANG)
            case _:
                answer = _status(int(words[0]), 0)
        server.sendall(f"{answer}\n".encode())


def _status(pid: int, options: int) -> str:
    done, status = os.waitpid(pid, options)
    return str(os.waitstatus_to_exitcode(status)) if done else ""


def _fork(folder: Path, slot: int, role: str, server: socket.socket) -> int:
    parent = os.getpid()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            _tie(parent, signal.SIGKILL)
            server.close()
            code = _run(folder, slot, role)
        finally:
            os._exit(code)
    return pid


def _run(folder: Path, slot: int, role: str) -> int:
    """Run a role with its log in a file; return the exit code."""
    log = os.open(folder / f"{role}.log", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.dup2(log, 1)
    os.dup2(log, 2)
    try:
        run_role(folder, slot, role)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 1
    except BaseException:  # noqa: BLE001 - whatever it is, it ends here and not in the zygote
        traceback.print_exc()
        return 1
    return 0


if __name__ == "__main__":
    main()
