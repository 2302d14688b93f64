"""Scores of one case: raw values and voxel counts per region, so that any convention can be applied afterwards."""

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from hga_cli.metrics.conventions import Convention, Penalty
from hga_cli.metrics.extras import SHARES, extra_scores
from hga_cli.metrics.overlap import as_masks, dice
from hga_cli.metrics.regions import Region
from hga_cli.metrics.surface import Definition, bounding_box, check_spacing, hd95_of, surface_distances


@dataclass(frozen=True, slots=True, kw_only=True)
class RegionScore:
    """Raw scores of one region of one case.

    Args:
        region: name of the region.
        dice: 0 to 1; NaN when both sides are empty.
        hd95: mm; NaN when either side is empty.
        predicted_voxels: size of the prediction, 0 when the region's minimum emptied it.
        reference_voxels: size of the reference.
        diagonal_mm: of the whole volume, needed by the convention "diagonal".
        definition: of HD95, see `surface.hd95`.
        extras: further scores by name, see `extras.extra_scores`.
    """

    region: str
    dice: float
    hd95: float
    predicted_voxels: int
    reference_voxels: int
    diagonal_mm: float
    definition: Definition = "pooled"
    extras: Mapping[str, float] = field(default_factory=dict)

    @property
    def miss(self) -> bool:
        """Whether the structure exists and nothing of it was predicted."""
        return self.reference_voxels > 0 and self.predicted_voxels == 0

    @property
    def false_alarm(self) -> bool:
        """Whether a structure was predicted that does not exist."""
        return self.reference_voxels == 0 and self.predicted_voxels > 0


def score_case(
    prediction: NDArray[np.integer],
    reference: NDArray[np.integer],
    regions: Iterable[Region],
    *,
    spacing: Sequence[float],
    definition: Definition = "pooled",
    extras: Collection[str] = (),
    tolerance: float = 1.0,
) -> list[RegionScore]:
    """Dice and HD95 of each region, in the order of `regions`.

    Args:
        prediction: label map (D, H, W) or (H, W) of class indices, 0 is background.
        reference: label map of the same shape.
        regions: what to score.
        spacing: distance between voxel centres in mm, one per axis of the arrays.
        definition: of HD95, see `surface.hd95`.
        extras: which further scores are wanted, see `extras.extra_scores`.
        tolerance: of the surface Dice, mm.

    Raises:
        ValueError: the shapes differ, the spacing does not fit them or is not positive, or the definition is unknown.
    """
    box = bounding_box(np.logical_or(*as_masks(prediction, reference)))
    check_spacing(spacing, prediction.ndim)
    diagonal_mm = math.hypot(*(size * step for size, step in zip(prediction.shape, spacing, strict=True)))
    scores = []
    for region in regions:
        predicted, expected = region.prediction_mask(prediction[box]), region.mask(reference[box])
        distances = surface_distances(predicted, expected, spacing)
        scores.append(
            RegionScore(
                region=region.name,
                dice=dice(predicted, expected),
                hd95=hd95_of(*distances, definition=definition),
                predicted_voxels=int(np.count_nonzero(predicted)),
                reference_voxels=int(np.count_nonzero(expected)),
                diagonal_mm=diagonal_mm,
                definition=definition,
                extras=extra_scores(
                    extras, predicted, expected, spacing=spacing, distances=distances, tolerance=tolerance
                ),
            )
        )
    return scores


def apply(score: RegionScore, convention: Convention) -> tuple[float, float]:
    """Dice and HD95 (mm) under a convention; NaN where it leaves the case out of the mean.

    Raises:
        ValueError: the HD95 of the score and of the convention are defined differently.
    """
    if score.definition != convention.definition:
        message = (
            f"region {score.region!r} was scored with the {score.definition} HD95, "
            f"but convention {convention.name!r} uses the {convention.definition} one"
        )
        raise ValueError(message)
    if score.predicted_voxels and score.reference_voxels:
        return score.dice, score.hd95
    if score.miss or score.false_alarm:
        return score.dice, _number(convention.hd95_one_empty, score.diagonal_mm)
    return (
        _number(convention.dice_both_empty, score.diagonal_mm),
        _number(convention.hd95_both_empty, score.diagonal_mm),
    )


def apply_to_extras(score: RegionScore, convention: Convention) -> dict[str, float]:
    """Further scores under a convention: those from 0 to 1 count as Dice does where both sides are empty."""
    if score.predicted_voxels or score.reference_voxels:
        return dict(score.extras)
    both_empty = _number(convention.dice_both_empty, score.diagonal_mm)
    return {name: both_empty if name in SHARES else value for name, value in score.extras.items()}


def _number(penalty: Penalty, diagonal_mm: float) -> float:
    """Resolve a value of a convention: "diagonal" to mm, None (left out) to NaN."""
    if penalty is None:
        return math.nan
    return diagonal_mm if penalty == "diagonal" else penalty
