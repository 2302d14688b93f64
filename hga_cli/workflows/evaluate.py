"""How well a model does with every combination of modalities."""

import platform
import re
from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas

from hga_cli import __version__
from hga_cli.core.atomic import replacing, write_json, write_text
from hga_cli.core.combinations import Combination
from hga_cli.core.config import differences
from hga_cli.core.errors import DataError, UsageError, suggestion
from hga_cli.core.processes import usable_cores
from hga_cli.core.progress import Progress, Silent, stage
from hga_cli.core.run_folder import RunFolder
from hga_cli.core.settings import Evaluation
from hga_cli.data.splits import PARTS
from hga_cli.data.store import Store
from hga_cli.engine.inference import TrainedModel
from hga_cli.engine.ranks import Ranks
from hga_cli.engine.scoring import Row, Scoring, score_cases
from hga_cli.metrics.conventions import Convention
from hga_cli.workflows.kept_scores import KeptScores
from hga_cli.workflows.leakage import split_digest
from hga_cli.workflows.metrics_document import Examined, metrics_document
from hga_cli.workflows.metrics_latex import as_latex, is_ours

SAME_NUMBERS = ("workers", "latex", "unpaired")
"""Settings that change no number of an evaluation of a model."""
UNITS = {"hd95": "hd95_mm", "raw_hd95": "raw_hd95_mm"}
"""Columns of ``metrics.csv`` that say their unit."""


