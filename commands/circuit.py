"""The circuit breaker of one processor account: a pure function of what its calls came to.

It opens when many calls go wrong, lets one attempt through as a probe after a while, and closes
when that one works. It guards new attempts only; whoever is under way goes on.
"""

from datetime import datetime, timedelta
from typing import Final, Literal, TypeAlias

import msgspec
from msgspec.structs import replace

REASON: Final = "circuit_open"
"""Why routing leaves out a processor whose circuit is not closed."""

CircuitState: TypeAlias = Literal["closed", "open", "half_open"]
Verdict: TypeAlias = Literal["good", "bad"]


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """When a circuit opens and for how long.

    Attributes:
        bad_min: calls that went wrong within the window, at least.
        bad_share: their share of all calls of the window, at least.
        open_for: until the first probe; doubled each time that a probe goes wrong, at most
            `open_max`.
        probe_for: how long a probe may take before another attempt is one.
    """

    bad_min: int = 20
    bad_share: float = 0.5
    window: timedelta = timedelta(seconds=60)
    open_for: timedelta = timedelta(seconds=30)
    open_max: timedelta = timedelta(minutes=10)
    probe_for: timedelta = timedelta(seconds=60)


class Circuit(msgspec.Struct, frozen=True, kw_only=True):
    """The state of one circuit.

    Attributes:
        calls, bad: of the window that began at `since`.
        until: open: when a probe may go; half open: when the probe counts as lost.
        trips: how often it opened without having been closed for a window.
        prober: the attempt that is the probe.
    """

    state: CircuitState = "closed"
    calls: int = 0
    bad: int = 0
    since: datetime | None = None
    until: datetime | None = None
    trips: int = 0
    prober: str | None = None


def counted(circuit: Circuit, *, good: int, bad: int, now: datetime, limits: Limits) -> Circuit:
    """Return a circuit after some calls; one that is not closed waits for its probe alone."""
    assert good >= 0, "calls are counted"
    assert bad >= 0, "calls are counted"
    if circuit.state != "closed":
        return circuit
    if circuit.since is None or now - circuit.since >= limits.window:
        quiet = circuit.since is not None
        circuit = Circuit(since=now, trips=0 if quiet else circuit.trips)
    circuit = replace(circuit, calls=circuit.calls + good + bad, bad=circuit.bad + bad)
    if circuit.bad >= limits.bad_min and circuit.bad >= limits.bad_share * circuit.calls:
        return _opened(circuit, now, limits)
    return circuit


def probed(
    circuit: Circuit, *, attempt_id: str, verdict: Verdict, now: datetime, limits: Limits
) -> Circuit:
    """Return a circuit after a call of an attempt; only that of its probe says anything."""
    if circuit.state != "half_open" or circuit.prober != attempt_id:
        return circuit
    if verdict == "bad":
        return _opened(circuit, now, limits)
    return Circuit(since=now, trips=circuit.trips)


def is_ripe(circuit: Circuit, now: datetime) -> bool:
    """Tell whether the next attempt may be the probe."""
    return circuit.state != "closed" and circuit.until is not None and circuit.until <= now


def claimed(circuit: Circuit, *, attempt_id: str, now: datetime, limits: Limits) -> Circuit | None:
    """Return a circuit whose probe is this attempt; None when it may not be."""
    if not is_ripe(circuit, now):
        return None
    return replace(circuit, state="half_open", until=now + limits.probe_for, prober=attempt_id)


def _opened(circuit: Circuit, now: datetime, limits: Limits) -> Circuit:
    span = min(limits.open_max, limits.open_for * 2 ** min(circuit.trips, 20))
    return Circuit(state="open", until=now + span, trips=circuit.trips + 1)
