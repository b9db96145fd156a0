"""What an auditor gets over HTTP: the signed head, a history with hashes, a proof that holds."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from adapters.notes import Verifier, open_note
from domain.checkpoint import Checkpoint
from replay.verify_export import verify
from tests.gateway.conftest import Service
from tests.waiting import until

ADA = {"customerId": "cus_1", "customerEmail": "ada@example.com"}


def eventually(condition: Callable[[], Awaitable[object] | object]) -> None:
    asyncio.run(until(condition))


@pytest.fixture(scope="module")
def order(client: httpx.Client) -> str:
    """A paid order, under a signed checkpoint."""
    made = client.post("/v1/orders", json={"amount": 4999, **ADA}).raise_for_status().json()
    paid = client.post(f"/v1/orders/{made['id']}/pay", json={}, headers={"Prefer": "wait=20"})
    assert paid.json()["status"] == "captured"
    order_id: str = made["id"]

    def proven() -> bool:
        answer = client.get(f"/v1/orders/{order_id}/proof")
        return answer.status_code == 200 and all(
            event["proof"] is not None for event in answer.json()["events"]
        )

    eventually(proven)
    return order_id


def test_the_signed_head_is_answered_with_its_keys(client: httpx.Client, order: str) -> None:
    assert order
    head = client.get("/v1/audit/checkpoint").raise_for_status().json()
    keys = [Verifier.parse(text) for text in head["keys"]]
    opened = open_note(head["note"], keys)
    assert opened.signed_by == tuple(keys)
    said = Checkpoint.parse(opened.text)
    assert (said.origin, said.size, said.root.hex()) == (
        head["origin"], head["size"], head["rootHash"],
    )  # fmt: skip


def test_a_history_has_types_actors_hashes_and_opened_data(
    client: httpx.Client, order: str
) -> None:
    events: list[dict[str, Any]] = client.get(f"/v1/orders/{order}/events").json()
    assert [e["version"] for e in events] == list(range(1, len(events) + 1))
    assert [e["position"] for e in events] == sorted(e["position"] for e in events)
    assert events[0]["type"] == "order.created.v1"
    assert events[-1]["type"] == "order.captured.v1"
    assert events[0]["actor"]["kind"] == "api_key"
    assert events[-1]["actor"]["kind"] == "saga"
    assert events[0]["data"]["personal"] == {
        "customerId": "cus_1", "customerEmail": "ada@example.com",
    }  # fmt: skip
    proof = client.get(f"/v1/orders/{order}/proof").json()
    assert [e["hash"] for e in events] == [e["hash"] for e in proof["events"]]
    assert "ada@example.com" not in json.dumps(proof)


def test_data_is_in_camel_case_but_for_the_merchants_own_names(client: httpx.Client) -> None:
    own = {"basket_no": 7, "Some_Name": "x"}
    created = client.post("/v1/orders", json={"amount": 10, "metadata": own}).json()
    client.post(f"/v1/orders/{created['id']}/pay", json={})
    events = client.get(f"/v1/orders/{created['id']}/events").json()
    assert events[0]["data"]["personal"]["metadata"] == own
    routed = next(e["data"] for e in events if e["type"] == "order.routed.v1")
    assert {"attemptId", "idempotencyKey", "credentialVersion"} <= set(routed)
    assert routed["decision"]["inputs"]["amountMinor"] == 10

    def names(value: Any) -> set[str]:
        if isinstance(value, list):
            return {name for item in value for name in names(item)}
        if not isinstance(value, dict):
            return set()
        return set(value) | {n for k, v in value.items() if k != "metadata" for n in names(v)}

    assert not {name for event in events for name in names(event) if "_" in name}


def test_a_proof_is_what_the_offline_verifier_verifies(
    client: httpx.Client, order: str, tmp_path: Path
) -> None:
    proof = client.get(f"/v1/orders/{order}/proof").json()
    report = verify(proof, proof["keys"], None)
    assert (report["verdict"], report["proven"]) == ("verified", len(proof["events"]))
    witness = tmp_path / "notes"
    witness.write_text(proof["checkpoint"]["note"])
    assert verify(proof, [], witness)["verdict"] == "verified"
    proof["events"][2]["recordedAtMicros"] += 1
    assert verify(proof, proof["keys"], None)["verdict"] == "tampered"


@pytest.mark.parametrize("path", ["events", "proof"])
def test_nobody_sees_anothers_history(service: Service, order: str, path: str) -> None:
    stranger, _ = service.key(service.merchant())
    with service.client(stranger) as http:
        assert http.get(f"/v1/orders/{order}/{path}").status_code == 404
        assert http.get(f"/v1/orders/ord_x/{path}").status_code == 404
    with service.client(None) as http:
        assert http.get(f"/v1/orders/{order}/{path}").status_code == 401
        assert http.get("/v1/audit/checkpoint").status_code == 401


def test_hashes_are_those_of_the_stored_bytes(
    service: Service, client: httpx.Client, order: str
) -> None:
    async def stored() -> list[bytes]:
        async with service.app.pool.connection() as db:
            cursor = await db.execute(
                "SELECT sha256('\\x00' || int8send(notification_id)"
                " || int8send((extract(epoch FROM recorded_at) * 1000000)::bigint)"
                " || int8send(octet_length(originator_id)) || convert_to(originator_id, 'UTF8')"
                " || int8send(originator_version)"
                " || int8send(octet_length(topic)) || convert_to(topic, 'UTF8')"
                " || int8send(octet_length(state)) || state)"
                " FROM events WHERE originator_id = %s ORDER BY originator_version",
                (order,),
            )
            return [row[0] for row in await cursor.fetchall()]

    events = client.get(f"/v1/orders/{order}/events").json()
    assert [bytes.fromhex(e["hash"]) for e in events] == service.call(stored())
