"""How ``hga report --leaderboard`` shows ranks. Documents in, tables and lines out."""

from collections.abc import Mapping
from typing import Any

from rich.console import RenderableType
from rich.table import Table

from hga_cli.cli.output import table

SPREAD = ("seeds", "sd")
"""Columns that say nothing where every entry has one seed."""
Document = Mapping[str, Any]


def leaderboard_parts(document: Document) -> list[RenderableType]:
    """Show a table for each board, and what was left out of them."""
    from hga_cli.reporting.leaderboard_texts import left_out_by_reason, other_settings

    parts: list[RenderableType] = [_table(board) for board in document["boards"]]
    if len(document["boards"]) > 1:
        parts.append(f"{len(document['boards'])} tables: other data, splits or rules cannot be compared")
    parts.append("Dice in %: mean over regions and combinations, over those with the rarest modality, of the worst one")
    parts.append(
        "diff., p: Dice minus that of joint, equal; Wilcoxon's test over cases, paired by case and combination"
    )
    entries = [entry for board in document["boards"] for entry in board["entries"]]
    if others := [f"{entry['label']}: {other_settings(entry)}" for entry in entries if entry["other_settings"]]:
        parts.append(f"diff. is also of other settings: {'; '.join(others)}")
    rules = {(board["conventions"]["name"], board["conventions"]["hd95"]) for board in document["boards"]}
    parts += [f"HD95 by convention '{name}': {hd95}" for name, hd95 in sorted(rules)]
    curves = [entry["curve"] for entry in entries]
    if None in curves:
        parts.append(f"without curve: {curves.count(None)} of {len(curves)} entries, never validated in training")
    for reason, runs in left_out_by_reason(document["left_out"]).items():
        parts.append(f"left out: {runs[0] if len(runs) == 1 else f'{len(runs)} runs'}: {reason}")
    return [*parts, f"written: {', '.join(document['files'])}"]


def _table(board: Document) -> Table:
    """Return the table of a board, so narrow that a terminal of 80 columns has room for the names of the entries."""
    lines = [_line(entry) for entry in board["entries"]]
    has_spread = any(len(entry["seeds"]) > 1 for entry in board["entries"])
    columns = [name for name in lines[0] if has_spread or name not in SPREAD]
    rows = [[line[name] for name in columns] for line in lines]
    return table(columns, rows, title=board["title"], numbers=len(columns) - 1)


def _line(entry: Document) -> dict[str, str]:
    found = entry["difference"] or {"n": 0}
    is_tested = found["n"] > 0
    return {
        "": entry["label"],
        "seeds": str(len(entry["seeds"])),
        "Dice": _percent(entry["dice"]),
        "sd": _percent(entry["dice_sd"]),
        "rarest": _percent(entry["rarest"]["dice"]),
        "worst": _percent(entry["worst"]["dice"]),
        "HD95": f"{entry['hd95']:.1f}" if entry["hd95"] == entry["hd95"] else "-",
        "diff.": f"{100 * found['mean_difference']:+.1f}" if is_tested else "-",
        "p": f"{found['p_value']:.2g}" if is_tested else "-",
    }


def _percent(value: float) -> str:
    return f"{100 * value:.1f}" if value == value else "-"
