"""How ``hga evaluate`` shows scores and comparisons. Documents in, tables and lines out."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import RenderableType
from rich.table import Table

from hga_cli.core.combinations import dots

Document = dict[str, Any]
SCALE = {"dice": 100, "hd95": 1}
"""Dice is shown in %, HD95 in mm."""
COMMON = {"dice", "hd95", "n", "n_with_structure", "dice_with_structure", "misses", "false_alarms", "reliability"}
"""What the document always says of a region under a combination, or what no table can show."""


def metrics_parts(document: Document, paths: Sequence[Path]) -> list[RenderableType]:
    """Show the scores of every combination, how sure they are, and by which rules they were made."""
    rules = document["conventions"]
    minima = [
        f"{region} (predictions under {least} voxels count as none)"
        for region, least in rules["regions"].items()
        if least
    ]
    head = f"dots: {' '.join(document['modalities'])}; " if document["modalities"] else ""
    extras = _extras_table(document)
    return [
        f"{head}Dice in %, HD95 ({rules['hd95']}) below 'mm'; n: cases scored",
        _table(document),
        *([extras] if extras else []),
        f"Convention '{rules['name']}': {rules['empty']}",
        f"post-processed: {', '.join(minima) or 'none'}; sd: over cases; 95 %: {rules['interval']['method']}",
        "missed: of structures that exist, false alarms: of those that do not, over all combinations",
        f"written: {paths[0]} and {', '.join(path.name for path in paths[1:])}",
    ]


def comparison_parts(document: Document, path: Path) -> list[RenderableType]:
    """Show the differences of two runs, region by region."""
    made = _empty_table(["", "n", document["first"], document["second"], "difference", "95 %", "p", "effect"])
    for region, row in document["regions"].items():
        for score, found in row.items():
            title = f"{region} {'Dice %' if score == 'dice' else 'HD95 mm'}"
            made.add_row(title, str(found["n"]), *(_difference(found, SCALE[score]) if found["n"] else []))
    rules = document["conventions"]
    left_out = sorted({*document["only_first"], *document["only_second"]})
    part = f" of '{document['split']}'" if document["split"] else ""
    means = ", each case with its mean over combinations" if document["combinations"] != [None] else ""
    return [
        f"{len(document['cases'])} cases, {len(document['combinations'])} combinations{part}{means}; "
        f"difference: {document['first']} - {document['second']}",
        made,
        "p: Wilcoxon's signed-rank test over cases, not corrected for their number; effect: rank-biserial, -1 to 1",
        f"Convention '{rules['name']}': {rules['empty']} HD95: {rules['hd95']}",
        *([f"not in both for some combination, so left out there: {', '.join(left_out)}"] if left_out else []),
        f"written: {path}",
    ]


def _table(document: Document) -> Table:
    """Return the result as a picture of filled and empty dots with Dice (%) and HD95 (mm)."""
    regions, modalities = list(document["mean"]), document["modalities"]
    made = _empty_table(["combination", *regions, *(f"{region}\nmm" for region in regions), "n"])
    for name, row in document["combinations"].items():
        picture = f"{dots(tuple(name.split('+')), modalities)} " if modalities else ""
        made.add_row(f"{picture}{name}", *_cells(row, regions), str(row[regions[0]]["n"]))
    made.add_section()
    made.add_row("mean", *_cells(document["mean"], regions), "", style="bold")
    if len(document["combinations"]) > 1:
        lowest = {region: _worst(document, region) for region in regions}
        made.add_row("worst", *_cells(lowest, regions), "")
    for title, key in (("sd", "sd"), ("95 % from", "low"), ("to", "high")):
        of_regions = {
            region: {score: values[key] for score, values in row.items()} for region, row in document["overall"].items()
        }
        made.add_row(title, *_cells(of_regions, regions), "")
    made.add_section()
    for title, cells in _structures(document, regions).items():
        made.add_row(title, *cells, *("" for _ in regions), "")
    return made


def _structures(document: Document, regions: list[str]) -> dict[str, list[str]]:
    """Return what stands beside means that count empty cases, for each region."""
    rows = [document["structures"][region] for region in regions]
    return {
        "where present": [_number(100 * row["dice"]) for row in rows],
        "missed": [f"{row['misses']}/{row['present']}" for row in rows],
        "false alarms": [f"{row['false_alarms']}/{row['absent']}" for row in rows],
    }


def _worst(document: Document, region: str) -> dict[str, float]:
    """Return the scores of the combination with the lowest Dice of a region."""
    name = document["worst"][region]
    row: dict[str, float] = document["combinations"][name][region] if name else dict.fromkeys(SCALE, float("nan"))
    return row


def _extras_table(document: Document) -> Table | None:
    """Return the further scores of each region, as means over combinations; None where none was asked for."""
    rows = list(document["combinations"].values())
    regions = list(document["mean"])
    fullest = max((row[region] for row in rows for region in regions), key=len)
    names = [name for name in fullest if name not in COMMON and not name.endswith(("_sd", "_interval"))]
    if not names:
        return None
    made = _empty_table(["mean over combinations", *regions])
    for name in names:
        values = [[row[region][name] for row in rows if row[region]["n"]] for region in regions]
        made.add_row(name, *(f"{sum(one) / len(one):.3g}" if one else "-" for one in values))
    return made


def _difference(found: Document, scale: int) -> list[str]:
    means = [_number(found[key] * scale) for key in ("first", "second", "mean_difference")]
    ends = f"{_number(found['low'] * scale)} to {_number(found['high'] * scale)}"
    return [*means, ends, f"{found['p_value']:.2g}", f"{found['effect_size']:+.2f}"]


def _empty_table(titles: Sequence[str]) -> Table:
    made = Table(box=SIMPLE_HEAD, header_style="bold", pad_edge=False, padding=(0, 1, 0, 0))
    for place, title in enumerate(titles):
        made.add_column(title, justify="right" if place else "left", no_wrap=True)
    return made


def _cells(row: Document, regions: list[str]) -> list[str]:
    return [_number(row[region][score] * scale) for score, scale in SCALE.items() for region in regions]


def _number(value: float) -> str:
    return f"{value:.1f}" if value == value else "-"
