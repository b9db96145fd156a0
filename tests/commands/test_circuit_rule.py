"""The circuit breaker as a pure function: when it opens, who probes, when it closes."""

from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from commands.circuit import Circuit, Limits, claimed, counted, is_ripe, probed

START = datetime(2026, 3, 1, tzinfo=UTC)
LIMITS = Limits(bad_min=4, bad_share=0.5)
SECOND = timedelta(seconds=1)


def after(*calls: tuple[int, int], circuit: Circuit | None = None, at: Any = START) -> Circuit:
    """The circuit after (good, bad) calls at one moment."""
    circuit = circuit or Circuit()
    for good, bad in calls:
        circuit = counted(circuit, good=good, bad=bad, now=at, limits=LIMITS)
    return circuit


def half_open(attempt: str = "att_1") -> tuple[Circuit, datetime]:
    now = START + LIMITS.open_for
    found = claimed(after((0, 4)), attempt_id=attempt, now=now, limits=LIMITS)
    assert found is not None
    return found, now


def test_it_opens_when_enough_calls_and_half_of_them_go_wrong() -> None:
    assert after((0, 3)).state == "closed"
    assert after((5, 4)).state == "closed"
    assert after((4, 4)).state == "open"
    assert after((0, 1), (0, 1), (0, 1), (0, 1)).state == "open"


def test_what_went_wrong_a_window_ago_does_not_count() -> None:
    circuit = after((0, 3))
    assert after((0, 3), circuit=circuit, at=START + LIMITS.window).state == "closed"
    assert after((0, 1), circuit=circuit, at=START + LIMITS.window - SECOND).state == "open"


def test_one_attempt_is_the_probe_until_it_is_lost() -> None:
    assert claimed(after((0, 4)), attempt_id="att_1", now=START, limits=LIMITS) is None
    circuit, now = half_open()
    assert not is_ripe(circuit, now)
    assert claimed(circuit, attempt_id="att_2", now=now, limits=LIMITS) is None
    lost = now + LIMITS.probe_for
    again = claimed(circuit, attempt_id="att_2", now=lost, limits=LIMITS)
    assert again is not None
    assert again.prober == "att_2"


def test_only_the_probe_closes_it_and_a_bad_one_opens_it_for_twice_as_long() -> None:
    circuit, now = half_open()
    other = probed(circuit, attempt_id="att_9", verdict="good", now=now, limits=LIMITS)
    assert other == circuit
    good = probed(circuit, attempt_id="att_1", verdict="good", now=now, limits=LIMITS)
    assert good.state == "closed"
    bad = probed(circuit, attempt_id="att_1", verdict="bad", now=now, limits=LIMITS)
    assert (bad.state, bad.until) == ("open", now + 2 * LIMITS.open_for)


def test_after_a_quiet_window_it_opens_for_the_short_time_again() -> None:
    circuit, now = half_open()
    closed = probed(circuit, attempt_id="att_1", verdict="good", now=now, limits=LIMITS)
    soon = after((0, 4), circuit=closed, at=now)
    assert soon.until == now + 2 * LIMITS.open_for
    later = now + LIMITS.window
    assert after((0, 4), circuit=closed, at=later).until == later + LIMITS.open_for


deeds = st.lists(
    st.tuples(
        st.sampled_from(["good", "bad", "claim", "good probe", "bad probe"]),
        st.integers(min_value=0, max_value=90),
    ),
    max_size=80,
)


@given(deeds)
def test_whatever_happens_there_is_one_probe_and_a_way_back(history: list[tuple[str, int]]) -> None:
    circuit, now, probes = Circuit(), START, 0
    for deed, wait_s in history:
        now += wait_s * SECOND
        before = circuit
        match deed:
            case "good":
                circuit = counted(circuit, good=1, bad=0, now=now, limits=LIMITS)
            case "bad":
                circuit = counted(circuit, good=0, bad=1, now=now, limits=LIMITS)
            case "claim":
                probes += 1
                found = claimed(circuit, attempt_id=f"att_{probes}", now=now, limits=LIMITS)
                # Nobody probes what is closed, or beside a probe that still has time.
                free = before.state != "closed" and before.until is not None
                assert (found is not None) == (free and before.until <= now)  # type: ignore[operator]
                circuit = found or circuit
            case "good probe" | "bad probe":
                verdict = "good" if deed == "good probe" else "bad"
                circuit = probed(
                    circuit, attempt_id=circuit.prober or "", verdict=verdict, now=now,
                    limits=LIMITS,
                )  # fmt: skip
        assert circuit.bad <= circuit.calls
        assert (circuit.prober is not None) == (circuit.state == "half_open")
        assert (circuit.until is None) == (circuit.state == "closed")
        if circuit.until is not None:
            assert circuit.until - now <= LIMITS.open_max
            assert is_ripe(circuit, circuit.until)
        if before.state == "closed" != circuit.state:
            assert deed == "bad"
        if circuit.state == "closed" != before.state:
            assert deed == "good probe"
