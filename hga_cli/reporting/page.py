"""The frame of a page: everything in one file, nothing from anywhere else."""

from collections.abc import Mapping
from datetime import datetime
from importlib.resources import files

from hga_cli import __version__
from hga_cli.reporting.marks import GLYPHS
from hga_cli.reporting.markup import Markup, element
from hga_cli.reporting.scene import COLOURS

POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
"""What a browser may load: only what is in the page."""
GENERATOR = '<meta name="generator" content="hga report">'
"""By which our pages are known."""


def page(title: str, head: Markup, sections: Mapping[str, Markup]) -> str:
    """Return a whole HTML document.

    Args:
        title: of the window.
        head: what stands above all sections.
        sections: heading -> content; the headings are also the links at the top.
    """
    names = {heading: f"part-{number}" for number, heading in enumerate(sections, start=1)}
    links = [element("li", element("a", heading, href=f"#{name}")) for heading, name in names.items()]
    nav = element("nav", element("ul", *links), aria_label="Parts of this page")
    parts = [
        element("section", element("h2", heading), content, id=names[heading]) for heading, content in sections.items()
    ]
    made = f"Made by hga {__version__} on {datetime.now():%Y-%m-%d %H:%M}. This page loads nothing from anywhere."
    body = [element("header", head, nav), element("main", *parts), element("footer", element("p", made))]
    heads = [
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=POLICY),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        Markup(GENERATOR),
        element("title", title),
        element("style", Markup(_text("page.css") + _colours())),
    ]
    whole = element("html", element("head", *heads), element("body", *body, _script()), lang="en-GB")
    return f"<!doctype html>\n{whole}\n"


def notice(text: str) -> Markup:
    """Return a sentence that should not be overlooked."""
    return element("p", text, class_="notice")


def facts_list(pairs: Mapping[str, str]) -> Markup:
    """Return names with their values, in small boxes."""
    boxes = [element("div", element("dt", name), element("dd", value)) for name, value in pairs.items()]
    return element("dl", *boxes, class_="facts")


def _colours() -> str:
    """Return the rules for the colours of curves and of regions."""
    curves = [
        f".chart .c{number}{{stroke:var(--c{number})}}.chart .mark.c{number}{{fill:var(--c{number})}}"
        f".legend .c{number}::before{{color:var(--c{number});content:'{glyph}'}}"
        for number, glyph in enumerate(GLYPHS)
    ]
    regions = [
        f".slice .r{number}{{stroke:{colour}}}.key.r{number}::before{{border-color:{colour}}}"
        for number, colour in enumerate(COLOURS)
    ]
    return "\n".join([*curves, *regions])


def _script() -> Markup:
    return element("script", Markup(_text("page.js")))


def _text(name: str) -> str:
    return files("hga_cli.reporting").joinpath(name).read_text(encoding="utf-8")
