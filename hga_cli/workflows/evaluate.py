"""How well a model does with every combination of modalities."""

import math
import re
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas

from hga_cli.core.atomic import replacing, write_json
from hga_cli.core.combinations import Combination, combination_name
from hga_cli.core.errors import DataError, UsageError, suggestion
from hga_cli.core.progress import Progress, Silent, stage
from hga_cli.core.run_folder import RunFolder
from hga_cli.data.splits import PARTS
from hga_cli.data.store import Store
from hga_cli.engine.inference import TrainedModel
from hga_cli.engine.scoring import Row, score_one
from hga_cli.metrics.conventions import Convention
from hga_cli.metrics.score import RegionScore, apply


def evaluate(
    model: TrainedModel,
    store: Store,
    cases: Sequence[str],
    combinations: Sequence[Combination],
    convention: Convention,
    *,
    overlap: float = 0.5,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Score a model on cases of a store, on the original grid of each.

    Args:
        model: what is scored.
        store: where the cases are.
        cases: which of them.
        combinations: of modalities; each is scored on the cases that have all of it.
        convention: what empty structures score.
        overlap: of neighbouring windows, a share of their size.
        progress: is told each case.

    Returns:
        The document of ``metrics.json``: conventions, combinations, mean, cases.

    Raises:
        DataError: no case to score, or the store has other modalities or labels than the model.
    """
    progress = progress or Silent()
    _require_fit(model, store, cases)
    rows: list[Row] = []
    with stage(progress, "evaluate", len(cases)):
        for case in cases:
            rows += score_one(model, store, case, combinations, definition=convention.definition, overlap=overlap)
            progress.advance(case)
    return _document(rows, model, combinations, convention)


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


def metrics_folder(run: RunFolder, *, split: str, combinations: str, dataset: str | None) -> Path:
    """Return where results go: the run, or a folder of their own in it where the question is not the usual one."""
    if (split, combinations, dataset) == ("test", "all", None):
        return run.path
    parts = [split, combinations, *([Path(dataset).name] if dataset else [])]
    return run.path / "evaluations" / re.sub(r"[^\w.+-]", "_", "-".join(parts))


def write_metrics(folder: Path, document: dict[str, Any]) -> tuple[Path, Path]:
    """Write ``metrics.json`` and ``metrics.csv`` (one line per case, combination and region) and return their paths."""
    as_json, as_csv = folder / "metrics.json", folder / "metrics.csv"
    write_json(as_json, document)
    frame = pandas.DataFrame(document["cases"]).rename(columns={"hd95": "hd95_mm"})
    frame["convention"] = document["conventions"]["name"]
    with replacing(as_csv) as temporary:
        frame.to_csv(temporary, index=False)
    return as_json, as_csv


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


def _document(
    rows: list[Row], model: TrainedModel, combinations: Sequence[Combination], convention: Convention
) -> dict[str, Any]:
    regions = [region.name for region in model.description.scored_regions()]
    groups: dict[tuple[Combination, str], list[RegionScore]] = defaultdict(list)
    for row in rows:
        groups[row.combination, row.score.region].append(row.score)
    table = {
        combination_name(combination): {region: _summary(groups[combination, region], convention) for region in regions}
        for combination in combinations
    }
    return {
        "conventions": {
            "name": convention.name,
            "empty": convention.summary,
            "hd95": f"{convention.definition}, mm",
            "grid": "original",
            "regions": {region.name: region.minimum_voxels for region in model.description.scored_regions()},
        },
        "modalities": list(model.modalities),
        "trained_steps": model.step,
        "combinations": table,
        "mean": {
            region: {key: _mean([table[name][region][key] for name in table]) for key in ("dice", "hd95")}
            for region in regions
        },
        "worst": {region: _worst(table, region) for region in regions},
        "cases": [_case_row(row, convention) for row in rows],
    }


def _summary(scores: list[RegionScore], convention: Convention) -> dict[str, Any]:
    pairs = [apply(score, convention) for score in scores]
    return {
        "dice": _mean([dice for dice, _ in pairs]),
        "hd95": _mean([hd95 for _, hd95 in pairs]),
        "n": len(scores),
        "n_with_structure": sum(score.reference_voxels > 0 for score in scores),
        "misses": sum(score.miss for score in scores),
        "false_alarms": sum(score.false_alarm for score in scores),
    }


def _case_row(row: Row, convention: Convention) -> dict[str, Any]:
    dice, hd95 = apply(row.score, convention)
    return {
        "case": row.case,
        "combination": combination_name(row.combination),
        "region": row.score.region,
        "dice": dice,
        "hd95": hd95,
        "predicted_voxels": row.score.predicted_voxels,
        "reference_voxels": row.score.reference_voxels,
        "raw_dice": row.score.dice,
        "raw_hd95": row.score.hd95,
    }


def _worst(table: dict[str, Any], region: str) -> str | None:
    known = [name for name in table if not math.isnan(table[name][region]["dice"])]
    return min(known, key=lambda name: table[name][region]["dice"]) if known else None


def _mean(values: list[float]) -> float:
    known = [value for value in values if not math.isnan(value)]
    return float(np.mean(known)) if known else math.nan
