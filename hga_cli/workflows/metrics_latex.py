"""The table of an evaluation for a paper."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

SPECIAL = {
    "\\": r"\textbackslash{}",
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
}
OPENING = "\\begin{table}\n\\caption{Dice in \\%, HD95 ("
"""Every table begins so."""


def is_ours(path: Path) -> bool:
    """Whether a file is there that ``as_latex`` made."""
    try:
        with path.open(encoding="utf-8") as file:
            return file.read(len(OPENING)) == OPENING
    except (OSError, UnicodeDecodeError):
        return False


def as_latex(document: Mapping[str, Any]) -> str:
    """Return a table of the document of ``metrics.json`` (needs the package booktabs).

    Rows are combinations with their mean over cases, then the mean over combinations with its 95 % interval, the
    standard deviation over cases, the worst combination, and the mean Dice where the structure exists; columns are Dice
    in % and HD95 in mm of each region. The convention stands in the caption.
    """
    regions = list(document["mean"])
    rows = [
        [name, *_scores({region: row[region] for region in regions})] for name, row in document["combinations"].items()
    ]
    structures = document.get("structures")  # absent in files of an older hga
    summary = [
        ["mean", *_scores(document["mean"])],
        ["95 % interval", *_intervals(document["overall"])],
        ["sd over cases", *_scores(_only(document["overall"], "sd"))],
        ["worst combination", *_scores(_worst(document, regions))],
        *([["mean where present", *_scores(_only_dice(structures))]] if structures else []),
    ]
    rules = document["conventions"]
    titles = ["combination", *regions, *(f"{region} (mm)" for region in regions)]
    caption = f"{rules['hd95']}). Convention '{rules['name']}': {rules['empty']} {erasing(rules)}"
    return "\n".join(
        [
            f"{OPENING}{_escaped(caption)}}}",
            rf"\begin{{tabular}}{{l{'r' * (2 * len(regions))}}}",
            r"\toprule",
            _line(titles),
            r"\midrule",
            *map(_line, rows),
            r"\midrule",
            *map(_line, summary),
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
    dice = [_number(100 * one["dice"]) for one in row.values()]
    return dice + [_number(one["hd95"]) if "hd95" in one else "" for one in row.values()]


def _only(overall: Mapping[str, Mapping[str, Mapping[str, float]]], key: str) -> dict[str, dict[str, float]]:
    return {region: {score: one[key] for score, one in row.items()} for region, row in overall.items()}


def _only_dice(structures: Mapping[str, Mapping[str, float | None]]) -> dict[str, dict[str, float]]:
    """Return the mean Dice where each region exists; None (NaN in JSON) is NaN again."""
    known = {name: row["dice"] for name, row in structures.items()}
    return {name: {"dice": float("nan") if value is None else value} for name, value in known.items()}


def _worst(document: Mapping[str, Any], regions: Sequence[str]) -> dict[str, Mapping[str, float]]:
    """Return the scores of the combination with the lowest Dice of each region; NaN where none has any."""
    unknown = {"dice": float("nan"), "hd95": float("nan")}
    names = document["worst"]
    return {name: document["combinations"][names[name]][name] if names[name] else unknown for name in regions}


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
