"""Distance between the surfaces of two masks in mm: the 95th percentile of the Hausdorff distance.

The surface of a mask is what one erosion with the face-connected element removes; outside of the volume is background.
Surface voxels are few, so a k-d tree of them is faster than a distance transform of the volume they lie in.
"""

from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import binary_erosion
from scipy.spatial import cKDTree

from hga_cli.metrics.overlap import as_masks

Definition = Literal["pooled", "maximum"]


def hd95(
    prediction: ArrayLike, reference: ArrayLike, spacing: Sequence[float], *, definition: Definition = "pooled"
) -> float:
    """95th percentile (linear interpolation) of the distances from each surface to the other, in mm.

    The two definitions in use differ by 10 to 20 percent, so a table has to name the one it shows.

    Args:
        prediction: mask (D, H, W) or (H, W); whatever is not zero belongs to the structure.
        reference: mask of the same shape.
        spacing: distance between voxel centres in mm, one per axis of the arrays.
        definition: "pooled": percentile of the distances of both directions together (medpy, and the paper's code);
            "maximum": the larger of the percentiles of the two directions (MONAI).

    Returns:
        mm; NaN when either mask is empty (a convention decides, see `conventions`).

    Raises:
        ValueError: the shapes differ, the spacing does not fit them or is not positive, or the definition is unknown.
    """
    prediction, reference = as_masks(prediction, reference)
    check_spacing(spacing, prediction.ndim)
    if definition not in get_args(Definition):
        message = f"unknown definition of HD95 {definition!r}: {' or '.join(get_args(Definition))}"
        raise ValueError(message)
    if not (prediction.any() and reference.any()):
        return float("nan")
    box = bounding_box(prediction | reference)
    there, back = _distances(_surface_mm(prediction[box], spacing), _surface_mm(reference[box], spacing))
    if definition == "pooled":
        return float(np.percentile(np.concatenate((there, back)), 95))
    return float(max(np.percentile(there, 95), np.percentile(back, 95)))


def bounding_box(mask: NDArray[np.bool_]) -> tuple[slice, ...]:
    """The smallest box (voxels, one slice per axis) that holds the mask; of zero length when the mask is empty."""
    box: tuple[slice, ...] = ()
    for axis in range(mask.ndim):
        others = tuple(other for other in range(mask.ndim) if other != axis)
        hits = np.flatnonzero(mask[box].any(axis=others))
        box += (slice(int(hits[0]), int(hits[-1]) + 1) if hits.size else slice(0, 0),)
    return box


def check_spacing(spacing: Sequence[float], axes: int) -> None:
    """Nothing when there is one positive, finite step (mm) per axis.

    Raises:
        ValueError: there is not.
    """
    if len(spacing) != axes or not all(0 < step < float("inf") for step in spacing):
        message = f"spacing {tuple(spacing)} is not {axes} positive numbers (mm), one per axis"
        raise ValueError(message)


def _surface_mm(mask: NDArray[np.bool_], spacing: Sequence[float]) -> NDArray[np.float64]:
    """Centres of the surface voxels in mm, one row each. A tight box loses nothing: its outside is background."""
    surface: NDArray[np.bool_] = mask & ~binary_erosion(mask)
    return np.argwhere(surface).astype(np.float64) * np.asarray(spacing, dtype=np.float64)


def _distances(
    prediction: NDArray[np.float64], reference: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """From each point of one surface to the nearest of the other, in both directions."""
    # Voxel centres lie on a grid: splitting at midpoints builds the tree faster than at medians, and it is as good.
    there = cKDTree(reference, balanced_tree=False).query(prediction)[0]
    back = cKDTree(prediction, balanced_tree=False).query(reference)[0]
    return there, back
