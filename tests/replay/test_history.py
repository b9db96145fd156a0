from pathlib import Path
from typing import get_args

import msgspec
import pytest

from adapters.codec import Stored, decode
from domain.events import OrderEvent, Recorded, tag_of
from replay.history import as_json, in_words, moments, sealed_in
from tests.history import START, life

GOLDEN = Path(__file__).parents[1] / "golden/events"
TAGS = sorted(tag_of(kind) for kind in get_args(OrderEvent))


def golden(tag: str) -> Stored:
    return decode(tag, (GOLDEN / f"{tag}.json").read_bytes())


def recorded() -> list[Recorded]:
    """The rows of one order's life."""
    metadata = golden("order.created.v1").metadata
    return [
        Recorded(
            stream_id=stream,
            version=number,
            position=number,
            recorded_at=START,
            metadata=metadata,
            data=event,
        )
        for number, (stream, event) in enumerate(life("ord_1"), 1)
    ]


@pytest.mark.parametrize("tag", TAGS)
def test_every_event_has_words_and_shows_nothing_sealed(tag: str) -> None:
    data = golden(tag).data
    words = in_words(data)

    assert words
    assert "Struct" not in words
    assert "Sealed(" not in words
    assert "Money(" not in words
    for box in sealed_in(data):
        assert box.box.hex() not in words


def test_a_life_is_told_event_by_event_with_the_status_after_each() -> None:
    told = moments(recorded())

    assert [one.row.version for one in told] == list(range(1, 8))
    assert [one.after.status for one in told] == [
        "pending", "processing", "authorized", "authorized", "captured", "captured",
        "partially_refunded",
    ]  # fmt: skip
    assert told[0].words.startswith("10.00 USD, captured automatically, externalId x-ord_1")
    assert told[4].words == "10.00 USD taken by stripe"
    assert told[6].words == "5.00 USD sent back by stripe, re_1"


def test_json_opens_what_can_be_opened_and_keeps_the_rest_null() -> None:
    rows = recorded()
    (box,) = sealed_in(rows[0].data)

    opened = as_json(rows, {box: b'{"customer_email":"a@b.co"}'})
    erased = as_json(rows, {box: None})

    assert opened[0]["data"]["personal"] == {"customer_email": "a@b.co"}
    assert erased[0]["data"]["personal"] is None
    assert opened[1:] == erased[1:]
    assert msgspec.json.decode(msgspec.json.encode(opened[3])) == {
        "position": 4,
        "version": 4,
        "recordedAt": "2026-01-01T00:00:00Z",
        "tag": "order.capture_requested.v1",
        "metadata": msgspec.to_builtins(rows[3].metadata),
        "data": {
            "attempt_id": "att_ord_1",
            "capture_id": "cap_ord_1",
            "processor": "stripe",
            "amount": {"minor": 1000, "currency": "USD"},
            "remainder": "released",
            "idempotency_key": "capture:cap_ord_1",
        },
    }
