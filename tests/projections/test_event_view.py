"""The body of a webhook, byte for byte: what a version of the API once wrote it writes for ever."""

import json
from pathlib import Path

import pytest

from domain.endpoints import API_VERSIONS
from domain.order.evolve import evolve
from domain.order.state import Order
from domain.personal import Personal
from domain.public_events import public_type
from projections.event_view import order_event
from tests.history import life
from tests.projections.test_read_models import _recorded

GOLDEN = Path(__file__).parent.parent / "golden" / "webhooks"
PERSONAL = Personal(
    customer_id="ada", customer_email="ada@example.com", metadata={"a": 1, "b": "ü"}
)


def bodies(api_version: str) -> list[bytes]:
    order: Order | None = None
    found: list[bytes] = []
    for row in _recorded([fact for _, fact in life("ord_a")], "ord_a"):
        order = evolve(order, row.data, row.metadata, stream_id=row.stream_id)
        kind = public_type(row.data)
        if kind is not None:
            found.append(
                order_event(
                    row.metadata, kind, len(found) + 1, order, PERSONAL, api_version=api_version
                )
            )
    return found


@pytest.mark.parametrize("api_version", API_VERSIONS)
def test_the_bytes_of_a_version_never_change(api_version: str) -> None:
    golden = (GOLDEN / f"{api_version}.jsonl").read_bytes()
    assert b"".join(body + b"\n" for body in bodies(api_version)) == golden


def test_its_members_stand_in_the_documented_order() -> None:
    (first, *_) = bodies(API_VERSIONS[-1])
    body = json.loads(first)
    assert list(body) == [
        "id", "type", "eventType", "createdAt", "orderId", "externalId", "amount", "currency",
        "status", "processor", "sequence", "livemode", "data", "payload",
    ]  # fmt: skip
    assert body["data"] == {"object": body["payload"]}
    assert body["payload"]["nextAction"] is None
