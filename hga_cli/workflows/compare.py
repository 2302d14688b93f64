"""Whether one run, or one folder of masks, is better than another on the same cases."""

import json
import re
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from hga_cli.core.errors import DataError, Problem, ProblemsError
from hga_cli.metrics.interval import SubjectBootstrap
from hga_cli.metrics.paired import paired_test
from hga_cli.workflows.metrics_document import MASKS

METRICS = "metrics.json"
NEEDED = {"conventions", "overall", "mean", "cases"}
"""What a comparison reads of ``metrics.json``."""
SCORES = ("dice", "hd95")
Key = tuple[str, str | None, str]
"""Case, combination, region."""
Line = Mapping[str, Any]


def evaluation_at(text: str, runs_dir: Path) -> Path | None:
    """Return the folder of an evaluation that is named by itself, or by its ``metrics.json``; None: a run is meant."""
    path = Path(text)
    folder = path.parent if path.name == METRICS else path
    is_run = (folder / "run.json").exists() or (runs_dir / text / "run.json").exists()
    return folder if (folder / METRICS).is_file() and not is_run else None


def read_metrics(folder: Path) -> dict[str, Any]:
    """Read ``metrics.json`` of a folder.

    Raises:
        DataError: it is not there, damaged, or without what a comparison needs.
    """
    path = folder / METRICS
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        message = f"no '{path}'"
        raise DataError(message, hint="evaluate it first, with the same options: hga evaluate RUN") from None
    except ValueError:
        document = None
    if not isinstance(document, dict) or not document.keys() >= NEEDED:
        message = f"'{path}' is damaged, or was written by an older hga"
        raise DataError(message, hint="evaluate it again: hga evaluate RUN, or with --predictions")
    return document


def file_name(other: str) -> str:
    """Return the name of the file of a comparison with a run, or with an evaluation at a path."""
    plain = re.sub(r"[^\w.+-]+", "_", other).strip("_")
    return f"comparison-with-{plain}.json"


def compare(first: Mapping[str, Any], second: Mapping[str, Any], *, skip: bool = False) -> dict[str, Any]:
    """Compare two evaluations of the same cases under the same combinations.

    The value of a case is its mean over combinations. Tested with Wilcoxon's signed-rank test over cases, for each
    region and score on its own; p-values are not corrected for their number.

    Args:
        first: document of ``metrics.json``.
        second: another one.
        skip: leave out what only one of the two has, instead of refusing it.

    Returns:
        ``regions``: {REGION: {dice or hd95: {first, second, n, mean_difference, low, high, p_value, effect_size}}} with
        differences first - second and their 95 % interval (bootstrap over subjects), ``cases`` and ``combinations``
        that were paired, and what only one of the two has.

    Raises:
        DataError: they were scored by different rules, or share no case and combination.
        ProblemsError: only one has a case, or a case under a combination.
    """
    _require_same_rules(first, second)
    ours, theirs = _lines(first), _lines(second)
    common = [key for key in ours if key in theirs]
    if not common:
        message = "the two evaluations share no case with the same combination and region"
        raise DataError(message, hint="evaluate both on the same cases, as with --split NAME/test")
    if not skip:
        _require_same_cases(ours.keys(), theirs.keys())
    regions = [region for region in first["mean"] if any(key[2] == region for key in common)]
    return {
        "conventions": first["conventions"],
        "regions": {
            region: {
                score: _paired(ours, theirs, [key for key in common if key[2] == region], score) for score in SCORES
            }
            for region in regions
        },
        "cases": _distinct(common, lambda key: key[0]),
        "combinations": _distinct(common, lambda key: key[1]),
        "only_first": _distinct([key for key in ours if key not in theirs], lambda key: key[0]),
        "only_second": _distinct([key for key in theirs if key not in ours], lambda key: key[0]),
    }


def _require_same_rules(first: Mapping[str, Any], second: Mapping[str, Any]) -> None:
    rules, others = first["conventions"], second["conventions"]
    different = [key for key in {**rules, **others} if rules.get(key) != others.get(key)]
    if different:
        found = "; ".join(f"{key}: {rules.get(key)} and {others.get(key)}" for key in different)
        message = f"the two evaluations were scored by different rules ({found})"
        hint = (
            "evaluate both with the same --convention, regions, --set evaluation.hd95 and evaluation.tolerance, and by "
            "the same version of hga"
        )
        raise DataError(message, hint=hint)


def _require_same_cases(ours: Set[Key], theirs: Set[Key]) -> None:
    alone: dict[tuple[str, str], list[str]] = defaultdict(list)
    for key in sorted(ours ^ theirs, key=str):
        combination = key[1] or MASKS
        which = "first" if key in ours else "second"
        if combination not in alone[key[0], which]:
            alone[key[0], which].append(combination)
    problems = [
        Problem(case=case, file=which, problem=f"only the {which} evaluation has it with {', '.join(combinations)}")
        for (case, which), combinations in alone.items()
    ]
    if problems:
        count = len({case for case, _ in alone})
        message = f"the two evaluations do not have the same cases and combinations: {count} cases differ"
        hint = "evaluate both alike; or compare what both have: --set evaluation.unpaired=skip"
        raise ProblemsError(message, problems, hint=hint)


def _lines(document: Mapping[str, Any]) -> dict[Key, Line]:
    return {(row["case"], row["combination"], row["region"]): row for row in document["cases"]}


def _paired(
    ours: Mapping[Key, Line], theirs: Mapping[Key, Line], keys: Sequence[Key], score: str
) -> dict[str, float | None]:
    """Compare one score of one region; None where no pair has both values (the convention may leave cases out)."""
    pairs: dict[str, list[tuple[float, float]]] = defaultdict(list)
    subjects: dict[str, str] = {}
    for key in keys:
        left, right = ours[key][score], theirs[key][score]
        if left is not None and right is not None:
            pairs[key[0]].append((left, right))
            subjects[key[0]] = ours[key]["subject"]
    if not pairs:
        return {"n": 0}
    means = np.array([np.mean(values, axis=0) for values in pairs.values()])
    low, high = SubjectBootstrap([subjects[case] for case in pairs]).interval(means[:, :1] - means[:, 1:])
    average = means.mean(0)
    return {
        "first": float(average[0]),
        "second": float(average[1]),
        **asdict(paired_test(means[:, 0], means[:, 1])),
        "low": low,
        "high": high,
    }


def _distinct(keys: Sequence[Key], part: Callable[[Key], Any]) -> list[Any]:
    return list(dict.fromkeys(map(part, keys)))
