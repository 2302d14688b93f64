"""Curves over epochs as SVG that follows the light or dark colours of the page."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from hga_cli.reporting.markup import Markup, element

WIDTH, HEIGHT = 360, 210
LEFT, RIGHT, TOP, BOTTOM = 46, 10, 8, 34
"""Room for the axes, in units of the picture."""
COLOURS = 8
"""Colours of ``page.css``; further lines have them again, dashed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One curve."""

    name: str
    points: Sequence[tuple[float, float | None]]
    """(epoch, value), by epoch; None where there is no value."""


def line_chart(title: str, lines: Sequence[Line], *, ends: tuple[float, float] | None = None) -> Markup:
    """Return a figure with curves, axes and a legend.

    Args:
        title: what is shown.
        lines: the curves; those without a finite value are left out, and keep their colour for other figures.
        ends: of the value axis; None: as far as the values reach.
    """
    curves = [_Curve(line.name, _known(line), _look(number)) for number, line in enumerate(lines)]
    shown = [curve for curve in curves if curve.points]
    if not shown:
        return element("p", f"{title}: nothing was measured.", class_="quiet")
    axes = _Axes.around(shown, ends)
    drawing = element(
        "svg",
        *axes.drawn(),
        *(_curve(line, axes) for line in shown),
        viewBox=f"0 0 {WIDTH} {HEIGHT}",
        role="img",
        aria_label=f"{title}: {'; '.join(map(_in_words, shown))}",
    )
    return element("figure", element("figcaption", title), drawing, _legend(shown), class_="chart")


@dataclass(frozen=True, slots=True)
class _Curve:
    """A line without what is not known."""

    name: str
    points: list[tuple[float, float]]
    look: str
    """Its classes in ``page.css``."""


@dataclass(frozen=True, slots=True)
class _Axes:
    """From epochs and values to places in the picture."""

    epochs: tuple[float, float]
    values: tuple[float, float]

    @classmethod
    def around(cls, lines: Sequence[_Curve], ends: tuple[float, float] | None) -> "_Axes":
        epochs = [epoch for line in lines for epoch, _ in line.points]
        values = [value for line in lines for _, value in line.points]
        return cls(_apart(min(epochs), max(epochs)), ends or _apart(min(values), max(values)))

    def x(self, epoch: float) -> float:
        low, high = self.epochs
        return LEFT + (WIDTH - LEFT - RIGHT) * (epoch - low) / (high - low)

    def y(self, value: float) -> float:
        low, high = self.values
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * (value - low) / (high - low)

    def drawn(self) -> list[Markup]:
        """Return grid lines with their numbers."""
        parts = []
        for value in ticks(*self.values):
            height = f"{self.y(value):.1f}"
            parts.append(element("line", x1=LEFT, x2=WIDTH - RIGHT, y1=height, y2=height, class_="grid"))
            parts.append(element("text", f"{value:g}", x=LEFT - 6, y=height, dy="0.35em", text_anchor="end"))
        for epoch in ticks(*self.epochs):
            if epoch == int(epoch):
                place = f"{self.x(epoch):.1f}"
                parts.append(element("text", f"{epoch:g}", x=place, y=HEIGHT - BOTTOM + 15, text_anchor="middle"))
        middle = (LEFT + WIDTH - RIGHT) / 2
        return [*parts, element("text", "epoch", x=middle, y=HEIGHT - 4, text_anchor="middle")]


def ticks(low: float, high: float) -> list[float]:
    """Return 3 to 6 round numbers between two numbers, ``low`` < ``high``."""
    rough = (high - low) / 4
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough * 0.999)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(number * step, 12) for number in range(first, last + 1)]


def _apart(low: float, high: float) -> tuple[float, float]:
    """Return two numbers that are not the same."""
    room = abs(low) * 0.1 or 1.0
    return (low, high) if high - low > 1e-9 * room else (low - room, high + room)


def _known(line: Line) -> list[tuple[float, float]]:
    return [(epoch, value) for epoch, value in line.points if value is not None and math.isfinite(value)]


def _curve(line: _Curve, axes: _Axes) -> Markup:
    """Return a curve; where it has one point only, a dot."""
    places = [(axes.x(epoch), axes.y(value)) for epoch, value in line.points]
    name = element("title", line.name)
    if len(places) == 1:
        return element("circle", name, cx=f"{places[0][0]:.1f}", cy=f"{places[0][1]:.1f}", r=3, class_=line.look)
    along = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    return element("polyline", name, points=along, class_=line.look)


def _look(number: int) -> str:
    return f"c{number % COLOURS}{' again' if number >= COLOURS else ''}"


def _legend(lines: Sequence[_Curve]) -> Markup:
    entries = [element("li", line.name, class_=line.look) for line in lines]
    return element("ul", *entries, class_="legend")


def _in_words(line: _Curve) -> str:
    (first, start), (last, end) = line.points[0], line.points[-1]
    return f"{line.name} from {start:.3g} in epoch {first:g} to {end:.3g} in epoch {last:g}"
