"""Whether one run is better than another on the same cases."""

import json
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from hga_cli.core.errors import DataError
from hga_cli.metrics.interval import SubjectBootstrap
from hga_cli.metrics.paired import paired_test

SCORES = ("dice", "hd95")
Key = tuple[str, str | None, str]
"""Case, combination, region."""
Line = Mapping[str, Any]


def read_metrics(folder: Path) -> dict[str, Any]:
    """Read ``metrics.json`` of a folder.

    Raises:
        DataError: it is not there, damaged, or without what a comparison needs.
    """
    path = folder / "metrics.json"
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        message = f"no '{path}'"
        raise DataError(message, hint="evaluate that run first, with the same options: hga evaluate RUN") from None
    except ValueError:
        document = None
    if not isinstance(document, dict) or "overall" not in document:
        message = f"'{path}' is damaged, or was written by an older hga"
        raise DataError(message, hint="evaluate that run again: hga evaluate RUN")
    return document


def compare(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Any]:
    """Compare two evaluations over the cases and combinations that both have.

    The value of a case is its mean over combinations. Tested with Wilcoxon's signed-rank test over cases, for each
    region and score on its own; p-values are not corrected for their number.

    Args:
        first: document of ``metrics.json``.
        second: another one.

    Returns:
        ``regions``: {REGION: {dice or hd95: {first, second, n, mean_difference, low, high, p_value, effect_size}}} with
        differences first - second and their 95 % interval (bootstrap over subjects), ``cases`` and ``combinations``
        that were paired, and what only one of the two has.

    Raises:
        DataError: they were scored by different rules, or share no case and combination.
    """
    _require_same_rules(first, second)
    ours, theirs = _lines(first), _lines(second)
    common = [key for key in ours if key in theirs]
    if not common:
        message = "the two evaluations share no case with the same combination and region"
        raise DataError(message, hint="evaluate both on the same split: hga evaluate RUN --split NAME/test")
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
    different = [key for key in rules if rules[key] != others.get(key)]
    if different:
        found = "; ".join(f"{key}: {rules[key]} and {others.get(key)}" for key in different)
        message = f"the two evaluations were scored by different rules ({found})"
        raise DataError(
            message, hint="evaluate both with the same --convention, regions and --set evaluation.tolerance"
        )


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
