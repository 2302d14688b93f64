"""z-scores. The statistics of one modality never depend on another one."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hga_cli.imaging.trail import bounding_box

MOST = 0.5
"""A value that fills more than this share of the border of an image is its background."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Statistics:
    """Mean and standard deviation of the foreground of one modality (in the units of the file)."""

    mean: float
    std: float

    @property
    def background(self) -> float:
        """The z-score of a voxel that is 0 in the file."""
        return -self.mean / self.std


def foreground_statistics(image: NDArray[Any]) -> Statistics | None:
    """Return the statistics over voxels that are not 0, or None where those are fewer than two different values.

    The reference takes voxels where the sum over all modalities is positive; ours looks at the modality itself, so
    that hiding one modality leaves the others as they are, and images with negative values keep their foreground.
    """
    box = bounding_box(image)
    if box is None:
        return None
    inside = image[tuple(slice(*ends) for ends in zip(*box, strict=True))]
    values = inside[inside != 0]
    if values.min() == values.max():
        return None
    std = float(values.std(dtype=np.float64))
    return Statistics(mean=float(values.mean(dtype=np.float64)), std=std) if 0 < std < np.inf else None


def filled_border(image: NDArray[Any]) -> float | None:
    """Return the value that fills most of the border of an image where it is not 0, for example -1024 in CT.

    Then background counts as foreground. None: it is 0, or noise.
    """
    faces = [np.moveaxis(image, axis, 0)[end].ravel() for axis in range(image.ndim) for end in (0, -1)]
    border = np.concatenate(faces)
    value = np.partition(border, border.size // 2)[border.size // 2]
    return float(value) if value != 0 and (border == value).mean() > MOST else None


def clip_to_percentiles(image: NDArray[Any], percentiles: tuple[float, float]) -> NDArray[Any]:
    """Return the image with its foreground (voxels that are not 0) clipped to two of its percentiles; same type."""
    inside = image != 0
    if not inside.any():
        return image
    low, high = np.percentile(image[inside], percentiles, method="nearest")
    return np.where(inside, image.clip(low, high), image)


def z_score(image: NDArray[Any], statistics: Statistics) -> NDArray[np.float32]:
    """Return (image - mean) / std, applied to every voxel, background too."""
    return ((image - statistics.mean) / statistics.std).astype(np.float32)
