"""Choose who PostgreSQL runs as: it refuses root, and root's folders refuse everybody else."""

import os
import pwd
import shutil
import signal
import subprocess
from pathlib import Path

from adapters.embedded.process import EmbeddedError, RunAs, spawn

PROBE_S = 20
_OVERFLOW_ID = "65534"


def choose(*, data: Path, binary: Path) -> RunAs:
    """Give an identity that can enter `data` and run `binary`.

    Ourselves unless we are root; a user without a name (`docker run --user 1234`) gets one in a
    user namespace, as initdb asks for it. Root: `nobody`; where nobody cannot get there, root in
    a user namespace in which it has no rights and another name; where there are none (Docker),
    `nobody` with leave to pass through `data` (mode 0710, its group).

    Raises:
        EmbeddedError: none of them works.
    """
    if os.geteuid() != 0 and _has_name():
        return RunAs()
    nobody = _nobody() if os.geteuid() == 0 else None
    if nobody and _works(nobody, data, binary):
        return nobody
    namespaced = _namespaced()
    if namespaced and _works(namespaced, data, binary):
        return namespaced
    if nobody and _works_with_leave(nobody, data, binary):
        return nobody
    raise EmbeddedError(
        "PostgreSQL runs neither as root nor as a user without a name, and no other user can "
        f"reach {data} and {binary}: run Loop as an ordinary user, or set LOOP_DATABASE_URL to a "
        "server of your own"
    )


def admit(folder: Path, run_as: RunAs) -> None:
    """Let another user pass through a folder that stays ours: what we write there we can trust."""
    if run_as.gid is not None:
        os.chown(folder, -1, run_as.gid)
        folder.chmod(0o710)


def give(folder: Path, run_as: RunAs) -> None:
    """Make the child the owner of a folder and all in it, if another user ran it before."""
    uid, gid = run_as.uid or os.geteuid(), run_as.gid or os.getegid()
    if os.geteuid() != 0 or folder.stat().st_uid == uid:
        return
    for parent, folders, files in os.walk(folder, topdown=False):
        for name in (*folders, *files):
            os.lchown(Path(parent, name), uid, gid)
    os.lchown(folder, uid, gid)


def _has_name() -> bool:
    try:
        pwd.getpwuid(os.geteuid())
    except KeyError:
        return False
    return True


def _nobody() -> RunAs | None:
    try:
        entry = pwd.getpwnam("nobody")
    except KeyError:
        return None
    return RunAs(uid=entry.pw_uid, gid=entry.pw_gid)


def _namespaced() -> RunAs | None:
    unshare = shutil.which("unshare")
    if unshare is None:
        return None
    ids = (f"--map-user={_OVERFLOW_ID}", f"--map-group={_OVERFLOW_ID}")
    return RunAs(before=(unshare, "--user", *ids, "--"))


def _works(run_as: RunAs, data: Path, binary: Path) -> bool:
    script = 'cd -- "$1" && exec "$2" --version'
    probe = spawn(
        ["/bin/sh", "-c", script, "probe", data, binary],
        death_signal=signal.SIGKILL,
        output=subprocess.DEVNULL,
        cwd=Path("/"),
        run_as=run_as,
    )
    try:
        return probe.wait(PROBE_S) == 0
    except subprocess.TimeoutExpired:
        probe.kill()
        probe.wait()
        return False


def _works_with_leave(nobody: RunAs, data: Path, binary: Path) -> bool:
    before = data.stat()
    admit(data, nobody)
    if _works(nobody, data, binary):
        return True
    data.chmod(before.st_mode & 0o777)
    os.chown(data, -1, before.st_gid)
    return False
