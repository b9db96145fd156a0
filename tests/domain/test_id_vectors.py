"""Ids against the published vectors: TypeID 0.3.0 and the example of RFC 9562."""

import os
import time
from itertools import pairwise
from uuid import RFC_4122, UUID

import pytest

from domain import ids
from domain.ids import PREFIXES, is_id, named_id, new_id

# jetify-com/typeid, spec/valid.yml: what is encoded, and the UUID in it. A prefix is ours to give.
VALID = {
    "00000000000000000000000000": "00000000-0000-0000-0000-000000000000",
    "00000000000000000000000001": "00000000-0000-0000-0000-000000000001",
    "0000000000000000000000000a": "00000000-0000-0000-0000-00000000000a",
    "0000000000000000000000000g": "00000000-0000-0000-0000-000000000010",
    "00000000000000000000000010": "00000000-0000-0000-0000-000000000020",
    "7zzzzzzzzzzzzzzzzzzzzzzzzz": "ffffffff-ffff-ffff-ffff-ffffffffffff",
    "0123456789abcdefghjkmnpqrs": "0110c853-1d09-52d8-d73e-1194e95b5f19",
    "01h455vb4pex5vsknk084sn02q": "01890a5d-ac96-774b-bcce-b302099a8057",
}
# jetify-com/typeid, spec/invalid.yml.
INVALID = (
    "PREFIX_00000000000000000000000000",
    "12345_00000000000000000000000000",
    "pre.fix_00000000000000000000000000",
    "préfix_00000000000000000000000000",
    "  prefix_00000000000000000000000000",
    "abcdefghijklmnopqrstuvwxyz" * 2 + "abcdefghijkl_00000000000000000000000000",
    "_00000000000000000000000000",
    "_",
    "prefix_1234567890123456789012345",
    "prefix_123456789012345678901234567",
    "prefix_1234567890123456789012345 ",
    "prefix_0123456789ABCDEFGHJKMNPQRS",
    "prefix_123456789-123456789-123456",
    "prefix_ooooooiiiiiiuuuuuuulllllll",
    "prefix_i23456789ol23456789oi23456",
    "prefix_123456789-0123456789-0123456",
    "prefix_8zzzzzzzzzzzzzzzzzzzzzzzzz",
    "_prefix_00000000000000000000000000",
    "prefix__00000000000000000000000000",
)
# RFC 9562, appendix A.6: 2022-02-22 19:22:22 UTC, to the millisecond; the rest is random there.
EXAMPLE = UUID("017F22E2-79B0-7CC3-98C4-DC0C0C07398F")


def uuid_of(typeid: str) -> UUID:
    value = 0
    for char in typeid.rpartition("_")[2]:
        value = value * 32 + "0123456789abcdefghjkmnpqrstvwxyz".index(char)
    return UUID(int=value)


@pytest.mark.parametrize(("suffix", "uuid"), VALID.items())
def test_a_uuid_is_written_as_typeid_says(
    suffix: str, uuid: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ids, "_uuid7", lambda: UUID(uuid).int)
    assert new_id("ord") == f"ord_{suffix}"
    assert is_id(f"ord_{suffix}", "ord")
    assert uuid_of(suffix) == UUID(uuid)


@pytest.mark.parametrize("text", INVALID)
def test_what_typeid_calls_invalid_is_no_id_of_any_kind(text: str) -> None:
    ours = text.replace("prefix", "ord")
    for prefix in (*PREFIXES, text.rpartition("_")[0], "prefix", ""):
        assert not is_id(text, prefix)
        assert not is_id(ours, prefix)


def test_the_example_of_rfc_9562_is_made_from_its_time_and_its_random_bits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    milliseconds = 1_645_557_742_000
    fraction = (EXAMPLE.int >> 64) & 0xFFF
    at_ns = milliseconds * 1_000_000 + -(-fraction * 1_000_000 // 4096)
    random = (EXAMPLE.int & ((1 << 62) - 1)).to_bytes(8, "big")
    monkeypatch.setattr(ids, "_last", 0)
    monkeypatch.setattr(time, "time_ns", lambda: at_ns)
    monkeypatch.setattr(os, "urandom", {8: random}.__getitem__)
    made = uuid_of(new_id("evt"))
    assert made == EXAMPLE
    assert (made.version, made.variant) == (7, RFC_4122)


def test_ids_of_one_tick_go_on_counting_where_rfc_9562_lets_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """6.2, method 3: the sub-millisecond part counts on, also over into the next millisecond."""
    monkeypatch.setattr(ids, "_last", 0)
    monkeypatch.setattr(time, "time_ns", lambda: 1_645_557_742_000_999_999)
    made = [uuid_of(new_id("evt")).int for _ in range(4098)]
    assert all(after >> 64 > before >> 64 for before, after in pairwise(made))
    assert {UUID(int=one).version for one in made} == {7}
    assert (made[-1] >> 80) - (made[0] >> 80) == 2


def test_a_named_id_is_version_8_whatever_its_hash() -> None:
    for n in range(200):
        made = uuid_of(named_id("set", "stripe", str(n)))
        assert (made.version, made.variant) == (8, RFC_4122)
