import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from adapters.embedded import process, tether
from adapters.embedded.process import EmbeddedError, free_port, last_lines, open_log, spawn


def run_tether(parent: int, *program: str) -> "subprocess.CompletedProcess[str]":
    ids = [str(parent), str(int(signal.SIGTERM)), "-1", "-1"]
    command = [sys.executable, "-I", "-S", process.__file__.replace("process.py", "tether.py")]
    return subprocess.run([*command, *ids, *program], capture_output=True, text=True, check=False)


def test_a_program_whose_parent_is_gone_already_does_not_start() -> None:
    assert run_tether(os.getpid(), "echo", "started").stdout == "started\n"

    orphan = run_tether(1, "echo", "started")
    assert orphan.returncode == tether.PARENT_GONE
    assert orphan.stdout == ""


def test_a_program_that_is_not_there_is_named() -> None:
    missing = run_tether(os.getpid(), "/nowhere/at-all")
    assert missing.returncode == tether.NOT_FOUND
    assert "/nowhere/at-all" in missing.stderr


def test_a_child_sees_none_of_our_secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOOP_MASTER_KEYS", "secret")
    log = open_log(tmp_path / "log")
    child = spawn(["env"], death_signal=signal.SIGKILL, output=log, cwd=tmp_path, env={"A": "1"})
    assert child.wait(60) == 0
    os.close(log)

    seen = (tmp_path / "log").read_text()
    assert "A=1\n" in seen
    assert "LOOP_MASTER_KEYS" not in seen


def test_a_child_that_ignores_every_signal_is_killed(tmp_path: Path) -> None:
    script = "trap '' INT TERM; echo ready; while :; do sleep 1; done"
    reader, writer = os.pipe()
    child = spawn(
        ["/bin/sh", "-c", script], death_signal=signal.SIGKILL, output=writer, cwd=tmp_path
    )
    os.close(writer)
    assert os.read(reader, 100) == b"ready\n"
    os.close(reader)

    process.end(child, (signal.SIGINT, 0.1), (signal.SIGTERM, 0.1))

    assert child.returncode == -signal.SIGKILL


def test_no_free_port_is_an_error_not_a_loop() -> None:
    with pytest.raises(EmbeddedError, match="no free port"):
        free_port(but=process.PORTS)


def test_a_kept_port_out_of_range_is_replaced() -> None:
    assert free_port(preferred=99_999) in process.PORTS


def test_a_log_that_has_grown_is_put_aside(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"x" * (process.LOG_BYTES_MAX + 1))
    os.close(open_log(log))

    assert log.stat().st_size == 0
    assert (tmp_path / "log.1").stat().st_size == process.LOG_BYTES_MAX + 1


def test_last_lines_are_those_of_this_run(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("earlier\none\ntwo\n")
    assert last_lines(log, start=len("earlier\n"), count=5) == "one\ntwo"
    assert last_lines(log, count=1) == "two"
    assert last_lines(tmp_path / "none") == ""
