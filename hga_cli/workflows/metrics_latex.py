"""The table of an evaluation for a paper."""

from collections.abc import Mapping, Sequence
from typing import Any

SPECIAL = {
    "\\": r"\textbackslash{}",
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
}


def as_latex(document: Mapping[str, Any]) -> str:
    """Return a table of the document of ``metrics.json`` (needs the package booktabs).

    Rows are combinations with their mean over cases, then the mean over combinations with its 95 % interval; columns
    are Dice in % and HD95 in mm of each region. The convention stands in the caption.
    """
    regions = list(document["mean"])
    rows = [
        [name, *_scores({region: row[region] for region in regions})] for name, row in document["combinations"].items()
    ]
    mean = ["mean", *_scores(document["mean"])]
    interval = ["95 % interval", *_intervals(document["overall"])]
    rules = document["conventions"]
    titles = ["combination", *regions, *(f"{region} (mm)" for region in regions)]
    caption = f"Dice in %, HD95 ({rules['hd95']}). Convention '{rules['name']}': {rules['empty']} {erasing(rules)}"
    return "\n".join(
        [
            r"\begin{table}",
            rf"\caption{{{_escaped(caption)}}}",
            rf"\begin{{tabular}}{{l{'r' * (2 * len(regions))}}}",
            r"\toprule",
            _line(titles),
            r"\midrule",
            *map(_line, rows),
            r"\midrule",
            _line(mean),
            _line(interval),
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{table}",
            "",
        ]
    )


def erasing(rules: Mapping[str, Any]) -> str:
    """Say which regions are post-processed, and how."""
    minima = [f"{name} under {minimum} voxels" for name, minimum in rules["regions"].items() if minimum]
    return f"Predictions of {', '.join(minima)} count as none." if minima else "No prediction was post-processed."


def _scores(row: Mapping[str, Mapping[str, float]]) -> list[str]:
    return [_number(100 * one["dice"]) for one in row.values()] + [_number(one["hd95"]) for one in row.values()]


def _intervals(overall: Mapping[str, Mapping[str, Mapping[str, float]]]) -> list[str]:
    dice = [f"{_number(100 * row['dice']['low'])}--{_number(100 * row['dice']['high'])}" for row in overall.values()]
    hd95 = [f"{_number(row['hd95']['low'])}--{_number(row['hd95']['high'])}" for row in overall.values()]
    return dice + hd95


def _number(value: float) -> str:
    return f"{value:.1f}" if value == value else "n/a"


def _line(cells: Sequence[str]) -> str:
    return " & ".join(map(_escaped, cells)) + r" \\"


def _escaped(text: str) -> str:
    return "".join(SPECIAL.get(sign, sign) for sign in text)
