"""How ``hga report --leaderboard`` shows ranks. Documents in, tables and lines out."""

from collections.abc import Mapping
from typing import Any

from rich.console import RenderableType

from hga_cli.cli.output import table

COLUMNS = ("", "seeds", "Dice %", "sd", "rarest", "worst", "HD95", "diff.", "p")
Document = Mapping[str, Any]


def leaderboard_parts(document: Document) -> list[RenderableType]:
    """Show a table for each board, and what was left out of them."""
    parts: list[RenderableType] = [
        table(COLUMNS, [_line(entry) for entry in board["entries"]], title=board["title"], numbers=len(COLUMNS) - 1)
        for board in document["boards"]
    ]
    if len(document["boards"]) > 1:
        parts.append(f"{len(document['boards'])} tables: other data, splits or rules cannot be compared")
    parts.append("mean over regions and combinations, over those with the rarest modality, of the worst combination")
    parts.append(
        "diff., p: Dice minus that of joint, equal; Wilcoxon's test over cases, paired by case and combination"
    )
    parts += [f"left out: {one['run']}: {one['reason']}" for one in document["left_out"]]
    return [*parts, f"written: {', '.join(document['files'])}"]


def _line(entry: Document) -> list[str]:
    found = entry["difference"] or {"n": 0}
    tested = [f"{100 * found['mean_difference']:+.1f}", f"{found['p_value']:.2g}"] if found["n"] else ["-", "-"]
    rarest, worst = entry["rarest"], entry["worst"]
    return [
        entry["label"],
        str(len(entry["seeds"])),
        _percent(entry["dice"]),
        _percent(entry["dice_sd"]),
        f"{_percent(rarest['dice'])} {'+'.join(rarest['modalities'])}",
        f"{_percent(worst['dice'])} {worst['combination'] or ''}",
        f"{entry['hd95']:.1f}" if entry["hd95"] == entry["hd95"] else "-",
        *tested,
    ]


def _percent(value: float) -> str:
    return f"{100 * value:.1f}" if value == value else "-"
