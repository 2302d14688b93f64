"""Curves over epochs or steps as SVG that follows the light or dark colours of the page."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from hga_cli.reporting.marks import GLYPHS, mark
from hga_cli.reporting.markup import Markup, element

WIDTH, HEIGHT = 360, 210
LEFT, RIGHT, TOP, BOTTOM = 46, 20, 8, 34
"""Room for the axes, in units of the picture."""
COLOURS = len(GLYPHS)
"""Colours of ``page.css``, one for each mark; further lines have them again, dashed."""
MARKED = 9
"""At most so many points of a curve have a mark."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One curve."""

    name: str
    points: Sequence[tuple[float, float | None]]
    """(epoch or step, value), in order; None where there is no value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """A line without what is not known, and its place among all lines, by which it looks."""

    name: str
    points: list[tuple[float, float]]
    number: int

    @property
    def look(self) -> str:
        """Its classes in ``page.css``."""
        return f"c{self.number % COLOURS}{' again' if self.number >= COLOURS else ''}"


def line_chart(
    title: str, lines: Sequence[Line], *, ends: tuple[float, float] | None = None, along: str = "epoch"
) -> Markup:
    """Return a figure with curves, axes and a legend.

    Args:
        title: what is shown.
        lines: the curves; those without a finite value are left out, and keep their colour for other figures.
        ends: of the value axis; None: as far as the values reach.
        along: what the other axis counts.
    """
    curves = curves_of(lines)
    if not curves:
        return element("p", f"{title}: nothing was measured.", class_="quiet")
    drawing = element(
        "svg",
        *drawn(curves, ends=ends, along=along),
        viewBox=f"0 0 {WIDTH} {HEIGHT}",
        role="img",
        aria_label=in_words(title, curves, along),
    )
    return element("figure", element("figcaption", title), drawing, _legend(curves), class_="chart")


def curves_of(lines: Sequence[Line]) -> list[Curve]:
    """Return what is known of lines, without those of which nothing is."""
    curves = [Curve(name=line.name, points=_known(line), number=number) for number, line in enumerate(lines)]
    return [curve for curve in curves if curve.points]


def drawn(curves: Sequence[Curve], *, ends: tuple[float, float] | None, along: str) -> list[Markup]:
    """Return axes and at least one curve as parts of a picture of ``WIDTH`` times ``HEIGHT``."""
    axes = _Axes.around(curves, ends)
    return [*axes.drawn(along), *(_curve(curve, axes) for curve in curves)]


def in_words(title: str, curves: Sequence[Curve], along: str) -> str:
    """Return what a picture shows, for those who do not see it."""
    told = []
    for curve in curves:
        (first, start), (last, end) = curve.points[0], curve.points[-1]
        told.append(f"{curve.name} from {start:.3g} in {along} {first:.0f} to {end:.3g} in {along} {last:.0f}")
    return f"{title}: {'; '.join(told)}"


@dataclass(frozen=True, slots=True)
class _Axes:
    """From epochs or steps and values to places in the picture."""

    reach: tuple[float, float]
    values: tuple[float, float]

    @classmethod
    def around(cls, lines: Sequence[Curve], ends: tuple[float, float] | None) -> "_Axes":
        places = [place for line in lines for place, _ in line.points]
        values = [value for line in lines for _, value in line.points]
        return cls(_apart(min(places), max(places)), ends or _apart(min(values), max(values)))

    def x(self, place: float) -> float:
        low, high = self.reach
        return LEFT + (WIDTH - LEFT - RIGHT) * (place - low) / (high - low)

    def y(self, value: float) -> float:
        low, high = self.values
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * (value - low) / (high - low)

    def drawn(self, along: str) -> list[Markup]:
        """Return grid lines with their numbers."""
        parts = []
        for value in ticks(*self.values):
            height = f"{self.y(value):.1f}"
            parts.append(element("line", x1=LEFT, x2=WIDTH - RIGHT, y1=height, y2=height, class_="grid"))
            parts.append(element("text", f"{value:g}", x=LEFT - 6, y=height, dy="0.35em", text_anchor="end"))
        for number in ticks(*self.reach):
            if number == int(number):
                place = f"{self.x(number):.1f}"
                parts.append(element("text", f"{number:.0f}", x=place, y=HEIGHT - BOTTOM + 15, text_anchor="middle"))
        middle = (LEFT + WIDTH - RIGHT) / 2
        return [*parts, element("text", along, x=middle, y=HEIGHT - 4, text_anchor="middle")]


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
    return [(place, value) for place, value in line.points if value is not None and math.isfinite(value)]


def _curve(line: Curve, axes: _Axes) -> Markup:
    """Return a curve with its marks; where it has one point only, a mark."""
    places = [(axes.x(place), axes.y(value)) for place, value in line.points]
    every = math.ceil(len(places) / MARKED)
    parts = [mark(line.number, x, y, line.look) for x, y in places[::-every]]
    if len(places) > 1:
        along = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        parts.insert(0, element("polyline", points=along, class_=line.look))
    return element("g", element("title", line.name), *parts)


def _legend(lines: Sequence[Curve]) -> Markup:
    entries = [element("li", line.name, class_=line.look) for line in lines]
    return element("ul", *entries, class_="legend")
