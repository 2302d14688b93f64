"""Lesions as a reader counts them: which were found, which were missed, which do not exist."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import generate_binary_structure, label

from hga_cli.metrics.overlap import as_masks


@dataclass(frozen=True, slots=True, kw_only=True)
class LesionCounts:
    """How many connected components there are. Voxels that touch at a face, edge or corner are connected (26 in 3D).

    Args:
        reference: lesions of the reference.
        found: those of them that the prediction touches in at least one voxel.
        predicted: lesions of the prediction.
        false: those of them that touch no voxel of the reference.
    """

    reference: int
    found: int
    predicted: int
    false: int

    @property
    def f1(self) -> float:
        """Harmonic mean of found / reference and (predicted - false) / predicted.

        0 to 1; 0 when exactly one side has no lesion, NaN when neither has (as Dice: a convention decides).
        """
        if not self.reference and not self.predicted:
            return float("nan")
        if not self.found:
            return 0.0
        recall, precision = self.found / self.reference, (self.predicted - self.false) / self.predicted
        return 2 * recall * precision / (recall + precision)


def count_lesions(prediction: ArrayLike, reference: ArrayLike) -> LesionCounts:
    """Count lesions of two masks.

    Args:
        prediction: mask (D, H, W) or (H, W); whatever is not zero belongs to a lesion.
        reference: mask of the same shape.

    Raises:
        ValueError: the shapes differ.
    """
    prediction, reference = as_masks(prediction, reference)
    predicted, touched_predicted = _components(prediction, reference)
    existing, touched_existing = _components(reference, prediction)
    return LesionCounts(
        reference=existing, found=touched_existing, predicted=predicted, false=predicted - touched_predicted
    )


def _components(mask: NDArray[np.bool_], other: NDArray[np.bool_]) -> tuple[int, int]:
    """Return how many components a mask has, and how many of them touch the other mask."""
    numbers, count = label(mask, generate_binary_structure(mask.ndim, mask.ndim))
    return int(count), len(np.unique(numbers[mask & other]))
