"""What a benchmark says: figures, ratios of interleaved pairs with their interval, verdicts."""

import itertools
import math
import statistics
from collections.abc import Awaitable, Callable, Sequence
from typing import Literal, TypeVar

import msgspec

CONFIDENCE = 0.95

T = TypeVar("T")


class Interval(msgspec.Struct, frozen=True, kw_only=True):
    """A median with its interval by order statistics.

    Attributes:
        confidence: that the interval holds the true median, whatever the distribution is.
    """

    median: float
    low: float
    high: float
    pairs: int
    confidence: float


class Bar(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked for: a minimum, a maximum, or a band around 1."""

    kind: Literal["minimum", "maximum", "band"]
    limit: float

    def met_by(self, low: float, high: float) -> bool:
        """A minimum needs the lower end, a maximum the upper one, a band any point."""
        match self.kind:
            case "minimum":
                return low >= self.limit
            case "maximum":
                return high <= self.limit
            case "band":
                return low <= 1 + self.limit and high >= 1 - self.limit

    def text(self) -> str:
        signs = {"minimum": "≥", "maximum": "≤", "band": "1 ±"}
        return f"{signs[self.kind]} {self.limit:g}"


class Result(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=False):
    """One line of the table; `value` is ours, `ratio` ours to `against`."""

    name: str
    value: float
    unit: str
    ratio: Interval | None = None
    against: str | None = None
    bar: str | None = None
    met: bool | None = None


class Point(msgspec.Struct, frozen=True, kw_only=True):
    """A point of a plot."""

    x: float
    y: float


class Plot(msgspec.Struct, frozen=True, kw_only=True):
    """Lines over a common x axis, which may be logarithmic; y begins at 0."""

    file: str
    title: str
    x_label: str
    y_label: str
    lines: dict[str, list[Point]]
    log_x: bool = False


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """All that one benchmark found out."""

    results: list[Result]
    plots: list[Plot] = []


class Size(msgspec.Struct, frozen=True, kw_only=True):
    """How much is measured; see `run.py` for the two sizes."""

    pairs: int
    seconds: float
    orders: int
    lives: int
    events: int
    steps: int


def interval(values: Sequence[float]) -> Interval:
    """Return the narrowest order-statistic interval of at least 95 %, else the whole range."""
    ordered, n = sorted(values), len(values)
    cut = 0
    while 2 * (cut + 1) < n and _coverage(n, cut + 1) >= CONFIDENCE:
        cut += 1
    return Interval(
        median=statistics.median(ordered),
        low=ordered[cut],
        high=ordered[n - 1 - cut],
        pairs=n,
        confidence=round(_coverage(n, cut), 3),
    )


def _coverage(n: int, cut: int) -> float:
    """Probability that the median is between the values `cut` from either end."""
    outside = sum(math.comb(n, k) for k in range(cut + 1))
    return 1 - 2 * outside / 2**n


def ratios(ours: Sequence[float], theirs: Sequence[float]) -> Interval:
    """Return the interval of the ratios of pairs."""
    return interval([a / b for a, b in zip(ours, theirs, strict=True)])


async def interleaved(
    pairs: int, ours: Callable[[], Awaitable[T]], theirs: Callable[[], Awaitable[T]]
) -> tuple[list[T], list[T]]:
    """Measure in pairs; who is first changes every time."""
    first: list[T] = []
    second: list[T] = []
    for ours_first in itertools.islice(itertools.cycle((True, False)), pairs):
        if ours_first:
            first.append(await ours())
        second.append(await theirs())
        if not ours_first:
            first.append(await ours())
    return first, second


def compared(
    name: str,
    ours: Sequence[float],
    unit: str,
    against: str,
    theirs: Sequence[float],
    bar: Bar | None = None,
) -> Result:
    """Return the line of a comparison."""
    ratio = ratios(ours, theirs)
    return Result(
        name=name,
        value=statistics.median(ours),
        unit=unit,
        ratio=ratio,
        against=f"{against}: {statistics.median(theirs):,.4g} {unit}",
        bar=bar.text() if bar else None,
        met=bar.met_by(ratio.low, ratio.high) if bar else None,
    )


def absolute(name: str, values: Sequence[float], unit: str, bar: Bar | None = None) -> Result:
    """Return the line of a figure that is compared with a number."""
    found = interval(values)
    return Result(
        name=name,
        value=found.median,
        unit=unit,
        bar=f"{bar.text()} {unit}" if bar else None,
        met=bar.met_by(found.low, found.high) if bar else None,
    )
