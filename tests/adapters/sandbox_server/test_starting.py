"""Where and when the sandbox starts, who may control it, and what it never imports."""

import ast
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

import adapters.sandbox_server
from adapters.sandbox_server.server import CannotStartError, Options, check
from tests.sandbox_server import SandboxServer, sandbox_server

LIVE = ["sk_live_abc", "rk_live_abc", "rzp_live_abc"]


@pytest.mark.parametrize("key", LIVE)
def test_no_sandbox_beside_a_live_key(key: str) -> None:
    with pytest.raises(CannotStartError, match="SOME_KEY") as refused:
        check(Options(), {"SOME_KEY": f"{key}"})
    assert key not in str(refused.value)


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.1", "example.com", "::"])  # noqa: S104 - these are refused
def test_only_on_loopback(host: str) -> None:
    with pytest.raises(CannotStartError, match="loopback"):
        check(Options(host=host), {})


def test_exposed_it_serves_a_network_of_containers_and_still_no_live_key() -> None:
    check(Options(host="0.0.0.0", exposed=True), {})  # noqa: S104 - that is the question
    with pytest.raises(CannotStartError, match="live key"):
        check(Options(host="0.0.0.0", exposed=True), {"A": LIVE[0]})  # noqa: S104 - as above


def test_customers_are_sent_to_the_public_address(tmp_path: Path) -> None:
    with sandbox_server(tmp_path, public_url="http://shop.test:1/") as sandbox:
        asked = {
            "amount": "500", "currency": "usd", "confirm": "true",
            "payment_method_types[]": "card", "payment_method": "pm_card_threeDSecure2Required",
            "return_url": "http://x.test",
        }  # fmt: skip
        url = f"{sandbox.ready.stripe_url}/v1/payment_intents"
        made = httpx.post(url, data=asked, auth=("sk_test_x", ""), trust_env=False).json()

    assert made["next_action"]["redirect_to_url"]["url"].startswith("http://shop.test:1/3ds/")


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1"])
def test_loopback_is_good(host: str) -> None:
    check(Options(host=host), {"KEY": "sk_test_abc"})


@pytest.mark.parametrize("webhook", ["http://127.0.0.1/", "stripe:127.0.0.1=x", "=x", "http://a="])
def test_webhooks_that_cannot_be_read(webhook: str) -> None:
    with pytest.raises(CannotStartError, match="webhook"):
        check(Options(webhooks=(webhook,)), {})


def test_profiles_that_are_not_there() -> None:
    with pytest.raises(CannotStartError, match="hostile"):
        check(Options(profile="nice"), {})


def test_one_sandbox_over_a_folder(tmp_path: Path) -> None:
    with sandbox_server(tmp_path, lasting=True):
        asked = json.dumps({"data": str(tmp_path / "data"), "port": 0})
        command = [sys.executable, "-m", "adapters.sandbox_server", asked]
        other = subprocess.run(command, capture_output=True, text=True, timeout=90, check=False)
    assert (other.returncode, other.stdout) == (1, "")
    assert "another sandbox" in other.stderr


def test_the_verb_says_where_it_is_and_ends_on_sigterm(tmp_path: Path) -> None:
    command = [Path(sys.executable).with_name("loop"), "sandbox", "--port", "0", "--json",
               "--data", tmp_path, "--profile", "flaky", "--seed", "9",
               "--webhook", "stripe:http://127.0.0.1:9/a?b=c=whsec_x"]  # fmt: skip
    clean = {name: value for name, value in os.environ.items() if "COV" not in name}
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=clean) as process:
        assert process.stdout is not None
        ready = json.loads(process.stdout.readline())
        headers = {"authorization": f"Bearer {ready['token']}"}
        found = httpx.get(f"{ready['controlUrl']}/webhooks", headers=headers, trust_env=False)
        process.send_signal(signal.SIGTERM)
        assert process.wait(90) == 0
    assert (tmp_path / "sandbox-server" / "sandbox.sqlite3").is_file()
    [endpoint] = found.json()["endpoints"]
    assert (endpoint["url"], endpoint["dialect"]) == ("http://127.0.0.1:9/a?b=c", "stripe")
    assert ready["seed"] == 9


