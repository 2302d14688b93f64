"""Distance between the surfaces of two masks in mm: the 95th percentile of the Hausdorff distance, and surface Dice.

The surface of a mask is what one erosion with the face-connected element removes; outside of the volume is background.
Surface voxels are few, so a k-d tree of them is faster than a distance transform of the volume they lie in.
"""

from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray
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
    return hd95_of(*surface_distances(prediction, reference, spacing), definition=definition)


def hd95_of(there: NDArray[np.float64], back: NDArray[np.float64], *, definition: Definition = "pooled") -> float:
    """HD95 in mm from the distances of both directions (`surface_distances`); NaN where they are empty.

    Raises:
        ValueError: the definition is unknown.
    """
    if definition not in get_args(Definition):
        message = f"unknown definition of HD95 {definition!r}: {' or '.join(get_args(Definition))}"
        raise ValueError(message)
    if not (there.size and back.size):
        return float("nan")
    if definition == "pooled":
        return float(np.percentile(np.concatenate((there, back)), 95))
    return float(max(np.percentile(there, 95), np.percentile(back, 95)))


def surface_dice(there: NDArray[np.float64], back: NDArray[np.float64], tolerance: float) -> float:
    """Share of the surface voxels of both masks that are at most `tolerance` mm from the other surface.

    Surface voxels are counted, one like the other; DeepMind's code weighs them by the area of the surface in them, so
    values differ a little. Source: Nikolov et al., arXiv 1809.04430.

    Args:
        there: distances in mm from the surface of the prediction, as `surface_distances` gives them.
        back: those from the surface of the reference.
        tolerance: mm.

    Returns:
        0 to 1; NaN without distances, where either mask is empty.
    """
    distances = np.concatenate((there, back))
    # Half a micrometre more than asked for: spacings of NIfTI headers are float32.
    return float((distances <= tolerance + 5e-4).mean()) if distances.size else float("nan")


def surface_distances(
    prediction: ArrayLike, reference: ArrayLike, spacing: Sequence[float]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Distances in mm from each surface voxel of one mask to the nearest of the other, in both directions.

    Args:
        prediction: mask (D, H, W) or (H, W); whatever is not zero belongs to the structure.
        reference: mask of the same shape.
        spacing: distance between voxel centres in mm, one per axis of the arrays.

    Returns:
        One number per surface voxel of the prediction, and of the reference; no number at all when either is empty.

    Raises:
        ValueError: the shapes differ, or the spacing does not fit them or is not positive.
    """
    prediction, reference = as_masks(prediction, reference)
    check_spacing(spacing, prediction.ndim)
    if not (prediction.any() and reference.any()):
        return np.empty(0), np.empty(0)
    box = bounding_box(prediction | reference)
    return _distances(_surface_mm(prediction[box], spacing), _surface_mm(reference[box], spacing))


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
    padded = np.ascontiguousarray(np.pad(mask, 1))
    flat, steps = padded.ravel(), np.array(padded.strides)
    places = np.flatnonzero(flat)
    inside = np.ones(len(places), bool)
    # Only voxels of the mask are looked at: an erosion of the whole box takes longer, most of all for scattered voxels.
    for step in (*steps, *-steps):
        inside &= flat[places + step]
    surface = np.stack(np.unravel_index(places[~inside], padded.shape), axis=1) - 1
    return surface.astype(np.float64) * np.asarray(spacing, dtype=np.float64)


def _distances(
    prediction: NDArray[np.float64], reference: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """From each point of one surface to the nearest of the other, in both directions."""
    # Voxel centres lie on a grid: splitting at midpoints builds the tree faster than at medians, and it is as good.
    there = cKDTree(reference, balanced_tree=False).query(prediction)[0]
    back = cKDTree(prediction, balanced_tree=False).query(reference)[0]
    return there, back
