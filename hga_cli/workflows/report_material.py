"""What the page of a run shows, gathered from its folder, its store and its model."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from hga_cli.core.combinations import parse_combination
from hga_cli.core.errors import ConfigError, DataError, HgaError
from hga_cli.core.progress import Progress, stage
from hga_cli.core.run_folder import RunFolder
from hga_cli.data.store import Store
from hga_cli.engine.inference import TrainedModel
from hga_cli.engine.model_file import model_digest, read_model
from hga_cli.reporting.examples import Choice, Example, choose, draw
from hga_cli.reporting.facts import Document, RunFacts
from hga_cli.reporting.presence import Presence
from hga_cli.reporting.run_page import Material
from hga_cli.reporting.texts import csv_of
from hga_cli.workflows.compare import read_metrics
from hga_cli.workflows.leakage import split_digest
from hga_cli.workflows.metrics_latex import as_latex
from hga_cli.workflows.models import checkpoint_of, load_from
from hga_cli.workflows.stores import store_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """What is asked of the pages of runs."""

    device: torch.device
    data_dir: Path = Path("data")
    dataset: str | None = None
    """Store with the test cases; None: the one of the run."""
    combination: str | None = None
    """What the shown cases are predicted from; None: all that they have."""


def facts_of(run: RunFolder) -> RunFacts:
    """Return what the files of a run say.

    Raises:
        DataError: one is damaged, there is no ``config.toml``, or the scores are not those of a model.
    """
    path = run.path / "metrics.json"
    metrics = read_metrics(run.path) if path.exists() else None
    if metrics is not None and "model" not in metrics.get("origin", {}):
        message = f"'{path}' does not say which model was scored: it is of folders of masks, or of an older hga"
        raise DataError(message, hint=f"evaluate the run: hga evaluate {run.name}")
    return RunFacts.of(run, metrics, is_outdated=metrics is not None and _is_outdated(run, metrics["origin"]))


def _is_outdated(run: RunFolder, origin: Document) -> bool:
    """Tell whether a run has another model now than the one that was scored; one that cannot be read is none."""
    try:
        model = model_digest(*read_model(checkpoint_of(run, origin["settings"]["checkpoint"])))
    except ConfigError:
        return False
    return bool(model != origin["model"]["digest"])


def material_of(facts: RunFacts, run: RunFolder, wishes: Wishes, progress: Progress) -> Material:
    """Return all that is shown of a run, or the errors that say why something cannot be.

    Raises:
        UsageError: no case was scored with the combination that is wanted, or a modality of it is unknown.
    """
    choices = _choices(facts, wishes)
    try:
        store: Store | HgaError = store_of(wishes.dataset, wishes.data_dir, run)
    except DataError as error:
        store = error
    return Material(
        facts=facts,
        presence=_presence(facts, store),
        examples=_examples(choices, facts.metrics or {}, run, store, wishes, progress),
        papers=_papers(facts),
    )


def _choices(facts: RunFacts, wishes: Wishes) -> list[Choice] | HgaError:
    if facts.metrics is None:
        message = f"run '{facts.name}' was not evaluated, so nobody knows its best and worst case"
        return DataError(message, hint=f"hga evaluate {facts.name}")
    if facts.is_outdated:
        message = f"run '{facts.name}' has another model now than the one that was evaluated"
        return DataError(message, hint=f"hga evaluate {facts.name}")
    text = wishes.combination
    return choose(facts.metrics, None if text is None else parse_combination(text, facts.metrics["modalities"]))


def _presence(facts: RunFacts, store: Store | HgaError) -> Presence | HgaError:
    if isinstance(store, HgaError):
        return store
    try:
        return Presence.of(facts, store)
    except DataError as error:
        return error


def _examples(
    choices: Sequence[Choice] | HgaError,
    metrics: Document,
    run: RunFolder,
    store: Store | HgaError,
    wishes: Wishes,
    progress: Progress,
) -> list[Example] | HgaError:
    """Predict the cases that are shown, as they were predicted for their scores."""
    if isinstance(choices, HgaError):
        return choices
    if isinstance(store, HgaError):
        return store
    settings = metrics["origin"]["settings"]
    examples = []
    try:
        model = load_from(run, settings["checkpoint"], wishes.device)
        _require_same_split(metrics["origin"], model, store)
        with stage(progress, f"predict for the page of {run.name}", len(choices)):
            for choice in choices:
                examples.append(draw(model, store, choice, overlap=settings["overlap"]))
                progress.advance(choice.case)
    except HgaError as error:
        return error
    return examples


def _require_same_split(origin: Document, model: TrainedModel, store: Store) -> None:
    """Refuse pictures that would not be those of the scores.

    Raises:
        DataError: the store has another split than the evaluation.
    """
    name = origin["split"]["name"]
    if split_digest(store.split(name)) != origin["split"]["digest"]:
        message = f"store '{store.path}' has another split '{name}' now than the one that was evaluated"
        raise DataError(message, hint=f"hga evaluate {model.name}")


def _papers(facts: RunFacts) -> Mapping[str, str]:
    """Return the table of scores for a paper: name of a file -> text."""
    if facts.metrics is None:
        return {}
    known = {key: _numbers(facts.metrics[key]) for key in ("combinations", "mean", "overall")}
    return {
        "scores.tex": as_latex({**facts.metrics, **known}),
        "scores.csv": csv_of({facts.name: facts.metrics}),
    }


def _numbers(tree: Any) -> Any:
    """Return values as they were before JSON, which has null for NaN."""
    if isinstance(tree, dict):
        return {key: _numbers(value) for key, value in tree.items()}
    if isinstance(tree, list):
        return [_numbers(value) for value in tree]
    return float("nan") if tree is None else tree
