"""Resampling between grids that cover the same box, edge to edge.

A grid of n voxels and one of m voxels cover the same length, so a voxel of the second is n/m voxels of the first; no
affine is needed, and going back restores the shape exactly.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import SimpleITK
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

Shape = tuple[int, ...]


def shape_at(shape: Sequence[int], spacing: Sequence[float], wanted: Sequence[float]) -> Shape:
    """Return the shape (voxels) that covers ``shape`` x ``spacing`` (mm) with voxels of about ``wanted`` mm."""
    return tuple(max(1, round(size * old / new)) for size, old, new in zip(shape, spacing, wanted, strict=True))


def resample_image(image: NDArray[Any], shape: Shape) -> NDArray[np.float32]:
    """Resample (D, H, W) linearly to ``shape``; smoothed first along axes that shrink by more than two."""
    image = image.astype(np.float32, copy=False)
    if image.shape == shape:
        return image
    shrink = [max(0.0, old / new - 2) / 2 for old, new in zip(image.shape, shape, strict=True)]
    if any(shrink):
        image = gaussian_filter(image, shrink, mode="nearest")
    return _linear(image, shape, is_vector=False)


def resample_channels(channels: NDArray[np.float32], shape: Shape) -> NDArray[np.float32]:
    """Resample (K, D, H, W), for example probabilities, linearly to (K, *shape)."""
    if channels.shape[1:] == shape:
        return channels
    stacked = np.ascontiguousarray(np.moveaxis(channels, 0, -1))
    resampled = _linear(stacked, shape, is_vector=True).reshape(*shape, len(channels))
    return np.moveaxis(resampled, -1, 0)


def resample_labels(labels: NDArray[Any], shape: Shape) -> NDArray[np.uint8]:
    """Resample class indices (D, H, W) to ``shape``: in each voxel the class that covers most of it.

    Ties go to the higher class, never to background, so that small structures do not shrink.
    """
    if labels.shape == shape:
        return labels.astype(np.uint8, copy=False)
    best = np.full(shape, -1, dtype=np.float32)
    result = np.zeros(shape, dtype=np.uint8)
    for value in np.unique(labels):
        cover = resample_image(labels == value, shape)
        result[cover >= best] = value
        np.maximum(best, cover, out=best)
    return result


def _linear(array: NDArray[np.float32], shape: Shape, *, is_vector: bool) -> NDArray[np.float32]:
    source = SimpleITK.GetImageFromArray(array, isVector=is_vector)
    ratios = [old / new for old, new in zip(array.shape[: len(shape)], shape, strict=True)][::-1]
    resampler = SimpleITK.ResampleImageFilter()
    resampler.SetInterpolator(SimpleITK.sitkLinear)
    resampler.SetSize(list(shape)[::-1])
    resampler.SetOutputSpacing(ratios)
    resampler.SetOutputOrigin([(ratio - 1) / 2 for ratio in ratios])
    result: NDArray[np.float32] = SimpleITK.GetArrayFromImage(resampler.Execute(source))
    return result
