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
NAMED = os.geteuid() in {entry.pw_uid for entry in pwd.getpwall()}
NAMESPACES = subprocess.run(["unshare", "--user", "true"], check=False).returncode == 0


def nobody() -> RunAs:
    entry = pwd.getpwnam("nobody")
    return RunAs(uid=entry.pw_uid, gid=entry.pw_gid)


def chosen(data: Path) -> RunAs | None:
    """The identity; None where there is none, which the error must say how to get around."""
    try:
        return identity.choose(data=data, binary=ANYBODYS)
    except EmbeddedError as error:
        assert "LOOP_DATABASE_URL" in str(error)  # noqa: PT017 - as good as a match
        return None


def test_root_becomes_nobody_where_nobody_can_go(data: Path) -> None:
    data.mkdir(mode=0o711)
    if ROOT:
        assert chosen(data) == nobody()
    elif NAMED:
        assert chosen(data) == RunAs()
    else:
        who = chosen(data)
        assert (who is not None and "--user" in who.before) == NAMESPACES


def test_it_runs_in_a_folder_that_only_we_can_enter(data: Path) -> None:
    data.mkdir(mode=0o700)
    server = EmbeddedPostgres(data / "deeper")
    if (ROOT or not NAMED) and not NAMESPACES:
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

    assert chosen(data) == (nobody() if ROOT else RunAs() if NAMED else None)

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

    assert chosen(deeper) == (RunAs() if NAMED and not ROOT else None)

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
