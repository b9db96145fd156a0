"""Plots as SVG, drawn here: a few lines over an axis need no library."""

import math
from html import escape

from tests.benchmarks.measure import Plot, Point

WIDTH, HEIGHT = 640, 360
LEFT, RIGHT, TOP, BOTTOM = 76, 150, 40, 48
COLOURS = ("#1f6feb", "#d1242f", "#2da44e", "#8250df")
TICKS = 5
NAMESPACE = "http://www.w3.org/2000/svg"


def svg(plot: Plot) -> str:
    """Draw a plot; y begins at 0."""
    points = [point for line in plot.lines.values() for point in line]
    top = _nice(max(point.y for point in points))
    area = _Area(plot, points, top)
    parts = [
        f'<svg xmlns="{NAMESPACE}" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        _text(LEFT, 22, plot.title, size=15),
        _text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 10, plot.x_label, anchor="middle"),
        _text(8, TOP - 8, plot.y_label, size=11),
    ]
    for n in range(TICKS + 1):
        value = top * n / TICKS
        y = area.y(value)
        parts.append(f'<path d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}" stroke="#ddd"/>')
        parts.append(_text(LEFT - 6, y + 4, f"{value:,.4g}", anchor="end"))
    parts += [
        _text(area.x(x), HEIGHT - BOTTOM + 18, f"{x:,.0f}", anchor="middle")
        for x in sorted({point.x for point in points})
    ]
    for n, (name, line) in enumerate(plot.lines.items()):
        parts += _line(area, name, line, COLOURS[n % len(COLOURS)], TOP + 16 + 18 * n)
    return "\n".join([*parts, "</svg>", ""])


class _Area:
    """Where values are on the page."""

    def __init__(self, plot: Plot, points: list[Point], top: float) -> None:
        self._scale = math.log if plot.log_x else float
        xs = [self._scale(point.x) for point in points]
        self._low, self._span = min(xs), (max(xs) - min(xs)) or 1.0
        self._top = top

    def x(self, value: float) -> float:
        return LEFT + (self._scale(value) - self._low) / self._span * (WIDTH - LEFT - RIGHT)

    def y(self, value: float) -> float:
        return HEIGHT - BOTTOM - value / self._top * (HEIGHT - TOP - BOTTOM)


def _line(area: _Area, name: str, line: list[Point], colour: str, at: int) -> list[str]:
    path = "L".join(f"{area.x(p.x):.1f} {area.y(p.y):.1f}" for p in line)
    dots = [
        f'<circle cx="{area.x(p.x):.1f}" cy="{area.y(p.y):.1f}" r="3" fill="{colour}"/>'
        for p in line
    ]
    legend = WIDTH - RIGHT + 16
    return [
        f'<path d="M{path}" fill="none" stroke="{colour}" stroke-width="2"/>',
        *dots,
        f'<rect x="{legend}" y="{at - 9}" width="10" height="10" fill="{colour}"/>',
        _text(legend + 16, at, name),
    ]


def _text(x: float, y: float, text: str, *, anchor: str = "start", size: int = 12) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}">'
        f"{escape(text)}</text>"
    )


def _nice(value: float) -> float:
    """Return the next of 1, 2, 2.5, 5, 10 times a power of ten."""
    power = 10 ** math.floor(math.log10(value))
    return next(power * step for step in (1, 2, 2.5, 5, 10) if power * step >= value)
