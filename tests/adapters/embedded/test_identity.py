import os
import pwd
import shutil
import subprocess
from pathlib import Path

import psutil
import psycopg
import pytest

from adapters.embedded import identity
from adapters.embedded.postgres import EmbeddedPostgres
from adapters.embedded.process import EmbeddedError, RunAs

ANYBODYS = Path(shutil.which("ls") or "/bin/ls")
ROOT = os.geteuid() == 0
NAMESPACES = ROOT and subprocess.run(["unshare", "--user", "true"], check=False).returncode == 0


def nobody() -> RunAs:
    entry = pwd.getpwnam("nobody")
    return RunAs(uid=entry.pw_uid, gid=entry.pw_gid)


def test_root_becomes_nobody_where_nobody_can_go(data: Path) -> None:
    data.mkdir(mode=0o711)
    assert identity.choose(data=data, binary=ANYBODYS) == (nobody() if ROOT else RunAs())


def test_it_runs_in_a_folder_that_only_we_can_enter(data: Path) -> None:
    data.mkdir(mode=0o700)
    server = EmbeddedPostgres(data / "deeper")
    if ROOT and not NAMESPACES:
        with pytest.raises(EmbeddedError, match="as an ordinary user"):
            server.start()
        return
    with server, psycopg.connect(server.url) as connection:
        assert psutil.Process(server.pid).uids().real == os.geteuid()
        assert (data / "deeper/postgres/cluster").stat().st_uid == os.geteuid()
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_without_namespaces_nobody_gets_leave_to_pass_and_no_more(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data.mkdir(mode=0o700)
    monkeypatch.setenv("PATH", str(data))  # no unshare there

    assert identity.choose(data=data, binary=ANYBODYS) == (nobody() if ROOT else RunAs())

    status = data.stat()
    assert status.st_mode & 0o777 == (0o710 if ROOT else 0o700)
    assert status.st_gid == (nobody().gid if ROOT else os.getegid())


def test_leave_that_does_not_help_is_taken_back(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deeper = data / "deeper"
    data.mkdir(mode=0o700)
    deeper.mkdir(mode=0o700)
    monkeypatch.setenv("PATH", str(data))

    if ROOT:
        with pytest.raises(EmbeddedError, match="LOOP_DATABASE_URL"):
            identity.choose(data=deeper, binary=ANYBODYS)
    else:
        assert identity.choose(data=deeper, binary=ANYBODYS) == RunAs()

    assert deeper.stat().st_mode & 0o777 == 0o700
    assert deeper.stat().st_gid == os.getegid()


def test_a_cluster_goes_with_the_identity_that_runs_it(data: Path) -> None:
    (data / "inner").mkdir(parents=True)
    (data / "inner/file").touch()

    identity.give(data, nobody())

    owner = nobody().uid if ROOT else os.geteuid()
    assert {p.stat().st_uid for p in (data, data / "inner", data / "inner/file")} == {owner}
    identity.give(data, RunAs())
    assert {p.stat().st_uid for p in (data, data / "inner/file")} == {os.geteuid()}
