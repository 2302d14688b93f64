"""Curves of a training, from its journal; of several trainings, one over the other."""

from collections.abc import Mapping, Sequence

from hga_cli.core.combinations import Combination
from hga_cli.reporting.charts import Line, line_chart
from hga_cli.reporting.facts import Document, RunFacts
from hga_cli.reporting.markup import Markup, element

SHARES = (0.0, 1.0)
"""Ends of the axis of Dice and of rho."""


def training_curves(facts: RunFacts) -> Markup:
    """Return the losses, beta and rho of each modality, and validation of one run."""
    if not facts.epochs:
        return element("p", "No epoch was finished yet, so there are no curves.", class_="notice")
    charts = [line_chart("Loss", [loss_of(facts, "loss")])]
    charts += [line_chart(f"Loss term '{term}'", lines) for term, lines in _terms(facts).items()]
    charts += _preferences(facts)
    charts.append(_validation(facts))
    return element("div", *charts, class_="charts")


def curves_together(runs: Mapping[str, RunFacts]) -> Markup:
    """Return the curves of several runs in the same pictures; ``runs`` is title -> run."""
    charts = [
        line_chart("Loss", [loss_of(facts, title) for title, facts in runs.items()]),
        line_chart(
            "Validation: mean Dice", [validation_of(facts, title) for title, facts in runs.items()], ends=SHARES
        ),
    ]
    modalities = dict.fromkeys(name for facts in runs.values() for line in facts.epochs for name in line.get("rho", {}))
    for key in ("beta", "rho"):
        for name in modalities:
            lines = [_line(_with_preference(facts), title, key, name) for title, facts in runs.items()]
            charts.append(line_chart(f"{key} of {name}", lines, ends=SHARES if key == "rho" else None))
    return element("div", *charts, class_="charts")


def loss_of(facts: RunFacts, title: str) -> Line:
    """Return the loss of each epoch."""
    return _line(facts.epochs, title, "losses", "loss")


def validation_of(facts: RunFacts, title: str) -> Line:
    """Return the mean Dice of each validation."""
    return Line(name=title, points=[(epoch_of(line), line["validation"]["mean"]) for line in facts.validations])


def region_means(validation: Document) -> dict[str, float | None]:
    """Return the mean Dice of each region over the combinations of a validation."""
    rows: Sequence[Document] = list(validation["combinations"].values())
    found = {region: [row[region] for row in rows if row[region] is not None] for region in rows[0]}
    return {region: sum(values) / len(values) if values else None for region, values in found.items()}


def epoch_of(line: Document) -> int:
    """Return how many epochs were finished when a line was written (the journal counts from 0)."""
    return int(line["epoch"]) + 1


def _terms(facts: RunFacts) -> dict[str, list[Line]]:
    """Return loss term -> a line for each of its tasks; a term that weighs nothing is measured, too."""
    names = dict.fromkeys(name for line in facts.epochs for name in line["losses"] if "/" in name)
    tasks: dict[str, list[str]] = {}
    for name in names:
        term, task = name.split("/", 1)
        tasks.setdefault(term, []).append(task)
    order = list(facts.epochs[-1]["beta"])
    return {
        term: [
            _line(facts.epochs, task, "losses", f"{term}/{task}")
            for task in sorted(found, key=lambda one: order.index(one) if one in order else len(order))
        ]
        for term, found in tasks.items()
    }


def _preferences(facts: RunFacts) -> list[Markup]:
    if not _with_preference(facts):
        return [element("p", "Beta and rho: this method does not use them.", class_="quiet")]
    modalities: Combination = tuple(facts.epochs[-1]["beta"])
    titles = {"beta": "beta: weight of each modality", "rho": "rho: share of samples in which it lags"}
    return [
        line_chart(
            title,
            [_line(facts.epochs, name, key, name) for name in modalities],
            ends=SHARES if key == "rho" else None,
        )
        for key, title in titles.items()
    ]


def _validation(facts: RunFacts) -> Markup:
    found = facts.validations
    if not found:
        return element("p", "Validation: this run was not validated.", class_="quiet")
    means = {epoch_of(line): region_means(line["validation"]) for line in found}
    lines = [
        Line(name=region, points=[(epoch, mean[region]) for epoch, mean in means.items()])
        for region in next(iter(means.values()))
    ]
    title = "Validation: mean Dice over combinations"
    return line_chart(title, [*lines, validation_of(facts, "mean")], ends=SHARES)


def _with_preference(facts: RunFacts) -> list[Document]:
    """Return the lines of the journal where rho was measured: methods that do not use it say nothing of it."""
    return [line for line in facts.epochs if line.get("rho")]


def _line(epochs: Sequence[Document], title: str, key: str, name: str) -> Line:
    points = [(epoch_of(line), line[key][name]) for line in epochs if line.get(key, {}).get(name) is not None]
    return Line(name=title, points=points)
