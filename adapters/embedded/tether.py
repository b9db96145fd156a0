"""Become another program that the kernel ends when the parent dies; run as a script, only stdlib.

    python -I -S tether.py PARENT_PID SIGNAL UID GID PROGRAM [ARGUMENT...]

A program of its own instead of a `preexec_fn`: no Python runs between fork and exec of a process
that may have threads. UID and GID -1 keep the caller's. Ends with 125 when the parent is gone
already, 126 when the kernel refuses, 127 when PROGRAM cannot be run (reason on stderr).
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1
PARENT_GONE, REFUSED, NOT_FOUND = 125, 126, 127


def _drop(uid: int, gid: int) -> None:
    if gid >= 0:
        os.setgroups([])
        os.setresgid(gid, gid, gid)
    if uid >= 0:
        os.setresuid(uid, uid, uid)


def _tie(parent: int, death_signal: int) -> None:
    """Ask for the signal, then look whether the parent died before we had asked."""
    if sys.platform == "linux" and ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, death_signal) != 0:
        sys.exit(REFUSED)
    if os.getppid() != parent:
        sys.exit(PARENT_GONE)


def main() -> None:
    """Drop, tie, become; in this order, as a change of user unties."""
    parent, death_signal, uid, gid = map(int, sys.argv[1:5])
    try:
        _drop(uid, gid)
        _tie(parent, death_signal)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        os.execvp(sys.argv[5], sys.argv[5:])  # noqa: S606 - becoming it is the purpose
    except OSError as error:
        sys.stderr.write(f"{sys.argv[5]}: {error}\n")
        sys.exit(NOT_FOUND)


if __name__ == "__main__":
    main()
