"""Overlap of two masks: the Dice coefficient."""

import numpy as np
from numpy.typing import ArrayLike, NDArray


def dice(prediction: ArrayLike, reference: ArrayLike) -> float:
    """Twice the voxels in common, divided by the voxels of both: 1 is perfect, 0 is nothing in common.

    The smoothing of 1e-8 in the paper's code is left out; it moves no value by more than 1e-8. Source: Dice,
    Ecology 26 (1945).

    Args:
        prediction: mask (D, H, W) or (H, W); whatever is not zero belongs to the structure.
        reference: mask of the same shape.

    Returns:
        0 to 1; 0 when exactly one mask is empty, NaN when both are (a convention decides, see `conventions`).

    Raises:
        ValueError: the shapes differ.
    """
    prediction, reference = as_masks(prediction, reference)
    voxels = np.count_nonzero(prediction) + np.count_nonzero(reference)
    return 2 * np.count_nonzero(prediction & reference) / voxels if voxels else float("nan")


def as_masks(prediction: ArrayLike, reference: ArrayLike) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Both as boolean arrays; no copy is made of arrays that are boolean already.

    Raises:
        ValueError: the shapes differ.
    """
    masks = np.asarray(prediction, dtype=bool), np.asarray(reference, dtype=bool)
    if masks[0].shape != masks[1].shape:
        message = f"the prediction has shape {masks[0].shape} but the reference has {masks[1].shape}"
        raise ValueError(message)
    return masks
