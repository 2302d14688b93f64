"""The page that puts several runs side by side."""

from collections.abc import Mapping

from hga_cli.core.errors import HgaError
from hga_cli.reporting.curves import curves_together
from hga_cli.reporting.facts import Document, RunFacts, flat_settings
from hga_cli.reporting.heat_map import DICE, Shade, cell, distance_shade, heat_map, is_known
from hga_cli.reporting.markup import Markup, element
from hga_cli.reporting.page import notice, page
from hga_cli.reporting.run_page import missing, outdated_notice, progress_of
from hga_cli.reporting.scores import percent, rules_of
from hga_cli.reporting.tables import plain_table
from hga_cli.reporting.texts import copy_box

SCORES = {"dice": ("Dice %", 100), "hd95": ("HD95 mm", 1)}
"""Score -> its title, and what it is multiplied by."""


def comparison_page(
    runs: Mapping[str, RunFacts], differences: Mapping[str, Document | HgaError], papers: Mapping[str, str]
) -> str:
    """Return the page of several runs.

    Args:
        runs: title -> run; the first is what the others are compared with.
        differences: title of each other run -> document of ``compare`` (it - the first), or why there is none.
        papers: name of a file -> its text.
    """
    first = next(iter(runs))
    parts = [_differences(title, first, found) for title, found in differences.items()]
    return page(
        f"{', '.join(runs)} - hga report",
        element(
            "div",
            element("h1", f"Comparison of {len(runs)} runs"),
            _overview(runs),
            *(said for facts in runs.values() for said in outdated_notice(facts)),
        ),
        {
            "Scores side by side": _side_by_side({title: facts for title, facts in runs.items() if facts.metrics}),
            "Paired differences": element("div", *parts, element("p", FOOT, class_="quiet")),
            "Training": curves_together(runs),
            "Settings that differ": _settings(runs),
            "Table for a paper": element("div", *(copy_box("CSV", text, name) for name, text in papers.items())),
        },
    )


FOOT = (
    "Each case counts with its mean over the combinations that both runs were scored with. p: Wilcoxon's signed-rank "
    "test over cases, not corrected for the number of tests; effect: rank-biserial correlation, -1 to 1; 95 %: "
    "bootstrap over subjects."
)


def _overview(runs: Mapping[str, RunFacts]) -> Markup:
    rows = []
    for title, facts in runs.items():
        means = facts.metrics["mean"].items() if facts.metrics else ()
        dice = ", ".join(f"{region} {percent(one['dice'])}" for region, one in means) or "not evaluated"
        state = "" if facts.is_finished else ", not finished"
        config = facts.config
        names = [config["method"]["name"], config["network"]["backbone"], config["data"]["imbalance"]]
        rows.append([title, *names, f"{progress_of(facts)}{state}", dice])
    columns = ["run", "method", "backbone", "imbalance table", "trained", "mean Dice in %"]
    return plain_table("Runs", columns, rows)


def _side_by_side(runs: Mapping[str, RunFacts]) -> Markup:
    """Return a table for each score and region: a row for each combination, a column for each run."""
    if not runs:
        return notice("None of these runs was evaluated. What helps: hga evaluate RUN")
    documents = {title: facts.metrics or {} for title, facts in runs.items()}
    regions = dict.fromkeys(region for one in documents.values() for region in one["mean"])
    maps = [_map(documents, region, "dice") for region in regions]
    maps += [_map(documents, region, "hd95") for region in regions]
    return element("div", element("div", *maps, class_="side-by-side"), *_rules(documents))


def _rules(documents: Mapping[str, Document]) -> list[Markup]:
    """Return by which rules runs were scored, once for each of them."""
    titles: dict[str, list[str]] = {}
    for title, one in documents.items():
        titles.setdefault(rules_of(one), []).append(title)
    return [element("p", f"{', '.join(named)}: {rules}", class_="quiet") for rules, named in titles.items()]


def _map(documents: Mapping[str, Document], region: str, score: str) -> Markup:
    names = dict.fromkeys(name for one in documents.values() for name in one["combinations"])
    rows = {
        name: [one["combinations"].get(name, {}).get(region, {}).get(score) for one in documents.values()]
        for name in names
    }
    shade: Shade = DICE if score == "dice" else distance_shade([value for row in rows.values() for value in row])
    means = [one["mean"].get(region, {}).get(score) for one in documents.values()]
    return heat_map(
        f"{region}: {SCORES[score][0]}",
        list(documents),
        {name: [cell(value, shade) for value in row] for name, row in rows.items()},
        next(iter(documents.values()))["modalities"],
        {"mean": [cell(value, shade) for value in means]},
    )


def _differences(title: str, first: str, found: Document | HgaError) -> Markup:
    caption = f"{title} - {first}"
    if isinstance(found, HgaError):
        return element("div", element("h3", caption), missing(found))
    rows = [
        [f"{region} {SCORES[score][0]}", str(one["n"]), *_difference(one, SCORES[score][1])]
        for region, row in found["regions"].items()
        for score, one in row.items()
    ]
    columns = ["", "cases", title, first, "difference", "95 %", "p", "effect"]
    left_out = sorted({*found["only_first"], *found["only_second"]})
    lack = element("p", f"Not in both, so left out: {', '.join(left_out)}.") if left_out else Markup()
    return element("div", plain_table(caption, columns, rows), lack)


def _difference(one: Document, factor: float) -> list[str]:
    if not one["n"]:
        return ["-"] * 6
    means = [f"{factor * one[key]:.1f}" for key in ("first", "second")]
    ends = [f"{factor * one[key]:+.1f}" if is_known(one[key]) else "-" for key in ("low", "high")]
    difference = f"{factor * one['mean_difference']:+.1f}"
    return [*means, difference, " to ".join(ends), f"{one['p_value']:.2g}", f"{one['effect_size']:+.2f}"]


def _settings(runs: Mapping[str, RunFacts]) -> Markup:
    """Return the settings in which the runs differ."""
    flat = [flat_settings(facts.config) for facts in runs.values()]
    keys = dict.fromkeys(key for one in flat for key in one)
    rows = [
        [key, *(str(one.get(key, "-")) for one in flat)] for key in keys if len({str(one.get(key)) for one in flat}) > 1
    ]
    if not rows:
        return element("p", "All settings are the same.")
    return plain_table("All others are the same", ["setting", *runs], rows)
