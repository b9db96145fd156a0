"""`loop processors`: credentials come in unseen and never go out again."""

import json
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from gateway.cli import cli

SECRET = "sk_test_51HidDeN"


@pytest.fixture
def loop(database_url: str, nats_url: str, tmp_path: Path) -> Callable[..., Result]:
    environment = {
        "LOOP_HOME": str(tmp_path),
        "LOOP_DATABASE_URL": database_url,
        "LOOP_NATS_URL": nats_url,
        "LOOP_MASTER_KEYS": f"k1:{secrets.token_hex(32)}",
    }

    def run(*arguments: str, stdin: str | None = None, **env: str) -> Result:
        return CliRunner().invoke(cli, list(arguments), input=stdin, env=environment | env)

    return run


@pytest.fixture
def merchant(loop: Callable[..., Result]) -> str:
    made = loop("keys", "create", "--new-merchant", "Tea shop", "--json")
    assert made.exit_code == 0, made.output
    found: str = json.loads(made.stdout)["merchantId"]
    return found


def listed(loop: Callable[..., Result], merchant: str) -> list[dict[str, Any]]:
    shown = loop("processors", "list", "--merchant", merchant, "--json")
    assert shown.exit_code == 0, shown.output
    assert SECRET not in shown.output
    found: list[dict[str, Any]] = json.loads(shown.stdout)
    return [account for account in found if account["processor"] != "sandbox"]


@pytest.mark.parametrize(
    "form",
    [
        f"SECRET_KEY='{SECRET}'\n# a note\n",
        f"STRIPE_SECRET_KEY={SECRET}\n",
        f'{{"secret_key": "{SECRET}"}}',
    ],
)
def test_credentials_come_from_stdin(loop: Callable[..., Result], merchant: str, form: str) -> None:
    done = loop("processors", "set", "stripe", "--merchant", merchant, "--from", "-", stdin=form)
    assert done.exit_code == 0, done.output
    assert SECRET not in done.output
    (account,) = listed(loop, merchant)
    assert (account["mode"], account["credentialVersion"], account["enabled"]) == ("test", 1, True)


def test_credentials_come_from_the_environment_and_are_replaced_kept_and_removed(
    loop: Callable[..., Result], merchant: str
) -> None:
    command = ("processors", "set", "razorpay", "--merchant", merchant)
    keys = {"RAZORPAY_KEY_ID": "rzp_test_1", "RAZORPAY_KEY_SECRET": "hidden"}
    for _ in range(2):
        assert loop(*command, **keys).exit_code == 0
    assert loop(*command, "--keep", "--disabled", "--priority", "3").exit_code == 0
    (account,) = listed(loop, merchant)
    assert account == {
        "mode": "test",
        "processor": "razorpay",
        "account": "razorpay_rzp_test_1",
        "credentialVersion": 2,
        "enabled": False,
        "priority": 3,
    }
    assert loop("processors", "remove", "razorpay", "--merchant", merchant).exit_code == 0
    assert listed(loop, merchant) == []
    assert loop("processors", "remove", "razorpay", "--merchant", merchant).exit_code == 1


@pytest.mark.parametrize(
    ("processor", "mode", "stdin", "words"),
    [
        ("stripe", "live", f"secret_key={SECRET}", "sk_live_"),
        ("stripe", "test", "no pair at all", "NAME=VALUE"),
        ("stripe", "test", f'{{"secret_key": ["{SECRET}"]}}', "no JSON object"),
        ("paypal", "test", "a=b", "no processor 'paypal'"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_sentence_without_the_secret(
    loop: Callable[..., Result], merchant: str, processor: str, mode: str, stdin: str, words: str
) -> None:
    arguments = ("--merchant", merchant, "--mode", mode, "--from", "-")
    done = loop("processors", "set", processor, *arguments, stdin=stdin)
    assert done.exit_code == 1
    assert words in done.output
    assert SECRET not in done.output


def test_a_live_key_and_a_sandbox_address_do_not_meet(
    loop: Callable[..., Result], merchant: str
) -> None:
    done = loop(
        "processors", "set", "stripe", "--merchant", merchant, "--mode", "live", "--from", "-",
        stdin="secret_key=sk_live_1", LOOP_STRIPE_BASE_URL="http://127.0.0.1:18440/stripe",
    )  # fmt: skip
    assert done.exit_code == 1
    assert "live keys are not given to a sandbox" in done.output


def test_without_a_terminal_nobody_is_asked(loop: Callable[..., Result], merchant: str) -> None:
    done = loop("processors", "set", "stripe", "--merchant", merchant)
    assert done.exit_code == 1
    assert "STRIPE_SECRET_KEY" in done.output
