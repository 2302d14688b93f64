"""Marks on curves, by which they can be told apart without colours."""

from hga_cli.reporting.markup import Markup, element

SHAPES = (
    ("●", "circle", {"r": "3"}),
    ("■", "path", {"d": "M-2.7-2.7h5.4v5.4h-5.4z"}),
    ("▲", "path", {"d": "M0-3.6l3.4 6h-6.8z"}),
    ("◆", "path", {"d": "M0-3.8l3.4 3.8l-3.4 3.8l-3.4-3.8z"}),
    ("▼", "path", {"d": "M0 3.6l3.4-6h-6.8z"}),
    ("✚", "path", {"d": "M-1-3.6h2v2.6h2.6v2h-2.6v2.6h-2v-2.6h-2.6v-2h2.6z"}),
    ("✖", "path", {"d": "M-3-1.5L-1.5-3 0-1.5 1.5-3 3-1.5 1.5 0 3 1.5 1.5 3 0 1.5-1.5 3-3 1.5-1.5 0z"}),
    ("★", "path", {"d": "M0-4.4l1 3h3.2l-2.6 1.9l1 3l-2.6-1.8l-2.6 1.8l1-3l-2.6-1.9h3.2z"}),
)
"""Of each mark the sign for legends of text, the SVG element around (0, 0), and the attributes of its shape."""
GLYPHS = tuple(glyph for glyph, _, _ in SHAPES)


def mark(number: int, x: float, y: float, look: str) -> Markup:
    """Return the mark of a curve at a place of the picture.

    Args:
        number: of the curve; after the last shape comes the first again.
        x: of the place, in units of the picture.
        y: of the place, in units of the picture.
        look: classes of the curve.
    """
    _, tag, shape = SHAPES[number % len(SHAPES)]
    return element(tag, transform=f"translate({x:.1f},{y:.1f})", class_=f"mark {look}", **shape)
