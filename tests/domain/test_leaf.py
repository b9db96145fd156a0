"""The leaf of the audit tree, against vectors that were computed by hand."""

import hashlib
import struct
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.leaf import leaf_hash

AT = datetime(2026, 3, 1, 12, 30, 15, 123456, tzinfo=UTC)
MICROSECONDS = 1_772_368_215_123_456


def by_hand(position: int, micros: int, stream: str, version: int, tag: str, state: bytes) -> str:
    stream_raw, tag_raw = stream.encode(), tag.encode()
    parts = [
        b"\x00",
        struct.pack(">Q", position),
        struct.pack(">Q", micros),
        struct.pack(">Q", len(stream_raw)) + stream_raw,
        struct.pack(">Q", version),
        struct.pack(">Q", len(tag_raw)) + tag_raw,
        struct.pack(">Q", len(state)) + state,
    ]
    return hashlib.sha256(b"".join(parts)).hexdigest()


FIRST = "f8a2ce68cb26b1853c34909cc2ee55309ffece79469f823a27e74e59c5492e58"
EMPTY = "be9b87d60a2be616a34df08ba4b1ae5b8e03466b4d612de8d46596cbb74f2fba"
ODD = "08f1a8fafb159179b0427f09fb0a7ae068893dd32ac3fb3c7711b3c7b3822403"
VECTORS = [
    (1, AT, "ord_1", 1, "order.created.v1", b"{}", FIRST),
    (2**40, datetime(1970, 1, 1, tzinfo=UTC), "", 0, "", b"", EMPTY),
    (7, AT, "mer_ü", 3, "merchant.registered.v1", b"\x00\xff", ODD),
]


@pytest.mark.parametrize("vector", VECTORS)
def test_a_leaf_is_for_ever(vector: tuple[int, datetime, str, int, str, bytes, str]) -> None:
    position, at, stream, version, tag, state, wanted = vector
    leaf = leaf_hash(
        position=position, recorded_at=at, stream_id=stream, version=version, tag=tag, state=state
    )
    assert leaf.hex() == wanted
    micros = 0 if at.year == 1970 else MICROSECONDS
    assert by_hand(position, micros, stream, version, tag, state) == wanted


@given(
    st.integers(1, 2**63 - 1),
    st.integers(0, 2**52),
    st.text(max_size=40),
    st.integers(1, 2**31),
    st.text(max_size=40),
    st.binary(max_size=200),
)
def test_a_leaf_is_what_rfc_6962_hashes(
    position: int, micros: int, stream: str, version: int, tag: str, state: bytes
) -> None:
    at = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=micros)
    leaf = leaf_hash(
        position=position, recorded_at=at, stream_id=stream, version=version, tag=tag, state=state
    )
    assert leaf.hex() == by_hand(position, micros, stream, version, tag, state)


def test_lengths_keep_neighbours_apart() -> None:
    def leaf(stream: str, tag: str, state: bytes) -> bytes:
        return leaf_hash(
            position=1, recorded_at=AT, stream_id=stream, version=1, tag=tag, state=state
        )

    assert len({leaf("ab", "c", b""), leaf("a", "bc", b""), leaf("a", "b", b"c")}) == 3


def test_a_time_is_the_same_in_every_zone() -> None:
    east = AT.astimezone(timezone(timedelta(hours=5, minutes=30)))
    leaves = {
        leaf_hash(position=1, recorded_at=at, stream_id="s", version=1, tag="t", state=b"")
        for at in (AT, east)
    }
    assert len(leaves) == 1
