"""The page that ranks runs."""

from collections.abc import Mapping, Sequence

from hga_cli.reporting.facts import Document
from hga_cli.reporting.heat_map import DICE, cell, heat_map, is_known
from hga_cli.reporting.leaderboard_charts import board_charts
from hga_cli.reporting.leaderboard_texts import left_out_by_reason, other_settings
from hga_cli.reporting.markup import Markup, element
from hga_cli.reporting.page import facts_list, page
from hga_cli.reporting.scores import percent, rules_of
from hga_cli.reporting.tables import plain_table, table
from hga_cli.reporting.texts import copy_box

FOOT = (
    "Runs that differ in their seed only are one line; sd: over seeds. Dice: mean over regions of the means over "
    "combinations; rarest: over the combinations with the modality that most training cases lack; worst: the "
    "combination with the lowest mean. Difference: Dice minus that of joint with the equal sum of losses, on the "
    "same backbone on the same training data; other settings, beyond method and balancer, may be why. Pairs are "
    "cases under the same combination; each case counts with its mean over combinations and seeds. 95 %: bootstrap "
    "over subjects. p: Wilcoxon's signed-rank test over cases, not corrected for the number of tests; effect: "
    "rank-biserial correlation, -1 to 1."
)


def leaderboard_page(document: Document, papers: Mapping[str, str]) -> str:
    """Return the page.

    Args:
        document: of ``workflows.leaderboard``.
        papers: name of a file -> its text.
    """
    boards = document["boards"]
    runs = sum(len(entry["runs"]) for board in boards for entry in board["entries"])
    head = [element("h1", f"Leaderboard of {runs} runs")]
    if len(boards) > 1:
        lead = f"{len(boards)} tables: runs on other data, another split or by other rules cannot be compared."
        head.append(element("p", lead))
    return page(
        "Leaderboard - hga report",
        element("div", *head),
        {
            **{board["title"]: _board(board) for board in boards},
            "Left out": _left_out(document["left_out"]),
            "Table for a paper": element("div", *(copy_box(_kind(name), text, name) for name, text in papers.items())),
        },
    )


def _board(board: Document) -> Markup:
    about = {"data set": board["dataset"], "split": board["split"], "test cases": str(board["cases"])}
    return element(
        "div",
        facts_list({**about, "convention": board["conventions"]["name"]}),
        _ranks(board["entries"]),
        _differences(board["entries"]),
        element(
            "div",
            _by_region(board["regions"], board["entries"]),
            _by_combination(board["modalities"], board["entries"]),
            class_="side-by-side",
        ),
        board_charts(board),
        element("p", FOOT, class_="quiet"),
        element("p", rules_of(board), class_="quiet"),
    )


def _ranks(entries: Sequence[Document]) -> Markup:
    columns = ["", "seeds", "Dice %", "sd", "rarest", "Dice %", "worst", "Dice %", "HD95 mm"]
    return table("Mean over regions and combinations", columns, [_rank(entry) for entry in entries], class_="heat")


def _rank(entry: Document) -> Markup:
    rarest, worst = entry["rarest"], entry["worst"]
    return element(
        "tr",
        element("th", entry["label"], scope="row", title=", ".join(entry["runs"])),
        element("td", ", ".join(map(str, entry["seeds"]))),
        cell(entry["dice"], DICE),
        element("td", percent(entry["dice_sd"])),
        element("td", ", ".join(rarest["modalities"]) or "-"),
        cell(rarest["dice"], DICE),
        element("td", worst["combination"] or "-"),
        cell(worst["dice"], DICE),
        element("td", f"{entry['hd95']:.1f}" if is_known(entry["hd95"]) else "-"),
    )


def _differences(entries: Sequence[Document]) -> Markup:
    compared = [entry for entry in entries if entry["difference"]]
    rows = [
        [entry["label"], entry["baseline"], *_difference(entry["difference"]), other_settings(entry) or "-"]
        for entry in compared
    ]
    of_regions = [
        [f"{entry['label']}, {region}", entry["baseline"], *_difference(found["dice"])]
        for entry in compared
        for region, found in entry["differences"].items()
    ]
    alone = [entry["label"] for entry in entries if entry["baseline"] is None and not entry["is_baseline"]]
    columns = ["", "baseline", *TESTED]
    with_settings = [*columns, "other settings"]
    parts = [plain_table("Paired differences of the mean over regions", with_settings, rows)] if rows else []
    if rows:
        told = element("summary", "Paired differences of each region")
        parts.append(element("details", told, plain_table("Of each region", columns, of_regions)))
    if alone:
        why = "No run of joint and equal with this backbone and these training data, so not compared: "
        parts.append(element("p", f"{why}{', '.join(alone)}."))
    return element("div", *parts)


TESTED = ("cases", "Dice %", "95 %", "p", "effect")


def _difference(found: Document) -> list[str]:
    if not found["n"]:
        return ["0", *["-"] * (len(TESTED) - 1)]
    ends = [f"{100 * found[key]:+.1f}" if is_known(found[key]) else "-" for key in ("low", "high")]
    sure = [" to ".join(ends), f"{found['p_value']:.2g}", f"{found['effect_size']:+.2f}"]
    return [str(found["n"]), f"{100 * found['mean_difference']:+.1f}", *sure]


def _by_region(regions: Sequence[str], entries: Sequence[Document]) -> Markup:
    lines = [
        element(
            "tr",
            element("th", entry["label"], scope="row"),
            *(cell(entry["regions"][region]["dice"], DICE) for region in regions),
        )
        for entry in entries
    ]
    return table("Dice in % by region", ["", *regions], lines, class_="heat")


def _by_combination(modalities: Sequence[str], entries: Sequence[Document]) -> Markup:
    names = entries[0]["combinations"]
    rows = {name: [cell(entry["combinations"][name], DICE) for entry in entries] for name in names}
    return heat_map("Dice in % by combination", [entry["label"] for entry in entries], rows, modalities, {})


def _left_out(left_out: Sequence[Document]) -> Markup:
    if not left_out:
        return element("p", "Nothing: all runs of the folder are ranked.")
    rows = [[reason, str(len(runs)), ", ".join(runs)] for reason, runs in left_out_by_reason(left_out).items()]
    return plain_table("And why", ["reason", "runs", ""], rows, "pairs")


def _kind(name: str) -> str:
    return "LaTeX (needs booktabs)" if name.endswith(".tex") else "CSV"
