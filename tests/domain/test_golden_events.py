"""What was stored once is read for ever: a file for every tag, byte for byte."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from adapters.codec import decode, encode
from domain import events as e
from tests.domain.catalogue import EXAMPLES, GOLDEN, METADATA

BY_TAG = {e.tag_of(example): example for example in EXAMPLES}
TAGS = sorted(e.EVENT_TYPES)


def golden(tag: str) -> bytes:
    return (GOLDEN / f"{tag}.json").read_bytes().removesuffix(b"\n")


def files() -> list[Path]:
    """One file per tag, and `<tag>.2.json` where a later one has fields that the first has not."""
    return sorted(GOLDEN.glob("*.json"))


def tag_of_file(file: Path) -> str:
    return file.name.split(".json", maxsplit=1)[0].split(".v1", maxsplit=1)[0] + ".v1"


def test_every_tag_has_an_example_and_a_file() -> None:
    assert sorted(BY_TAG) == TAGS
    assert {tag_of_file(file) for file in files()} >= set(TAGS)


def test_every_tag_names_its_aggregate_and_its_version() -> None:
    kinds = {**e.EVENT_TYPES}
    assert len(kinds) == len(set(kinds.values())) == len(EXAMPLES)
    for tag in TAGS:
        aggregate, name, version = tag.split(".")
        assert aggregate in {"order", "merchant", "settlement"}
        assert name.replace("_", "").islower()
        assert version == "v1"


@pytest.mark.parametrize("tag", TAGS)
def test_a_stored_state_still_says_the_same(tag: str) -> None:
    stored = decode(tag, golden(tag))
    assert stored.data == BY_TAG[tag]
    assert type(stored.data) is e.EVENT_TYPES[tag]
    assert stored.metadata == METADATA


@pytest.mark.parametrize("file", files(), ids=lambda file: file.name)
def test_a_stored_state_is_written_as_the_same_bytes_again(file: Path) -> None:
    raw = file.read_bytes().removesuffix(b"\n")
    stored = decode(tag_of_file(file), raw)
    assert encode(stored.metadata, stored.data) == raw


@pytest.mark.parametrize("tag", TAGS)
def test_no_field_vanishes_and_none_is_new_without_a_file(tag: str) -> None:
    said = {
        name
        for file in files()
        if tag_of_file(file) == tag
        for name in json.loads(file.read_bytes())["data"]
    }
    assert said == {"tag", *e.EVENT_TYPES[tag].__struct_encode_fields__}


@pytest.mark.parametrize("tag", TAGS)
def test_a_field_that_is_missing_or_of_another_type_is_noticed(tag: str) -> None:
    states = [json.loads(file.read_bytes()) for file in files() if tag_of_file(file) == tag]
    for field in msgspec.structs.fields(e.EVENT_TYPES[tag]):
        state: dict[str, Any] = next(s for s in states if field.encode_name in s["data"])
        without = {name: x for name, x in state["data"].items() if name != field.encode_name}
        broken = json.dumps({**state, "data": without}).encode()
        if field.required:
            with pytest.raises(msgspec.ValidationError):
                decode(tag, broken)
        else:
            whole = decode(tag, json.dumps(state).encode())
            assert decode(tag, broken).data != whole.data
        odd: list[dict[str, Any]] = [{}]
        strange = {**state["data"], field.encode_name: odd}
        with pytest.raises(msgspec.ValidationError):
            decode(tag, json.dumps({**state, "data": strange}).encode())


def test_the_form_of_a_state_is_metadata_and_data_with_its_tag_first() -> None:
    assert golden("order.attempt_fenced.v1").decode() == (
        '{"metadata":{"event_id":"evt_01h455vb4pex5vsknk084sn02x",'
        '"merchant_id":"mer_01h455vb4pex5vsknk084sn02y","mode":"live",'
        '"occurred_at":"2026-03-01T12:30:15.123456Z",'
        '"actor":{"kind":"api_key","id":"key_01h455vb4pex5vsknk084sn02v"},'
        '"correlation_id":"corr-1","causation_id":"evt_01h455vb4pex5vsknk084sn02z",'
        '"idempotency_key":"order-17",'
        '"trace":"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"},'
        '"data":{"tag":"order.attempt_fenced.v1",'
        '"attempt_id":"att_01h455vb4pex5vsknk084sn02q","proof":"capture_withheld"}}'
    )