def evaluate(
    model: TrainedModel,
    store: Store,
    cases: Sequence[str],
    combinations: Sequence[Combination],
    convention: Convention,
    *,
    settings: Evaluation | None = None,
    keep_in: Path | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Score a model on cases of a store, on the original grid of each.

    Args:
        model: what is scored.
        store: where the cases are.
        cases: which of them.
        combinations: of modalities; each is scored on the cases that have all of it.
        convention: what empty structures score.
        settings: overlap of windows, further scores, threads.
        keep_in: a folder for the scores of finished cases, so that the same call continues where it was interrupted;
            ``kept_scores.forget`` removes it when the document is written.
        progress: is told each case.

    Returns:
        The document of ``metrics.json``: conventions, combinations, mean, overall, worst, structures, cases.

    Raises:
        DataError: no case to score, or the store has other modalities or labels than the model.
    """
    settings, progress = settings or Evaluation(), progress or Silent()
    _require_fit(model, store, cases)
    how = scoring(combinations, convention, settings)
    kept = KeptScores(keep_in, model, store, how) if keep_in else None
    found = _scored(model, store, cases, how, kept, progress)
    what = Examined(
        modalities=model.modalities,
        combinations=combinations,
        regions=store.description.scored_regions(),
        convention=convention,
        subjects={case: store.cases[case].subject for case in cases},
        tolerance=settings.tolerance,
    )
    document = metrics_document([row for case in cases for row in found[case]], what)
    return {**document, "trained_steps": model.step}


def evaluate_shard(
    model: TrainedModel,
    store: Store,
    cases: Sequence[str],
    how: Scoring,
    *,
    keep_in: Path,
    shard: tuple[int, int] = (1, 1),
    ranks: Ranks | None = None,
    progress: Progress | None = None,
) -> list[str]:
    """Score part i of n of the cases, shared among ranks, and keep the scores; ``evaluate`` puts them together.

    Args:
        model: what is scored.
        store: where the cases are.
        cases: all of them, those of other parts too.
        how: combinations and scores.
        keep_in: the folder of the scores; all parts and ranks see it.
        shard: i and n, counted from 1.
        ranks: share the cases of this part that have no scores yet.
        progress: is told each case of this rank.

    Returns:
        The cases that still lack scores.

    Raises:
        DataError: as ``evaluate``.
    """
    ranks = ranks or Ranks()
    _require_fit(model, store, cases)
    kept = KeptScores(keep_in, model, store, how)
    part = cases[shard[0] - 1 :: shard[1]]
    missing = ranks.from_first([case for case in part if kept.read(case) is None] if ranks.is_first else [])
    theirs = set(missing) - set(missing[ranks.rank :: ranks.count])
    _scored(model, store, [case for case in part if case not in theirs], how, kept, progress or Silent())
    ranks.gather(None)  # all have finished
    return [case for case in cases if kept.read(case) is None]


def scoring(combinations: Sequence[Combination], convention: Convention, settings: Evaluation) -> Scoring:
    """Return how cases are scored under these settings."""
    return Scoring(
        combinations=combinations,
        overlap=settings.overlap,
        definition=convention.definition,
        extras=settings.extras,
        tolerance=settings.tolerance,
        workers=settings.workers or usable_cores(),
    )


def part_of_split(store: Store, text: str, split: str | None) -> list[str]:
    """Return the cases that ``test`` (of ``split``) or ``NAME/test`` mean.

    Raises:
        DataError: no such split.
        UsageError: no such part.
    """
    name, _, part = text.rpartition("/")
    if part not in PARTS:
        message = f"no part of a split called '{part}'"
        raise UsageError(message, hint=suggestion(part, PARTS))
    return store.split(name or split).part(part)


def metrics_folder(
    run: RunFolder, *, split: str, combinations: str, dataset: str | None, settings: Evaluation, usual: Evaluation
) -> Path:
    """Return where results go: the run, or a folder of their own in it where the question is not the usual one.

    Args:
        run: what is scored.
        split: the part that is scored.
        combinations: as they were asked for.
        dataset: another store than that of the run.
        settings: what is used now.
        usual: what the run was made with.
    """
    changed = [
        f"{key}-{'+'.join(value) if isinstance(value, tuple) else value}"
        for key, _, value in differences(asdict(usual), asdict(settings))
        if key not in SAME_NUMBERS
    ]
    if (split, combinations, dataset, changed) == ("test", "all", None, []):
        return run.path
    parts = [split, combinations, *([Path(dataset).name] if dataset else []), *changed]
    return run.path / "evaluations" / re.sub(r"[^\w.+-]+", "_", "-".join(parts))


def write_metrics(folder: Path, document: dict[str, Any], *, latex: bool = False) -> tuple[Path, ...]:
    """Write ``metrics.json``, ``metrics.csv`` (one line per case, combination and region) and perhaps ``metrics.tex``.

    A ``metrics.tex`` of an earlier evaluation is written anew too, so that the files never contradict each other.

    Returns:
        The paths, in this order.
    """
    as_json, as_csv, as_tex = (folder / f"metrics.{ending}" for ending in ("json", "csv", "tex"))
    write_json(as_json, document)
    frame = pandas.DataFrame(document["cases"]).rename(columns=UNITS)
    frame["convention"] = document["conventions"]["name"]
    frame["hd95_definition"] = document["conventions"]["hd95"].partition(",")[0]
    with replacing(as_csv) as temporary:
        frame.to_csv(temporary, index=False)
    if not (latex or is_ours(as_tex)):
        return as_json, as_csv
    write_text(as_tex, as_latex(document))
    return as_json, as_csv, as_tex


def origin(model: TrainedModel, checkpoint: Path, store: Store, split: str, settings: Evaluation) -> dict[str, Any]:
    """Return what the scores were made from: the model, the cases, the settings, the versions of everything."""
    name, _, part = split.rpartition("/")
    used = store.split(name or model.config.data.split)
    return {
        "model": {"checkpoint": checkpoint.name, "digest": model.digest, "seed": model.config.seed},
        "split": {"name": used.name, "part": part, "digest": split_digest(used)},
        "settings": {key: value for key, value in asdict(settings).items() if key not in SAME_NUMBERS},
        "versions": versions(),
    }


def versions() -> dict[str, str]:
    """Return the versions of everything that takes part in scores."""
    packages = {name: version(name) for name in ("torch", "numpy", "scipy")}
    return {"hga": __version__, "python": platform.python_version(), **packages}


def _scored(
    model: TrainedModel,
    store: Store,
    cases: Sequence[str],
    how: Scoring,
    kept: KeptScores | None,
    progress: Progress,
) -> dict[str, list[Row]]:
    """Return the scores of each case: those that were kept, and the others now."""
    earlier = {case: kept.read(case) for case in cases} if kept else {}
    found = {case: rows for case, rows in earlier.items() if rows is not None}
    if kept and found:
        progress.say(f"{len(found)} of {len(cases)} cases were scored before with this model and these settings")
    missing = [case for case in cases if case not in found]
    with stage(progress, "evaluate", len(cases), len(found)):
        for case, rows in score_cases(model, store, missing, how):
            found[case] = rows
            if kept:
                kept.write(case, rows)
            progress.advance(case)
    return found


def _require_fit(model: TrainedModel, store: Store, cases: Sequence[str]) -> None:
    if not cases:
        message = f"no case to evaluate in '{store.path}'"
        raise DataError(message, hint="this part of the split is empty; see 'hga split'")
    ours, theirs = model.description, store.description
    if ours.modalities != theirs.modalities or [label.name for label in ours.labels] != [
        label.name for label in theirs.labels
    ]:
        message = f"store '{store.path}' ({theirs.name}) has other modalities or labels than the model ({ours.name})"
        raise DataError(message, hint="evaluate on a store that was made with the same description")
    if model.preparation.clip != store.preparation.clip:
        message = (
            f"store '{store.path}' has values clipped to percentiles {store.preparation.clip}, "
            f"the model was trained with {model.preparation.clip}"
        )
        raise DataError(message, hint="preprocess with the same --set preprocess.clip=[low,high]")
