"""From scores of cases to the document of ``metrics.json``: means, spread, intervals, worst combination, every case."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hga_cli.core.combinations import Combination, combination_name
from hga_cli.engine.scoring import Row
from hga_cli.metrics.calibration import Reliability
from hga_cli.metrics.conventions import Convention
from hga_cli.metrics.interval import DRAWS, LEVEL, SEED, SubjectBootstrap
from hga_cli.metrics.regions import Region, averaged
from hga_cli.metrics.score import apply, apply_to_extras

MASKS = "masks"
"""Stands for the combination in tables where masks are scored and nobody knows what they were made from."""
SUMMED = ("lesions", "lesions_found", "lesions_predicted", "lesions_false")
"""Scores that are added over cases; all others are averaged."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Examined:
    """What was scored, and by which rules."""

    modalities: Combination
    combinations: Sequence[Combination]
    regions: Sequence[Region]
    convention: Convention
    subjects: Mapping[str, str]
    """Case -> subject."""
    tolerance: float
    """Of the surface Dice, mm."""


def metrics_document(rows: Sequence[Row], what: Examined) -> dict[str, Any]:
    """Return means per combination and region, means of those, the worst, and one line per case.

    ``mean`` is the mean over combinations of the means over cases, as published. ``overall`` adds the standard
    deviation over cases (of their means over combinations) and the 95 % interval of the mean (bootstrap over subjects).
    ``structures`` says, over all combinations, the mean Dice where the structure exists, and how often it was missed,
    or predicted without being there: a mean that counts empty cases never stands alone.
    """
    cells = {(row.case, row.combination, row.score.region): row for row in rows}
    cases = list(dict.fromkeys(row.case for row in rows))
    bootstrap = SubjectBootstrap([what.subjects[case] for case in cases])

    def matrix(
        region: Region, combinations: Sequence[Combination], value: Callable[[Row], float]
    ) -> NDArray[np.float64]:
        """Return (cases, combinations); NaN where a case has not all of the combination."""
        found = [[cells.get((case, one, region.name)) for one in combinations] for case in cases]
        values = [[np.nan if row is None else value(row) for row in line] for line in found]
        return np.array(values, np.float64).reshape(len(cases), len(combinations))

    def both(region: Region, combinations: Sequence[Combination]) -> dict[str, NDArray[np.float64]]:
        return {
            "dice": matrix(region, combinations, lambda row: apply(row.score, what.convention)[0]),
            "hd95": matrix(region, combinations, lambda row: apply(row.score, what.convention)[1]),
        }

    table: dict[str, dict[str, Any]] = {}
    for combination in what.combinations:
        of_combination = table[combination_name(combination) or MASKS] = {}
        for region in what.regions:
            here = [cells[key] for case in cases if (key := (case, combination, region.name)) in cells]
            of_combination[region.name] = _cell(here, both(region, [combination]), what.convention, bootstrap)
    overall = {
        region.name: {key: _overall(values, bootstrap) for key, values in both(region, what.combinations).items()}
        for region in what.regions
    }
    return {
        "conventions": _conventions(what),
        "modalities": list(what.modalities),
        "combinations": table,
        "mean": {name: {key: one["mean"] for key, one in row.items()} for name, row in overall.items()},
        "overall": overall,
        "worst": {region.name: _worst(table, region.name) for region in what.regions},
        "structures": {
            region.name: _structures([row[region.name] for row in table.values()]) for region in what.regions
        },
        "cases": [_case_row(row, what) for row in rows],
    }


def _conventions(what: Examined) -> dict[str, Any]:
    return {
        "name": what.convention.name,
        "empty": what.convention.summary,
        "hd95": f"{what.convention.definition}, mm",
        "grid": "original",
        "regions": {region.name: region.minimum_voxels for region in what.regions},
        "averaged": averaged(what.regions),
        "surface_dice_tolerance_mm": what.tolerance,
        "interval": {"level": LEVEL, "method": "bootstrap over subjects", "draws": DRAWS, "seed": SEED},
    }


