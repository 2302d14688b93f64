"""Resampling onto another grid, linearly.

How two grids lie to each other is a (4, 4) matrix ``reach`` that takes voxel indices of the new grid to those of the
old one. Grids that cover the same box edge to edge need no affine: a voxel of m is n/m voxels of n, and going back
restores the shape exactly.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import SimpleITK
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from scipy.ndimage import label as label_structures

Shape = tuple[int, ...]


def shape_at(shape: Sequence[int], spacing: Sequence[float], wanted: Sequence[float]) -> Shape:
    """Return the shape (voxels) that covers ``shape`` x ``spacing`` (mm) with voxels of about ``wanted`` mm."""
    return tuple(max(1, round(size * old / new)) for size, old, new in zip(shape, spacing, wanted, strict=True))


def edge_to_edge(old: Shape, new: Shape) -> NDArray[np.float64]:
    """Return the reach (4, 4) between two grids that cover the same box."""
    ratios = [before / after for before, after in zip(old, new, strict=True)]
    reach = np.diag([*ratios, 1.0])
    reach[:3, 3] = [(ratio - 1) / 2 for ratio in ratios]
    return reach


def resample_image(image: NDArray[Any], shape: Shape, reach: NDArray[np.float64] | None = None) -> NDArray[np.float32]:
    """Resample (D, H, W) linearly to ``shape``; smoothed first along axes that shrink by more than two.

    Args:
        image: what is resampled.
        shape: of the new grid.
        reach: voxel indices of the new grid to those of the old one (None: edge to edge). Beyond the image is 0.
    """
    image = image.astype(np.float32, copy=False)
    if reach is None:
        if image.shape == shape:
            return image
        reach = edge_to_edge(image.shape, shape)
    steps = np.sqrt((reach[:3, :3] ** 2).sum(1))
    shrink = [max(0.0, float(step) - 2) / 2 for step in steps]
    if any(shrink):
        image = gaussian_filter(image, shrink, mode="nearest")
    return _linear(image, shape, reach, is_vector=False)


def resample_channels(channels: NDArray[np.float32], shape: Shape) -> NDArray[np.float32]:
    """Resample (K, D, H, W), for example probabilities, linearly to (K, *shape), edge to edge."""
    if channels.shape[1:] == shape:
        return channels
    stacked = np.ascontiguousarray(np.moveaxis(channels, 0, -1))
    reach = edge_to_edge(channels.shape[1:], shape)
    resampled = _linear(stacked, shape, reach, is_vector=True).reshape(*shape, len(channels))
    return np.moveaxis(resampled, -1, 0)


def resample_labels(labels: NDArray[Any], shape: Shape) -> NDArray[np.uint8]:
    """Resample class indices (D, H, W) to ``shape``, edge to edge: in each voxel the class that covers most of it.

    Ties go to the higher class, never to background, so that small structures do not shrink.
    """
    if labels.shape == shape:
        return labels.astype(np.uint8, copy=False)
    covers = {value: resample_image(labels == value, shape) for value in np.unique(labels) if value}
    best = np.ones(shape, dtype=np.float32)
    for cover in covers.values():
        best -= cover
    result = np.zeros(shape, dtype=np.uint8)
    for value, cover in covers.items():
        result[cover >= best] = value
        np.maximum(best, cover, out=best)
    return result


def lost_structures(labels: NDArray[Any], resampled: NDArray[Any]) -> dict[int, int]:
    """Return, for each class, how many of its connected structures have not one voxel left after resampling.

    Args:
        labels: class indices (D, H, W) before.
        resampled: class indices after, edge to edge.
    """
    ratios = np.array(resampled.shape) / labels.shape
    lost = {}
    for value in np.unique(labels[labels > 0]):
        structures, count = label_structures(labels == value, np.ones((3, 3, 3)))
        voxels = np.argwhere(structures)
        there = ((voxels + 0.5) * ratios).astype(int)
        kept = voxels[resampled[tuple(there.T)] == value]
        left = len(np.unique(structures[tuple(kept.T)]))
        if left < count:
            lost[int(value)] = count - left
    return lost


def _linear(
    array: NDArray[np.float32], shape: Shape, reach: NDArray[np.float64], *, is_vector: bool
) -> NDArray[np.float32]:
    """Resample with SimpleITK, whose axes run the other way."""
    source = SimpleITK.GetImageFromArray(array, isVector=is_vector)
    transform = SimpleITK.AffineTransform(3)
    transform.SetMatrix(reach[:3, :3][::-1, ::-1].ravel().tolist())
    transform.SetTranslation(reach[:3, 3][::-1].tolist())
    resampler = SimpleITK.ResampleImageFilter()
    resampler.SetInterpolator(SimpleITK.sitkLinear)
    resampler.SetSize(list(shape)[::-1])
    resampler.SetTransform(transform)
    result: NDArray[np.float32] = SimpleITK.GetArrayFromImage(resampler.Execute(source))
    return result
