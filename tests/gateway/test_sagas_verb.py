"""`loop sagas`: what waits for a person is listed, explained, and settled under a name."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from click.testing import CliRunner, Result

from domain.events import DiscrepancyResolved
from gateway.cli import cli
from tests.gateway.conftest import Service
from tests.waiting import until

Loop = Callable[..., Result]


@pytest.fixture(scope="module")
def loop(service: Service) -> Loop:
    environment = service._settings.environment()

    def run(*arguments: str) -> Result:
        return CliRunner().invoke(cli, ["sagas", *arguments], env=environment)

    return run


def as_json(loop: Loop, *arguments: str) -> Any:
    done = loop(*arguments, "--json")
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def paid(client: httpx.Client, token: str, **order: Any) -> dict[str, Any]:
    made = client.post("/v1/orders", json={"amount": 1000, "currency": "USD"} | order).json()
    method = {"paymentMethod": {"type": "card", "token": token}}
    answer = client.post(f"/v1/orders/{made['id']}/pay", json=method, headers={"Prefer": "wait=20"})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = made
    return found


def cases_of(loop: Loop, order_id: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = as_json(loop, "list")["cases"]
    return [case for case in found if case["orderId"] == order_id]


def test_a_discrepancy_is_listed_shown_and_settled_with_its_evidence(
    loop: Loop, client: httpx.Client, service: Service
) -> None:
    order_id = paid(client, "sbx_wrong_amount")["id"]
    (case,) = cases_of(loop, order_id)
    assert (case["kind"], case["urgent"], case["status"]) == ("discrepancy", True, "processing")
    assert "order is of" in case["says"]
    assert case == as_json(loop, "show", order_id)["cases"][0] | {
        name: case[name] for name in ("orderId", "merchantId", "mode", "status")
    }
    shown = loop("show", order_id)
    assert f"resolve {order_id} {case['subject']}" in shown.output
    assert case["subject"] in loop("list").output

    without = loop("resolve", order_id, case["subject"], "--as", "written-off")
    assert without.exit_code == 2
    arguments = ("resolve", order_id, case["subject"], "--as", "written-off", "--by", "ada")
    settled = loop(*arguments, "--evidence", "their error, ticket 17", "--json")
    assert settled.exit_code == 0, settled.output
    again = loop(*arguments, "--evidence", "twice")
    assert (again.exit_code, "no open discrepancy" in again.output) == (1, True)
    rows = service.call(service.app.ports.store.load([order_id]))[order_id]
    (row,) = [row for row in rows if isinstance(row.data, DiscrepancyResolved)]
    assert (row.metadata.actor.kind, row.metadata.actor.id) == ("operator", "ada")
    assert cases_of(loop, order_id) == []


def test_what_waits_is_made_due_and_cancelled_by_hand(loop: Loop, client: httpx.Client) -> None:
    order_id = paid(client, "sbx_challenge")["id"]
    (step,) = as_json(loop, "show", order_id)["steps"]
    assert step["operation"] == "challenge"
    waiting = {one["operation"]: one for one in as_json(loop, "list")["waiting"]}
    assert waiting["challenge"]["waiting"] >= 1
    made = as_json(loop, "retry", order_id)
    assert made["due"] == [f"challenge {step['subject']}"]
    cancelled = as_json(loop, "cancel", order_id, "--evidence", "customer called", "--by", "ada")
    assert cancelled["orderId"] == order_id
    path = f"/v1/orders/{order_id}"
    asyncio.run(until(lambda: client.get(path).json()["status"] == "cancelled"))
    nothing = loop("retry", order_id)
    assert (nothing.exit_code, "waits for nothing" in nothing.output) == (1, True)


def test_unknown_orders_end_with_one_and_orphans_are_asked_for(loop: Loop) -> None:
    for verb in ("show", "retry", "cancel"):
        assert loop(verb, "ord_01h455vb4pex5vsknk084sn02q").exit_code == 1
        assert loop(verb, "nothing").exit_code == 1
    assert as_json(loop, "list", "--orphans")["orphans"] == []
    assert "orphans" not in as_json(loop, "list")


def test_the_metrics_say_what_waits(client: httpx.Client) -> None:
    paid(client, "sbx_challenge")
    text = client.get("/metrics").text
    assert "saga_overdue " in text
    assert 'saga_waiting{state="challenge"} 1.0' in text
