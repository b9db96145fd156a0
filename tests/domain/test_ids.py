"""TypeIDs and API keys."""

import re
import threading
import time

import pytest

from domain.ids import PREFIXES, is_id, new_api_key, new_id

ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"


def number(typeid: str) -> int:
    value = 0
    for char in typeid.split("_")[1]:
        value = value * 32 + ALPHABET.index(char)
    return value


@pytest.mark.parametrize("prefix", PREFIXES)
def test_an_id_has_its_prefix_and_is_a_version_7_uuid(prefix: str) -> None:
    before = time.time_ns() // 1_000_000
    made = new_id(prefix)
    after = time.time_ns() // 1_000_000
    assert re.fullmatch(rf"{prefix}_[0-7][{ALPHABET}]{{25}}", made)
    assert is_id(made, prefix)
    value = number(made)
    assert value < 2**128
    assert (value >> 76) & 0xF == 7
    assert (value >> 62) & 0x3 == 2
    # Ids of one process rise, so a burst may run a little ahead of the clock.
    assert before <= value >> 80 <= after + 1000


def test_an_unknown_prefix_is_a_bug() -> None:
    with pytest.raises(AssertionError):
        new_id("txn")


def test_ids_rise_in_time() -> None:
    made = [new_id("evt") for _ in range(5000)]
    assert made == sorted(made)
    assert len(set(made)) == 5000


def test_ids_rise_when_the_clock_stands_still_or_goes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [time.time_ns() + 10**9] * 50 + [time.time_ns() - 10**9] * 50
    monkeypatch.setattr(time, "time_ns", iter(clock).__next__)
    made = [new_id("evt") for _ in clock]
    monkeypatch.undo()
    assert made == sorted(set(made))


def test_ids_of_many_threads_differ_and_rise_in_each() -> None:
    made: list[list[str]] = []

    def work() -> None:
        made.append([new_id("ord") for _ in range(2000)])

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({one for each in made for one in each}) == 16_000
    assert all(each == sorted(each) for each in made)


@pytest.mark.parametrize(
    "suffix", ["0" * 26, "01h455vb4pex5vsknk084sn02q", "7" + "z" * 25, "01h2xcejqtf2nbrexx3vqjhp41"]
)
def test_public_examples_are_ids(suffix: str) -> None:
    assert is_id(f"ord_{suffix}", "ord")


def test_a_public_example_decodes_to_its_uuid() -> None:
    """The specification's example: 01890a5d-ac96-774b-bcce-b302099a8057."""
    assert number("ord_01h455vb4pex5vsknk084sn02q") == 0x01890A5DAC96774BBCCEB302099A8057


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ord",
        "ord_",
        "01h455vb4pex5vsknk084sn02q",
        "ord_01h455vb4pex5vsknk084sn02",
        "ord_01h455vb4pex5vsknk084sn02qq",
        "ord_81h455vb4pex5vsknk084sn02q",
        "ord_01h455vb4pex5vsknk084sn0il",
        "ord_01h455vb4pex5vsknk084sn0ou",
        "ORD_01h455vb4pex5vsknk084sn02q",
        "ord_01H455VB4PEX5VSKNK084SN02Q",
        "ord_01h455vb4pex5vsknk084sn02q\n",
        " ord_01h455vb4pex5vsknk084sn02q",
        "mer_01h455vb4pex5vsknk084sn02q",
        "ord_0１h455vb4pex5vsknk084sn02q",  # noqa: RUF001 - a digit of another script
        "ord_01h455vb4pex5vsknk084sn02\x00",
    ],
)
def test_what_is_malformed_is_no_id(text: str) -> None:
    assert not is_id(text, "ord")


def test_api_keys_name_their_mode_and_differ() -> None:
    keys = {new_api_key(mode) for mode in ("test", "live") for _ in range(100)}
    assert len(keys) == 200
    assert all(re.fullmatch(r"sk_(test|live)_[A-Za-z0-9_-]{32}", key) for key in keys)
