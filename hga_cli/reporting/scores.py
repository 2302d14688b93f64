"""The scores of an evaluation as coloured tables."""

from collections.abc import Mapping, Sequence

from hga_cli.engine.expectation import Addition, Expectation
from hga_cli.reporting.facts import Document, RunFacts
from hga_cli.reporting.heat_map import DICE, Shade, cell, distance_shade, heat_map, is_known
from hga_cli.reporting.markup import Markup, element
from hga_cli.reporting.tables import plain_table


def score_tables(metrics: Document) -> Markup:
    """Return Dice and HD95 of each combination and region, and how sure the means are."""
    rows, mean = metrics["combinations"], metrics["mean"]
    distances = [one["hd95"] for row in rows.values() for one in row.values()]
    maps = [
        _map(metrics, "Dice in %", "dice", DICE),
        *([_map(metrics, "HD95 in mm", "hd95", distance_shade(distances))] if any(map(is_known, distances)) else []),
    ]
    spread = [_spread(region, metrics["overall"][region]) for region in mean]
    columns = ["region", "Dice %", "sd over cases", "95 % interval", "worst combination", "its Dice %"]
    worst = [_worst(metrics, region) for region in mean]
    return element(
        "div",
        element("div", *maps, class_="side-by-side"),
        plain_table("Mean over combinations", columns, [[*one, *low] for one, low in zip(spread, worst, strict=True)]),
        element("p", rules_of(metrics), class_="quiet"),
        element(
            "p",
            f"Interval: {metrics['conventions']['interval']['method']}. Scored on '{metrics['split']}'.",
            class_="quiet",
        ),
    )


def rules_of(metrics: Document) -> str:
    """Return what empty structures score, and which HD95 it is."""
    rules = metrics["conventions"]
    return f"Convention '{rules['name']}': {rules['empty']} HD95: {rules['hd95']}."


def validation_map(validation: Document, modalities: Sequence[str]) -> Markup:
    """Return the Dice of a validation, for a run that was not evaluated."""
    rows = validation["combinations"]
    cells = {name: [cell(value, DICE) for value in row.values()] for name, row in rows.items()}
    regions = list(next(iter(rows.values())))
    return heat_map("Dice in % in the latest validation", regions, cells, modalities, {})


def what_to_expect(facts: RunFacts) -> Markup:
    """Return for each combination the Dice that was measured, and which further modality would help most."""
    found = expectation_of(facts)
    if found is None:
        return element("p", "How good this model is was never measured: it was not validated and not evaluated.")
    regions = list(dict.fromkeys(region for row in found.dice.values() for region in row))
    rows = []
    for name in found.dice:
        combination = tuple(name.split("+"))
        dice = found.of(combination)
        if dice:
            told = [percent(dice.get(region)) for region in regions]
            rows.append([name, *told, found.source(name), _addition(found.best_addition(combination))])
    lead = f"A new patient with these modalities can expect about this Dice (mean in {found.measured_on})."
    columns = ["combination", *regions, "measured in", "what would help most"]
    return element("div", element("p", lead), plain_table("Dice in %", columns, rows))


def expectation_of(facts: RunFacts) -> Expectation | None:
    """Return what was measured of each combination: in the evaluation, else in the latest validation; None: never.

    An evaluation of another model says nothing.
    """
    latest = facts.validations[-1]["validation"] if facts.validations else None
    validated = Expectation.from_contest({"latest": latest})
    evaluated = None if facts.metrics is None or facts.is_outdated else Expectation.from_metrics(facts.metrics)
    return evaluated.over(validated) if evaluated else validated


def modalities_of(facts: RunFacts) -> tuple[str, ...]:
    """Return the modalities of the data set, in its order, as far as scores or the journal tell of them."""
    if facts.metrics is not None:
        return tuple(facts.metrics["modalities"])
    return tuple(facts.epochs[-1]["beta"]) if facts.epochs else ()


def _map(metrics: Document, caption: str, score: str, shade: Shade) -> Markup:
    rows: Mapping[str, Document] = metrics["combinations"]
    cells = {name: [cell(one[score], shade, _told(one)) for one in row.values()] for name, row in rows.items()}
    mean = [cell(one[score], shade) for one in metrics["mean"].values()]
    counts = {name: element("td", str(next(iter(row.values()))["n"])) for name, row in rows.items()}
    return heat_map(
        caption,
        [*metrics["mean"], "cases"],
        {name: [*row, counts[name]] for name, row in cells.items()},
        metrics["modalities"],
        {"mean": [*mean, element("td")]},
    )


def _told(one: Document) -> str:
    return f"{one['n']} cases, {one['misses']} missed, {one['false_alarms']} false alarms"


def _spread(region: str, overall: Document) -> list[str]:
    dice = overall["dice"]
    return [region, percent(dice["mean"]), percent(dice["sd"]), f"{percent(dice['low'])} to {percent(dice['high'])}"]


def _worst(metrics: Document, region: str) -> list[str]:
    name = metrics["worst"][region]
    return [name, percent(metrics["combinations"][name][region]["dice"])] if name else ["-", "-"]


def percent(value: float | None) -> str:
    """Return a share in %, or a dash where there is none."""
    return f"{100 * value:.1f}" if is_known(value) else "-"


def _addition(addition: Addition | None) -> str:
    if addition is None:
        return "-"
    ends = f"{100 * addition.before:.0f} to {100 * addition.after:.0f}"
    return f"{addition.modality}: {addition.region} {ends} (n={addition.n}, the same cases)"