def _cell(
    rows: Sequence[Row], values: Mapping[str, NDArray[np.float64]], convention: Convention, bootstrap: SubjectBootstrap
) -> dict[str, Any]:
    """Return everything about one region under one combination."""
    present = [row for row in rows if row.score.reference_voxels > 0]
    extras = [apply_to_extras(row.score, convention) for row in rows]
    return {
        "dice": _mean(values["dice"]),
        "hd95": _mean(values["hd95"]),
        "n": len(rows),
        "n_with_structure": len(present),
        "dice_with_structure": _mean([row.score.dice for row in present]),
        "misses": sum(row.score.miss for row in rows),
        "false_alarms": sum(row.score.false_alarm for row in rows),
        **{f"{key}_sd": _deviation(one) for key, one in values.items()},
        **{f"{key}_interval": list(bootstrap.interval(one)) for key, one in values.items()},
        **{name: _merged(name, [one[name] for one in extras]) for name in (extras[0] if extras else ())},
        **_calibration(rows),
    }


def _calibration(rows: Sequence[Row]) -> dict[str, Any]:
    """Return the calibration error over the voxels of all cases together; nothing where it was not asked for."""
    everywhere = [row.reliability for row in rows if row.reliability is not None]
    labelled = [row.reliability_labelled for row in rows if row.reliability_labelled is not None]
    if not everywhere:
        return {}
    total: Reliability = reduce(add, everywhere)
    return {
        "ece": total.error,
        "ece_labelled": reduce(add, labelled).error,
        "reliability": total.as_tree(),
    }


def _overall(values: NDArray[np.float64], bootstrap: SubjectBootstrap) -> dict[str, float]:
    """Return the mean over combinations of the means over cases, spread over cases, and the interval of the mean."""
    low, high = bootstrap.interval(values)
    return {
        "mean": _mean([_mean(column) for column in values.T]),
        "sd": _deviation([_mean(line) for line in values]),
        "low": low,
        "high": high,
    }


def _case_row(row: Row, what: Examined) -> dict[str, Any]:
    dice, hd95 = apply(row.score, what.convention)
    return {
        "case": row.case,
        "subject": what.subjects[row.case],
        "combination": combination_name(row.combination) or None,
        "region": row.score.region,
        "dice": dice,
        "hd95": hd95,
        "predicted_voxels": row.score.predicted_voxels,
        "reference_voxels": row.score.reference_voxels,
        "raw_dice": row.score.dice,
        "raw_hd95": row.score.hd95,
        "diagonal_mm": row.score.diagonal_mm,
        **apply_to_extras(row.score, what.convention),
    }


def _structures(cells: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Return what is known of a region over all combinations, whatever the convention says of empty ones."""
    present = sum(cell["n_with_structure"] for cell in cells)
    return {
        "dice": _mean([cell["dice_with_structure"] for cell in cells]),
        "present": present,
        "misses": sum(cell["misses"] for cell in cells),
        "absent": sum(cell["n"] for cell in cells) - present,
        "false_alarms": sum(cell["false_alarms"] for cell in cells),
    }


def _worst(table: Mapping[str, Any], region: str) -> str | None:
    known = [name for name in table if np.isfinite(table[name][region]["dice"])]
    return min(known, key=lambda name: table[name][region]["dice"]) if known else None


def _merged(name: str, values: Sequence[float]) -> float:
    return sum(values) if name in SUMMED else _mean(values)


def _mean(values: Sequence[float] | NDArray[np.float64]) -> float:
    """Return the mean of what is known; NaN where nothing is."""
    known = np.asarray(values, np.float64)
    known = known[np.isfinite(known)]
    return float(known.mean()) if known.size else float("nan")


def _deviation(values: Sequence[float] | NDArray[np.float64]) -> float:
    """Return the standard deviation (n - 1) of what is known; NaN for fewer than two."""
    known = np.asarray(values, np.float64)
    known = known[np.isfinite(known)]
    return float(known.std(ddof=1)) if known.size > 1 else float("nan")