def test_the_verb_refuses_a_live_key(tmp_path: Path) -> None:
    command = [Path(sys.executable).with_name("loop"), "sandbox", "--port", "0"]
    environment = {**os.environ, "LOOP_X": LIVE[0], "LOOP_HOME": str(tmp_path)}
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=90, env=environment, check=False
    )
    assert done.returncode == 1
    assert "live key" in done.stderr


def test_the_control_plane_wants_its_token(sandbox: SandboxServer) -> None:
    url = sandbox.ready.control_url
    assert httpx.get(f"{url}/health", trust_env=False).json()["ok"] is True
    for token in ("x", "wrong", "sk_test_sandbox"):
        headers = {"authorization": f"Bearer {token}"}
        assert httpx.get(f"{url}/books", headers=headers, trust_env=False).status_code == 401


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("clock", {"advance": "soon"}, 400),
        ("clock", {"advance": "+1m"}, 200),
        ("profile", {"name": "nice"}, 400),
        ("options", {"colour": "red"}, 400),
        ("trigger/rain", {}, 400),
        ("trigger/dispute", {"payment": "pi_x"}, 400),
        ("trigger/dispute", {}, 400),
        ("webhooks/nothing", {}, 400),
        ("webhooks", {"dialect": "paypal", "url": "http://x", "secret": "y"}, 400),
        ("nothing", {}, 404),
    ],
)
def test_what_the_control_plane_says(
    sandbox: SandboxServer, path: str, body: dict[str, str], status: int
) -> None:
    assert sandbox.ask("POST", path, **body).status_code == status


def test_scenarios_are_listed(sandbox: SandboxServer) -> None:
    listed = sandbox.control("GET", "scenarios")
    assert listed["amounts"]["4001"]["decline"] == "generic_decline"
    assert "pm_card_visa" in listed["stripe"]


def test_bare_paths_find_their_dialect_by_the_key(sandbox: SandboxServer) -> None:
    url = f"{sandbox.ready.url}/v1/refunds"
    stripes = httpx.get(url, headers={"authorization": "Bearer sk_test_x"}, trust_env=False)
    razorpays = httpx.get(url, auth=("rzp_test_x", "y"), trust_env=False)
    assert (stripes.json()["object"], razorpays.json()["entity"]) == ("list", "collection")


def test_a_body_that_is_too_large(sandbox: SandboxServer) -> None:
    url = f"{sandbox.ready.stripe_url}/v1/refunds"
    headers = {"authorization": "Bearer sk_test_x"}
    answer = httpx.post(url, content=b"x" * 300_000, headers=headers, trust_env=False)
    assert answer.status_code == 413


def test_a_request_that_breaks_off_in_its_body_is_none(sandbox: SandboxServer) -> None:
    asked = b"amount=1999&currency=usd&confirm=true&payment_method=pm_card_visa"
    head = (
        b"POST /stripe/v1/payment_intents HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n"
        b"authorization: Bearer sk_test_x\r\n\r\n"
    ) % (len(asked) + 20)
    where = urlsplit(sandbox.ready.url)
    with socket.create_connection((where.hostname, where.port)) as client:
        client.sendall(head + asked)
    sandbox.page("POST", "/stripe/v1/refunds")

    assert [one["path"] for one in sandbox.journal()] == ["/v1/refunds"]


def test_nothing_of_the_ledger_is_imported() -> None:
    folder = Path(adapters.sandbox_server.__file__).parent
    ours = ("adapters", "commands", "domain", "gateway", "projections", "replay")
    for file in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            elif isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            else:
                continue
            for name in names:
                foreign = name.split(".")[0] in ours
                assert not foreign or name.startswith("adapters.sandbox_server"), (file, name)
