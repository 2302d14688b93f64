"""Numbers in a table whose cells have the colour of their number."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeGuard

from hga_cli.core.combinations import dots
from hga_cli.reporting.markup import Markup, element
from hga_cli.reporting.tables import table

SCALE = ((68, 1, 84), (59, 82, 139), (33, 145, 140), (94, 201, 98), (253, 231, 37))
"""Red, green, blue from the worst to the best: viridis, which keeps its order for all eyes and in print."""
FAR = 10.0
"""Distance in mm that has the colour of the worst, where none is longer."""
BRIGHT = 0.179
"""Luminance from which black letters are easier to read than white ones (WCAG 2)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shade:
    """Which numbers have the colours at the ends of the scale."""

    worst: float
    best: float
    factor: float = 1
    """What numbers are multiplied by where they are written."""

    def style(self, value: float) -> str:
        """Return the colours of a cell."""
        share = (value - self.worst) / (self.best - self.worst) if self.best != self.worst else 1.0
        place = min(max(share, 0.0), 1.0) * (len(SCALE) - 1)
        low = min(int(place), len(SCALE) - 2)
        mixed = [
            round(first + (second - first) * (place - low))
            for first, second in zip(SCALE[low], SCALE[low + 1], strict=True)
        ]
        letters = "#000" if _luminance(mixed) > BRIGHT else "#fff"
        return f"background:rgb({','.join(map(str, mixed))});color:{letters}"


DICE = Shade(worst=0, best=1, factor=100)
"""Dice in %."""


def distance_shade(values: Sequence[float | None]) -> Shade:
    """Return the shade of distances, of which 0 is best; up to ``FAR`` it is the same everywhere."""
    return Shade(worst=max([FAR, *filter(is_known, values)]), best=0)


def is_known(value: float | None) -> TypeGuard[float]:
    """Tell whether there is a number; JSON has null, and we NaN, where there is none."""
    return value is not None and math.isfinite(value)


def _luminance(colour: Sequence[int]) -> float:
    """Return the relative luminance of red, green, blue in 0..255, as WCAG 2 defines it (beyond the darkest)."""
    shares = [math.pow((value / 255 + 0.055) / 1.055, 2.4) for value in colour]
    return sum(weight * share for weight, share in zip((0.2126, 0.7152, 0.0722), shares, strict=True))


def cell(value: float | None, shade: Shade, told: str | None = None) -> Markup:
    """Return a coloured cell; ``told`` is what a pointer that rests on it reads."""
    if not is_known(value):
        return element("td", "-", title=told)
    return element("td", f"{value * shade.factor:.1f}", style=shade.style(value), title=told)


def combination_header(name: str, modalities: Sequence[str]) -> Markup:
    """Return the first cell of a row: filled and empty dots, and the name."""
    picture = element("span", dots(tuple(name.split("+")), modalities), class_="dots", aria_hidden="true")
    return element("th", picture, " ", element("span", name, class_="name"), scope="row")


def heat_map(
    caption: str,
    columns: Sequence[str],
    rows: Mapping[str, Sequence[Markup]],
    modalities: Sequence[str],
    sums: Mapping[str, Sequence[Markup]],
) -> Markup:
    """Return a table of combinations.

    Args:
        caption: what is shown.
        columns: titles.
        rows: combination -> cells.
        modalities: of the data set, in its order.
        sums: title -> cells of what stands below all combinations.
    """
    lines = [element("tr", combination_header(name, modalities), *cells) for name, cells in rows.items()]
    below = [element("tr", element("th", title, scope="row"), *cells, class_="sum") for title, cells in sums.items()]
    return table(caption, ["combination", *columns], [*lines, *below], class_="heat")
