"""Scores on request, besides Dice and HD95: surface Dice, volume error, lesions."""

import math
from collections.abc import Collection, Sequence

import numpy as np
from numpy.typing import NDArray

from hga_cli.metrics.lesions import count_lesions
from hga_cli.metrics.surface import surface_dice

SURFACE_DICE, VOLUME_ERROR, LESIONS = "surface_dice", "volume_error", "lesions"
SHARES = ("surface_dice", "lesion_f1")
"""Scores from 0 to 1 that a convention treats as Dice."""
CUBIC_MM_IN_ML = 1000


def extra_scores(
    wanted: Collection[str],
    prediction: NDArray[np.bool_],
    reference: NDArray[np.bool_],
    *,
    spacing: Sequence[float],
    distances: tuple[NDArray[np.float64], NDArray[np.float64]],
    tolerance: float,
) -> dict[str, float]:
    """Return the further scores of one region by name.

    ``surface_dice`` gives ``surface_dice``; ``volume_error`` gives ``volume_error_ml`` (predicted - reference) and
    ``absolute_volume_error_ml``; ``lesions`` gives ``lesions``, ``lesions_found``, ``lesions_predicted``,
    ``lesions_false`` and ``lesion_f1``.

    Args:
        wanted: some of ``surface_dice``, ``volume_error``, ``lesions``.
        prediction: mask (D, H, W) or (H, W).
        reference: mask of the same shape.
        spacing: distance between voxel centres in mm, one per axis.
        distances: what `surface.surface_distances` gives for the masks.
        tolerance: of the surface Dice, mm.
    """
    scores: dict[str, float] = {}
    sizes = int(np.count_nonzero(prediction)), int(np.count_nonzero(reference))
    if SURFACE_DICE in wanted:
        one_empty = bool(sizes[0]) != bool(sizes[1])
        scores["surface_dice"] = 0.0 if one_empty else surface_dice(*distances, tolerance)
    if VOLUME_ERROR in wanted:
        error = (sizes[0] - sizes[1]) * math.prod(spacing) / CUBIC_MM_IN_ML
        scores |= {"volume_error_ml": error, "absolute_volume_error_ml": abs(error)}
    if LESIONS in wanted:
        counts = count_lesions(prediction, reference)
        scores |= {
            "lesions": counts.reference,
            "lesions_found": counts.found,
            "lesions_predicted": counts.predicted,
            "lesions_false": counts.false,
            "lesion_f1": counts.f1,
        }
    return scores
