"""Tables of texts."""

from collections.abc import Sequence

from hga_cli.reporting.markup import Markup, element


def plain_table(
    caption: str, columns: Sequence[str], rows: Sequence[Sequence[str]], class_: str | None = None
) -> Markup:
    """Return a table of texts; the first of each row is its header. Class ``pairs`` lets long texts break."""
    lines = [
        element("tr", element("th", row[0], scope="row"), *(element("td", one) for one in row[1:])) for row in rows
    ]
    return table(caption, columns, lines, class_)


def table(caption: str, columns: Sequence[str], lines: Sequence[Markup], class_: str | None = None) -> Markup:
    """Return a table in a box of its own, which scrolls where the table is wider than the screen."""
    head = element("thead", element("tr", *(element("th", name, scope="col") for name in columns)))
    made = element("table", element("caption", caption), head, element("tbody", *lines), class_=class_)
    return element("div", made, class_="scroll", tabindex=0, role="region", aria_label=caption)
