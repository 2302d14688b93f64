"""Curves of a leaderboard: Dice in validation over optimiser steps, for each table of training cases."""

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hga_cli.reporting.chart_file import chart_file
from hga_cli.reporting.charts import Line, line_chart
from hga_cli.reporting.facts import Document
from hga_cli.reporting.markup import Markup, element

MOST = 10
"""Curves in a chart; more cannot be told apart."""
ALONG = "optimiser step"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Group:
    """Entries of a board whose curves can be compared: same table, same rarest modality, same validation."""

    table: str
    """What they were trained on, in words."""
    entries: Sequence[Document]
    """With a curve, the best first."""

    def charts(self) -> dict[str, tuple[str, list[Line]]]:
        """Return name -> (title, lines): over all combinations, and over those with the rarest modality."""
        first = self.entries[0]
        which = "all" if first["curve"]["rules"]["combinations"] == "all" else "the validated"
        rarest = " or ".join(first["rarest"]["modalities"])
        told = {
            "dice": ("all", _of(which, first["curve"]["combinations"])),
            "rarest": ("rarest", f"{_of('the', first['curve']['with_rarest'])} with {rarest}, the rarest modality"),
        }
        return {
            name: (f"Dice in validation, {self.table}: mean over {what}", self._lines(key))
            for key, (name, what) in told.items()
            if key == "dice" or first["curve"]["with_rarest"]
        }

    def note(self) -> str:
        """Return which entries have no curve because there are too many."""
        if len(self.entries) <= MOST:
            return ""
        return f"Of {len(self.entries)} entries the {MOST} with the best Dice on the board are shown."

    def _lines(self, key: str) -> list[Line]:
        shown = self.entries[:MOST]
        return [
            Line(name=name, points=list(zip(entry["curve"]["steps"], entry["curve"][key], strict=True)))
            for name, entry in zip(_short([entry["label"] for entry in shown]), shown, strict=True)
        ]


def board_charts(board: Document) -> Markup:
    """Return the charts of a board, and who has no curve."""
    groups = _groups(board)
    charts = [line_chart(title, lines, along=ALONG) for group in groups for title, lines in group.charts().values()]
    notes = [
        f"{group.table}: {group.note()} The JSON file beside this page has all." for group in groups if group.note()
    ]
    if without := [entry["label"] for entry in board["entries"] if entry["curve"] is None]:
        notes.append(
            f"Never validated in training (or not all seeds at one step), so without curve: {', '.join(without)}."
        )
    told = [element("p", note) for note in notes]
    return element("div", *([element("div", *charts, class_="charts")] if charts else []), *told)


def chart_files(boards: Sequence[Document], stem: str) -> dict[str, str]:
    """Return the charts of boards as files: name, which begins with ``stem``, -> SVG document."""
    found: dict[str, str] = {}
    for board in boards:
        for group in _groups(board):
            for name, (title, lines) in group.charts().items():
                text = chart_file(f"{board['title']}. {title}", lines, along=ALONG, note=group.note())
                if text is not None:
                    found[_free(f"{stem}-{_slug(board['title'])}-{_slug(group.table)}-{name}", found)] = text
    return found


def _groups(board: Document) -> list[_Group]:
    """Return entries with curves that can be compared, by table, each in the order of the board."""
    tables: dict[str, dict[str, list[Document]]] = defaultdict(lambda: defaultdict(list))
    for entry in board["entries"]:
        if entry["curve"] is not None:
            comparable = str([entry["rarest"]["modalities"], entry["curve"]["rules"]])
            tables[entry["imbalance"]][comparable].append(entry)
    return [
        _Group(table=_told(table) + (f" (other validation or rarest, {number})" if number > 1 else ""), entries=entries)
        for table, kinds in tables.items()
        for number, entries in enumerate(kinds.values(), start=1)
    ]


def _short(labels: Sequence[str]) -> list[str]:
    """Return labels without the words that all of them have, but with their first, the method."""
    words = [label.split(" ") for label in labels]
    shared = set.intersection(*map(set, words))
    return [" ".join([first, *(word for word in rest if word not in shared)]) for first, *rest in words]


def _told(table: str) -> str:
    return "no imbalance table" if table == "none" else f"table {table}"


def _of(which: str, combinations: Sequence[str]) -> str:
    """Return "all 15 combinations"; one is called by its name."""
    return combinations[0] if len(combinations) == 1 else f"{which} {len(combinations)} combinations"


def _slug(text: str) -> str:
    """Return a text as a part of a file's name that needs no quotes anywhere."""
    return re.sub(r"[^a-z0-9.]+", "-", text.lower()).strip("-")[:80]


def _free(name: str, taken: Mapping[str, str]) -> str:
    """Return a name for an SVG file that no other has."""
    names = (f"{name}{f'-{number}' if number > 1 else ''}.svg" for number in range(1, len(taken) + 2))
    return next(one for one in names if one not in taken)
