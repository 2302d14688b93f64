"""Scoring a model on a case of a store, on the original grid, for several combinations of modalities."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hga_cli.core.combinations import Combination
from hga_cli.data.reading import CaseReader
from hga_cli.data.store import Store
from hga_cli.engine.inference import TrainedModel, predict_combinations
from hga_cli.metrics.score import RegionScore, score_case
from hga_cli.metrics.surface import Definition


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One region of one case under one combination."""

    case: str
    combination: Combination
    score: RegionScore


def score_one(
    model: TrainedModel,
    store: Store,
    case: str,
    combinations: Sequence[Combination],
    *,
    definition: Definition,
    overlap: float,
) -> list[Row]:
    """Return the scores of all regions for each combination whose modalities the case has.

    Args:
        model: what is scored.
        store: where the case is.
        case: its id.
        combinations: of modalities; those the case does not have are left out.
        definition: of HD95.
        overlap: of neighbouring windows, a share of their size.
    """
    trail, reference = store.trail(case), store.reference(case)
    return [
        Row(case=case, combination=combination, score=score)
        for combination, labels in predict_stored(model, store, case, combinations, overlap=overlap).items()
        for score in score_case(
            labels,
            reference,
            store.description.scored_regions(),
            spacing=trail.original_spacing,
            definition=definition,
        )
    ]


def predict_stored(
    model: TrainedModel, store: Store, case: str, combinations: Sequence[Combination], *, overlap: float
) -> dict[Combination, NDArray[np.uint8]]:
    """Return class indices (D, H, W) of the whole canonical volume for each combination the case has."""
    present = store.cases[case].modalities
    possible = [combination for combination in combinations if set(combination) <= set(present)]
    if not possible:
        return {}
    needed = [name for name in present if any(name in combination for combination in possible)]
    images = CaseReader(store, model.spacing).images(case, needed)
    backgrounds = store.backgrounds(case, needed)
    predictions = predict_combinations(
        model,
        dict(zip(needed, images, strict=True)),
        dict(zip(needed, backgrounds, strict=True)),
        possible,
        overlap=overlap,
    )
    trail = store.trail(case)
    return {
        combination: trail.uncrop(trail.labels_in_box(probabilities))
        for combination, probabilities in predictions.items()
    }
