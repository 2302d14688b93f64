"""The page of one run."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from hga_cli.core.errors import HgaError
from hga_cli.reporting.curves import epoch_of, training_curves
from hga_cli.reporting.examples import Example
from hga_cli.reporting.facts import RunFacts
from hga_cli.reporting.markup import Markup, element
from hga_cli.reporting.page import facts_list, notice, page
from hga_cli.reporting.presence import Presence
from hga_cli.reporting.scores import modalities_of, percent, score_tables, validation_map, what_to_expect
from hga_cli.reporting.tables import plain_table
from hga_cli.reporting.texts import copy_box, folded
from hga_cli.reporting.viewer import viewer


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """All that is shown of a run. What could not be had is the error that says why."""

    facts: RunFacts
    presence: Presence | HgaError
    examples: Sequence[Example] | HgaError
    papers: Mapping[str, str] = field(default_factory=dict)
    """Name of a file -> its text: the table of scores for a paper."""


def run_page(material: Material) -> str:
    """Return the page of a run."""
    facts = material.facts
    return page(
        f"{facts.name} - hga report",
        _head(facts),
        {
            "Scores": _scores(facts),
            "What to expect": what_to_expect(facts),
            "Cases": _cases(material.examples),
            "Training": training_curves(facts),
            "Training data": _presence(material.presence),
            "Table for a paper": _papers(material.papers),
            "Settings and versions": _settings(facts),
        },
    )


def missing(error: HgaError) -> Markup:
    """Return why something is not shown, and what repairs it."""
    hint = f" What helps: {error.hint}." if error.hint else ""
    return notice(f"Not shown: {error.message}.{hint}")


def progress_of(facts: RunFacts) -> str:
    """Return how far a training came."""
    done = epoch_of(facts.epochs[-1]) if facts.epochs else 0
    return f"{done} of {facts.wanted_epochs} epochs"


def outdated_notice(facts: RunFacts) -> list[Markup]:
    """Return what is to be said of scores of another model than the run has now; nothing where they are of this one."""
    text = f"The scores of run {facts.name} are of another model than it has now. What helps: hga evaluate {facts.name}"
    return [notice(text)] if facts.is_outdated else []


def _head(facts: RunFacts) -> Markup:
    config = facts.config
    pairs = {
        "method": config["method"]["name"],
        "backbone": config["network"]["backbone"],
        "trained": progress_of(facts),
        "split": config["data"]["split"],
        "imbalance table": config["data"]["imbalance"],
    }
    if facts.metrics is not None:
        scores = facts.metrics["mean"].items()
        pairs |= {f"mean Dice {region}": f"{percent(one['dice'])} %" for region, one in scores}
    parts = [element("h1", f"Run {facts.name}"), facts_list(pairs), *outdated_notice(facts)]
    if not facts.is_finished:
        how = f"hga train --resume --run {facts.name}"
        parts.append(notice(f"This training is not finished: {progress_of(facts)}. It goes on with: {how}"))
    return element("div", *parts)


def _scores(facts: RunFacts) -> Markup:
    if facts.metrics is not None:
        return score_tables(facts.metrics)
    parts = [notice(f"This run was not evaluated. What helps: hga evaluate {facts.name}")]
    if facts.validations:
        parts.append(validation_map(facts.validations[-1]["validation"], modalities_of(facts)))
    return element("div", *parts)


def _cases(examples: Sequence[Example] | HgaError) -> Markup:
    if isinstance(examples, HgaError):
        return missing(examples)
    lead = "By the mean Dice over regions. Lines follow the edges of voxels; each slice is seen from the feet."
    figures = [viewer(example, number) for number, example in enumerate(examples, start=1)]
    return element("div", element("p", lead, class_="quiet"), element("div", *figures, class_="viewers"))


def _presence(presence: Presence | HgaError) -> Markup:
    return missing(presence) if isinstance(presence, HgaError) else presence.shown()


def _papers(papers: Mapping[str, str]) -> Markup:
    if not papers:
        return notice("There is no table before an evaluation.")
    titles = {".tex": "LaTeX (needs booktabs)", ".csv": "CSV"}
    boxes = [copy_box(title, papers[name], name) for name in papers for end, title in titles.items() if end in name]
    return element("div", *boxes)


def _settings(facts: RunFacts) -> Markup:
    about = facts.about
    origin = (facts.metrics or {}).get("origin", {})
    rows = [[f"trained with {name}", str(version)] for name, version in about.get("versions", {}).items()]
    rows += [[f"evaluated with {name}", str(version)] for name, version in origin.get("versions", {}).items()]
    rows += [
        ["trained on", str(about.get("device", "unknown"))],
        ["last changed", str(about.get("changed", "unknown"))],
        ["store", str(about.get("store", "unknown"))],
        ["seed", str(facts.config["seed"])],
        ["hash of the split", str(about.get("sources", {}).get("split", "unknown"))],
        ["hash of the model that was scored", str(origin.get("model", {}).get("digest", "not evaluated"))],
    ]
    return element(
        "div",
        plain_table("Where it comes from", ["what", "value"], rows, "pairs"),
        folded("config.toml", facts.config_text),
    )
