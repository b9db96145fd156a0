"""`loop webhooks`: what an operator sees of deliveries, and sends again."""

import json
from typing import Any

import pytest
from click.testing import CliRunner

from gateway.cli import cli
from tests.gateway.conftest import Service
from tests.gateway.test_webhooks_http import endpoint, hooks, receiver, until

__all__ = ["hooks", "receiver"]


@pytest.fixture
def verb(service: Service) -> Any:
    def run(*arguments: str, code: int = 0) -> Any:
        done = CliRunner().invoke(
            cli, ["webhooks", *arguments, "--json"], env=service._settings.environment()
        )
        assert done.exit_code == code, done.output
        return json.loads(done.stdout) if done.stdout.startswith("{") else done.output

    return run


def test_an_operator_finds_what_was_given_up_and_sends_it_again(
    verb: Any, hooks: Any, receiver: Any
) -> None:
    made = endpoint(hooks, receiver, "order.created")
    receiver.reply(410)
    order = hooks.post("/v1/orders", json={"amount": 1000}).json()
    mine = ("--endpoint", made["id"])
    until(lambda: verb("list", *mine)["deliveries"][:1] and receiver.received)
    until(lambda: verb("list", *mine, "--status", "dead")["total"] == 1)
    (row,) = verb("dead", *mine, code=1)["deliveries"]
    assert (row["orderId"], row["status"], row["attempts"][0]["status"]) == (
        order["id"], "dead", 410,
    )  # fmt: skip
    assert verb("show", row["id"]) == row
    assert "no such delivery" in verb("show", "whd_nothing", code=1)

    path = f"/v1/webhook-endpoints/{made['id']}"
    until(lambda: hooks.get(path).json()["status"] == "disabled")
    assert "disabled" in verb("recover", made["id"], "--since", made["createdAt"], code=1)
    hooks.patch(path, json={"status": "enabled"})
    receiver.reply(200)
    assert verb("recover", made["id"], "--since", made["createdAt"])["scheduled"] == 1
    until(lambda: len(receiver.received) == 2)
    until(lambda: verb("list", *mine, "--order", order["id"])["deliveries"][0]["deliveredAt"])
    assert verb("redeliver", row["id"])["scheduled"] is True
    until(lambda: len(receiver.received) == 3)
    assert "no such endpoint" in verb("recover", "whe_no", "--since", "2026-01-01", code=1)
