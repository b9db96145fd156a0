"""The README is executed and compared, so that it cannot become untrue."""

import json
import re
import subprocess
import sys
from pathlib import Path

from adapters.embedded.process import free_port
from adapters.settings import SETTINGS

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_every_setting_is_documented_as_it_is() -> None:
    rows = re.findall(r"^\| `(LOOP_\w+)` \| (?:`([^`]*)`)? ?\| (.*) \|$", README, re.MULTILINE)
    assert rows == [(s.name, s.default or "", s.doc) for s in SETTINGS]


def test_every_verb_is_documented() -> None:
    loop = Path(sys.executable).parent / "loop"
    shown = subprocess.run([loop, "--help"], capture_output=True, text=True, check=True).stdout
    verbs = re.findall(r"^  (\w+)  +\S", shown.partition("Commands:")[2], re.MULTILINE)
    assert verbs
    for verb in verbs:
        assert f"`loop {verb}" in README, verb


def test_the_quickstart_does_what_it_says(tmp_path: Path) -> None:
    (script,) = re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
    (receiver,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    (tmp_path / "receiver.py").write_text(receiver, encoding="utf-8")
    script = script.replace("4000", str(free_port()))
    port = free_port()
    script = script.replace("127.0.0.1:3000", f"127.0.0.1:{port}")
    script = script.replace(".venv/bin/loop", str(Path(sys.executable).parent / "loop"))
    data = tmp_path / "data"
    command = [Path(sys.executable).parent / "loop", "up", "--json", "--data", data]
    with subprocess.Popen(
        [*command, "--port", str(port)], stdout=subprocess.PIPE, cwd=tmp_path, text=True
    ) as up:
        try:
            assert up.stdout is not None
            assert json.loads(up.stdout.readline())["ready"] is True
            played = subprocess.run(
                ["/bin/sh", "-eux", "-c", script],
                cwd=tmp_path,
                env={"LOOP_HOME": str(data), "PATH": "/usr/bin:/bin"},
                capture_output=True,
                text=True,
                timeout=240,
                check=False,
            )
        finally:
            up.terminate()
            up.wait(90)
    assert played.returncode == 0, played.stderr
    assert '"status":"captured"' in played.stdout
    assert '"type":"refund"' in played.stdout
    assert "refund_requested" in played.stdout
    assert "verified payment.captured" in played.stdout
