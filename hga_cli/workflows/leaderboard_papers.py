"""A leaderboard for a paper: as CSV and as LaTeX."""

import csv
from collections.abc import Mapping
from io import StringIO
from typing import Any

from hga_cli.reporting.heat_map import is_known
from hga_cli.reporting.leaderboard_texts import other_settings
from hga_cli.reporting.texts import RULES, csv_number, rules_for_csv
from hga_cli.workflows.leaderboard_entry import ALL_REGIONS
from hga_cli.workflows.metrics_latex import SPECIAL, erasing

COLUMNS = ("method", "balancer", "backbone", "imbalance")
Entry = Mapping[str, Any]


def csv_text(document: Mapping[str, Any]) -> str:
    """Return one line for each entry and region, and one for all regions together; Dice as a share, HD95 in mm."""
    text = StringIO()
    lines = csv.writer(text, lineterminator="\n")
    scores = ("dice", "dice_sd", "hd95_mm", "rarest", "rarest_dice", "worst", "worst_dice")
    tests = ("baseline", "cases", "difference", "low", "high", "p_value", "effect_size", "other_settings")
    lines.writerow(["board", "entry", *COLUMNS, "seeds", "region", *scores, *tests, *RULES])
    for board in document["boards"]:
        rules = rules_for_csv(board)
        for entry in board["entries"]:
            start = [board["title"], entry["label"], *(entry[name] for name in COLUMNS)]
            seeds = "+".join(map(str, entry["seeds"]))
            lines.writerow([*start, seeds, ALL_REGIONS, *_scores(entry), *_test(entry, ALL_REGIONS), *rules])
            for region, means in entry["regions"].items():
                known = [csv_number(means["dice"]), "", csv_number(means["hd95"]), "", "", "", ""]
                lines.writerow([*start, seeds, region, *known, *_test(entry, region), *rules])
    return text.getvalue()


def latex_text(document: Mapping[str, Any]) -> str:
    """Return a table for each board (needs the package booktabs); Dice in %, HD95 in mm."""
    return "\n".join(_latex_table(board) for board in document["boards"])


def _latex_table(board: Mapping[str, Any]) -> str:
    rules = board["conventions"]
    caption = (
        f"{board['title']}: Dice in % (standard deviation over seeds), mean over regions and combinations, over those "
        f"with the rarest modality, and of the worst combination; HD95 ({rules['hd95']}). p: Wilcoxon's signed-rank "
        f"test over cases against the baseline, not corrected. {rules['empty']} {erasing(rules)}"
    )
    titles = ["", "seeds", "Dice", "rarest", "worst", "HD95", "difference", "p"]
    return "\n".join(
        [
            r"\begin{table}",
            rf"\caption{{{_escaped(caption)}}}",
            r"\begin{tabular}{lrrrrrrr}",
            r"\toprule",
            _line(titles),
            r"\midrule",
            *(_line(_cells(entry)) for entry in board["entries"]),
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{table}",
            "",
        ]
    )


def _cells(entry: Entry) -> list[str]:
    found = entry["difference"] or {"n": 0}
    spread = f" ({_percent(entry['dice_sd'])})" if is_known(entry["dice_sd"]) else ""
    tested = [f"{100 * found['mean_difference']:+.1f}", f"{found['p_value']:.2g}"] if found["n"] else ["", ""]
    return [
        entry["label"],
        str(len(entry["seeds"])),
        f"{_percent(entry['dice'])}{spread}",
        _percent(entry["rarest"]["dice"]),
        _percent(entry["worst"]["dice"]),
        f"{entry['hd95']:.1f}" if is_known(entry["hd95"]) else "n/a",
        *tested,
    ]


def _scores(entry: Entry) -> list[str]:
    rarest, worst = entry["rarest"], entry["worst"]
    numbers = [csv_number(entry["dice"]), csv_number(entry["dice_sd"]), csv_number(entry["hd95"])]
    least = ["+".join(rarest["modalities"]), csv_number(rarest["dice"])]
    return [*numbers, *least, worst["combination"] or "", csv_number(worst["dice"])]


def _test(entry: Entry, region: str) -> list[str]:
    found = entry["differences"].get(region, {}).get("dice", {"n": 0})
    if not found["n"]:
        return [entry["baseline"] or "", *[""] * 6, other_settings(entry)]
    numbers = [csv_number(found[key]) for key in ("mean_difference", "low", "high", "p_value", "effect_size")]
    return [entry["baseline"], str(found["n"]), *numbers, other_settings(entry)]


def _percent(value: float | None) -> str:
    return f"{100 * value:.1f}" if is_known(value) else "n/a"


def _line(cells: list[str]) -> str:
    return " & ".join(map(_escaped, cells)) + r" \\"


def _escaped(text: str) -> str:
    return "".join(SPECIAL.get(sign, sign) for sign in text)
