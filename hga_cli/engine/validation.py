"""How good a network is on the validation cases, for each combination, while it is trained."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hga_cli.core.combinations import Combination, combination_name
from hga_cli.data.store import Store
from hga_cli.engine.contest import Contest
from hga_cli.engine.expectation import paired
from hga_cli.engine.inference import TrainedModel
from hga_cli.engine.ranks import Ranks
from hga_cli.engine.scoring import predict_stored
from hga_cli.metrics.overlap import dice
from hga_cli.metrics.regions import averaged

Scores = dict[str, dict[str, dict[str, float]]]
"""Name of a combination -> region -> case -> Dice, of each case in which it counts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Examination:
    """What is asked of a network, and of which cases."""

    model: TrainedModel
    """The network that is being trained, in evaluation mode while it is asked."""
    store: Store
    cases: Sequence[str]
    combinations: Sequence[Combination]
    overlap: float
    every: int
    """Epochs between two validations."""
    patience: int | None
    """Validations in a row without a better one that end the training."""

    def is_due(self, contest: Contest, epoch: int, epochs: int) -> bool:
        """Tell whether it is asked now that ``epoch`` of ``epochs`` epochs are finished."""
        return contest.epoch < epoch and (epoch % self.every == 0 or epoch == epochs)

    def is_over(self, contest: Contest) -> bool:
        """Tell whether patience has ended."""
        return self.patience is not None and contest.worse_in_a_row >= self.patience


def validate(what: Examination, ranks: Ranks, stop: Callable[[], bool]) -> dict[str, Any] | None:
    """Return the mean Dice of each region under each combination, and of all of them together.

    A region that is neither there nor predicted does not count; one that is predicted without being there counts 0. The
    mean of all leaves out regions that are others after post-processing (see ``averaged``).

    Args:
        what: network, cases and combinations.
        ranks: share the cases.
        stop: asked before each case; True ends the validation without a result.

    Returns:
        ``{"mean": ..., "combinations": {"flair+t2": {"WT": ...}}, "pairs": ...}`` with None where nothing counts, and
        what a further modality gains on the same cases; or None if stopped.
    """
    parts = ranks.gather(_dice_of(what, what.cases[ranks.rank :: ranks.count], stop))
    if None in parts:
        return None
    names = [combination_name(combination) for combination in what.combinations]
    regions = what.store.description.scored_regions()
    found = {
        name: {
            region.name: {
                case: dice for part in parts for case, dice in part.get(name, {}).get(region.name, {}).items()
            }
            for region in regions
        }
        for name in names
    }
    table = {name: {region: _mean([*of_cases.values()]) for region, of_cases in found[name].items()} for name in names}
    values = [row[region] for row in table.values() for region in averaged(regions)]
    means = [value for value in values if value is not None]
    return {"mean": _mean(means), "combinations": table, "pairs": paired(found, what.store.modalities)}


def _dice_of(what: Examination, cases: Sequence[str], stop: Callable[[], bool]) -> Scores | None:
    found: Scores = {}
    regions = what.store.description.scored_regions()
    for case in cases:
        if stop():
            return None
        reference = what.store.reference(case)
        labels = predict_stored(what.model, what.store, case, what.combinations, overlap=what.overlap)
        for combination, predicted in labels.items():
            for region in regions:
                score = dice(region.prediction_mask(predicted), region.mask(reference))
                if not math.isnan(score):
                    of_combination = found.setdefault(combination_name(combination), {})
                    of_combination.setdefault(region.name, {})[case] = score
    return found


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if len(values) else None
