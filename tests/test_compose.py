"""compose.yaml is parsed, and its processes run here without containers."""

import json
import os
import re
import secrets
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import yaml

from adapters.embedded.process import free_port
from adapters.settings import SETTINGS

LOOP = Path(sys.executable).parent / "loop"
COMPOSE: dict[str, Any] = yaml.safe_load(
    (Path(__file__).parent.parent / "compose.yaml").read_text()
)
SERVICES: dict[str, Any] = COMPOSE["services"]
CARD = {"paymentMethod": {"type": "card", "token": "pm_card_visa"}}
OURS = {name: s for name, s in SERVICES.items() if s["image"] == "loop-ledger"}


def test_every_service_depends_on_services_that_exist_and_uses_volumes_that_exist() -> None:
    for service in SERVICES.values():
        assert set(service.get("depends_on", {})) <= set(SERVICES)
        for volume in service["volumes"]:
            assert volume.partition(":")[0] in COMPOSE["volumes"]


def test_only_settings_that_exist_are_set_and_secrets_come_from_outside() -> None:
    known = {setting.name for setting in SETTINGS}
    for service in OURS.values():
        assert set(service["environment"]) <= known
        if service is not SERVICES["sandbox"]:
            assert "${LOOP_MASTER_KEYS:?" in service["environment"]["LOOP_MASTER_KEYS"]
    assert set(SERVICES["sandbox"]["environment"]) == {"LOOP_HOME"}
    text = json.dumps(COMPOSE)
    assert not re.search(r"(?i)pass(word)?[=:] ?[\"']?[a-z0-9]{6,}", text)


def test_the_image_holds_every_package_of_the_wheel() -> None:
    dockerfile = OURS["gateway"]["build"]["dockerfile_inline"]
    for package in ("domain", "commands", "projections", "adapters", "gateway", "replay"):
        assert f"COPY {package} {package}" in dockerfile


def test_the_same_processes_take_a_payment_on_servers_of_ones_own(
    database_url: str, nats_url: str, tmp_path: Path
) -> None:
    port, sandbox_port = free_port(), free_port()
    sandbox_url = f"http://127.0.0.1:{sandbox_port}"
    environment = {
        "PATH": os.environ["PATH"],
        "LOOP_HOME": str(tmp_path),
        "LOOP_DATABASE_URL": database_url,
        "LOOP_NATS_URL": nats_url,
        "LOOP_MASTER_KEYS": f"k1:{secrets.token_hex(32)}",
        "LOOP_PUBLIC_URL": f"http://127.0.0.1:{port}",
        "LOOP_STRIPE_BASE_URL": f"{sandbox_url}/stripe",
        "LOOP_RAZORPAY_BASE_URL": f"{sandbox_url}/razorpay",
    }
    serve = [str(port) if part == "3000" else part for part in OURS["gateway"]["command"]]
    serve = ["127.0.0.1" if part == "0.0.0.0" else part for part in serve]  # noqa: S104 - replaced
    sandbox = [part.replace("18440", str(sandbox_port)) for part in OURS["sandbox"]["command"]]
    sandbox = [part.replace("0.0.0.0", "127.0.0.1") for part in sandbox]  # noqa: S104 - replaced
    subprocess.run([LOOP, *OURS["migrate"]["command"][1:]], env=environment, check=True)
    with (tmp_path / "log").open("wb") as log:
        running = [
            subprocess.Popen([LOOP, *command[1:]], env=environment, stderr=log)
            for command in (serve, sandbox, OURS["worker"]["command"], OURS["worker"]["command"])
        ]
    try:
        _await_ready(f"http://127.0.0.1:{port}/ready")
        _await_ready(f"{sandbox_url}/_sandbox/health")
        made = _told(environment, "keys", "create", "--new-merchant", "Shop", "--json")
        key = made["apiKey"]
        here = ("--loop-url", f"http://127.0.0.1:{port}", "--json")
        connected = _told(
            environment, "sandbox", "connect", "--merchant", made["merchantId"], *here
        )
        assert connected["processors"] == ["stripe", "razorpay"]
        order = _post(f"http://127.0.0.1:{port}/v1/orders", key, {"amount": 100})
        paid = _post(f"http://127.0.0.1:{port}/v1/orders/{order['id']}/pay", key, CARD)
        assert (paid["status"], paid["processor"]) == ("captured", "stripe")
    finally:
        for process in running:
            process.terminate()
        ended = [process.wait(90) for process in running]
    assert ended == [0, 0, 0, 0]


def _told(environment: dict[str, str], *words: str) -> dict[str, Any]:
    """Run a verb as `docker compose run` would; return its JSON."""
    done = subprocess.run([LOOP, *words], env=environment, check=True, capture_output=True)
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def _await_ready(url: str) -> None:
    deadline = time.monotonic() + 30
    while True:
        try:
            with urllib.request.urlopen(url, timeout=2) as answer:  # noqa: S310 - loopback
                assert answer.status == 200
                return
        except OSError:
            assert time.monotonic() < deadline, "the gateway becomes ready"
            time.sleep(0.1)


def _post(url: str, key: str, body: dict[str, Any]) -> dict[str, Any]:
    headers = {"X-API-Key": key, "Content-Type": "application/json", "Prefer": "wait=20"}
    request = urllib.request.Request(url, json.dumps(body).encode(), headers)  # noqa: S310 - as above
    with urllib.request.urlopen(request, timeout=90) as answer:  # noqa: S310 - as above
        return json.loads(answer.read())
