"""A chart as an SVG file of its own, for places where no page gives it colours: on white, with its legend inside."""

import re
from collections.abc import Sequence
from importlib.resources import files
from textwrap import wrap

from hga_cli.reporting.charts import COLOURS, HEIGHT, WIDTH, Curve, Line, curves_of, drawn, in_words
from hga_cli.reporting.marks import mark
from hga_cli.reporting.markup import Markup, element

SCALE = 1.6
"""Pixels for each unit of the picture, where nobody asks for another size."""
LETTERS = 48
"""That fit beside each other."""
ROW, MARGIN, KEY = 15, 10, 30
"""Height of a line of text, room at the sides, and length of a curve in the legend, in units of the picture."""
FONT = "font-size:11px;font-family:system-ui,'Segoe UI',Roboto,Helvetica,Arial,sans-serif"
"""Not in the short form, which some programs do not know."""
Block = tuple[Markup, float]
"""Part of the picture that starts at its upper edge, and its height."""


def chart_file(title: str, lines: Sequence[Line], *, along: str, note: str = "") -> str | None:
    """Return an SVG document in the light colours of our pages, or None where nothing is known.

    Args:
        title: what is shown.
        lines: the curves; those without a finite value are left out.
        along: what the axis of the curves counts.
        note: what else should be known.
    """
    curves = curves_of([Line(name=_printable(line.name), points=line.points) for line in lines])
    if not curves:
        return None
    title = _printable(title)
    plot = element("g", *drawn(curves, ends=None, along=along))
    blocks: list[Block] = [_text(title, "title"), (plot, HEIGHT), *map(_key, curves), _text(_printable(note), "note")]
    parts, height = _stacked(blocks)
    svg = element(
        "svg",
        element("title", title),
        element("style", Markup(_style())),
        element("rect", width=WIDTH, height=height, fill="#ffffff"),
        *parts,
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {WIDTH} {height}",
        width=WIDTH * SCALE,
        height=height * SCALE,
        role="img",
        aria_label=in_words(title, curves, along),
    )
    return f"{svg}\n"


def _stacked(blocks: Sequence[Block]) -> tuple[list[Markup], float]:
    """Return blocks one below the other, and their height with margins."""
    parts, height = [], MARGIN / 2
    for drawing, its_height in blocks:
        parts.append(element("g", drawing, transform=f"translate(0,{height})"))
        height += its_height
    return parts, height + MARGIN


def _text(text: str, look: str, left: float = MARGIN) -> Block:
    rows = wrap(text, LETTERS)
    parts = [
        element("text", row, x=left, y=ROW * (number + 0.5), dy="0.35em", class_=look)
        for number, row in enumerate(rows)
    ]
    return element("g", *parts), ROW * len(rows)


def _key(curve: Curve) -> Block:
    """Return a line of the legend."""
    line = element("line", x1=MARGIN, x2=MARGIN + KEY, y1=ROW / 2, y2=ROW / 2, class_=curve.look)
    name, height = _text(curve.name, "name", left=MARGIN + KEY + 6)
    return element("g", line, mark(curve.number, MARGIN + KEY / 2, ROW / 2, curve.look), name), height


def _style() -> str:
    """Return rules with the light colours of ``page.css``; not as variables, which many programs do not know."""
    page = files("hga_cli.reporting").joinpath("page.css").read_text(encoding="utf-8")
    light = dict(re.findall(r"--(\w+): (#\w+)", page.partition("@media")[0]))
    rules = [
        f"text{{{FONT};fill:{light['quiet']}}}text.title{{font-weight:600}}",
        f"text.title,text.name{{fill:{light['ink']}}}.grid{{stroke:{light['line']}}}",
        "polyline{fill:none;stroke-linejoin:round}polyline.again,line.again{stroke-dasharray:5 3}",
    ]
    colours = [light[f"c{number}"] for number in range(COLOURS)]
    rules += [
        f".c{number}{{stroke:{one};stroke-width:2}}.mark.c{number}{{stroke-width:1;fill:{one}}}"
        for number, one in enumerate(colours)
    ]
    return "".join(rules)


def _printable(text: str) -> str:
    """Return a text without signs that XML forbids."""
    return "".join(sign if sign.isprintable() else "\ufffd" for sign in text)
