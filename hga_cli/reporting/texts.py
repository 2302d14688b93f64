"""Texts to take along: shown, copied with a button, or downloaded."""

import csv
from collections.abc import Mapping
from io import StringIO
from urllib.parse import quote

from hga_cli.reporting.facts import Document
from hga_cli.reporting.heat_map import is_known
from hga_cli.reporting.markup import Markup, element

RULES = ("convention", "hd95_definition")
"""The last columns of every CSV, as in ``metrics.csv``."""


def copy_box(title: str, text: str, file: str) -> Markup:
    """Return a text with a button that copies it and a link that saves it as ``file``; neither asks a server."""
    address = f"data:text/plain;charset=utf-8,{quote(text)}"
    return element(
        "div",
        element("h3", title),
        element("button", "Copy", type="button"),
        element("a", f"Download {file}", href=address, download=file),
        element("textarea", text, readonly=True, aria_label=title, spellcheck="false", wrap="off"),
        class_="copy",
    )


def folded(title: str, text: str) -> Markup:
    """Return a text that is seen when its title is clicked."""
    return element("details", element("summary", title), element("pre", text, tabindex=0))


def csv_of(runs: Mapping[str, Document]) -> str:
    """Return one line for each run, combination and region; ``runs`` is title -> document of ``metrics.json``."""
    text = StringIO()
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow(["run", "combination", "region", "dice", "hd95_mm", "cases", *RULES])
    for title, metrics in runs.items():
        for name, row in metrics["combinations"].items():
            for region, one in row.items():
                scores = [csv_number(one["dice"]), csv_number(one["hd95"]), one["n"]]
                lines.writerow([title, name, region, *scores, *rules_for_csv(metrics)])
    return text.getvalue()


def rules_for_csv(document: Document) -> list[str]:
    """Return what stands in the columns ``RULES``."""
    rules = document["conventions"]
    return [rules["name"], rules["hd95"].partition(",")[0]]


def csv_number(value: float | None) -> str:
    """Return a number as it stands in a table; nothing where there is none."""
    return f"{value:.4f}" if is_known(value) else ""
