"""Arrays without geometry (``.npy``), as preprocessed data sets are passed around.

Such images are z-scores: what was 0 in the scan is a negative constant. That constant is taken off, so that background
is 0 again; z-scores of the result are those of the scan, because they do not depend on offset and scale.
"""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hga_cli.core.errors import DataError
from hga_cli.imaging.trail import Triple
from hga_cli.imaging.volume import Volume, file_digest, kind_of, times

SUFFIX = ".npy"
LEAST_BACKGROUND = 0.01
"""The most frequent value is background from this share of the voxels on."""


def read_array_label(path: Path, orientation: str, spacing: Triple) -> Volume:
    """Read (D, H, W) of a label map.

    Args:
        path: of the file.
        orientation: direction of the three axes, for example ``LPS``.
        spacing: voxel size in mm, in the order of the axes.

    Raises:
        DataError: no array, damaged, empty, no numbers, or not three axes.
    """
    array, digest = _load(path, (3,))
    return _volume(path, array, digest, orientation, spacing)


def read_array_channels(path: Path, orientation: str, spacing: Triple) -> list[Volume]:
    """Read (D, H, W, M) as one volume for each modality, with 0 as background; three axes are one modality.

    Args:
        path: of the file.
        orientation: direction of the first three axes, for example ``LPS``.
        spacing: voxel size in mm, in the order of the axes.

    Raises:
        DataError: no array, damaged, empty, no numbers, or other than three or four axes.
    """
    array, digest = _load(path, (3, 4))
    array = array.reshape(*array.shape[:3], -1)
    channels = [np.ascontiguousarray(array[..., index]) for index in range(array.shape[3])]
    return [_volume(path, one - background_value(one), digest, orientation, spacing) for one in channels]


def background_value(image: NDArray[Any]) -> float:
    """Return the value of what was empty before z-scoring: the one all corners have, or else the most frequent one.

    0 where no value fills a hundredth of the image, because then nothing is empty.
    """
    corners = image[:: max(1, image.shape[0] - 1), :: max(1, image.shape[1] - 1), :: max(1, image.shape[2] - 1)]
    if (corners == corners.flat[0]).all():
        return float(corners.flat[0])
    values, counts = np.unique(image[np.isfinite(image)], return_counts=True)
    largest = int(counts.argmax()) if counts.size else 0
    return float(values[largest]) if counts.size and counts[largest] >= LEAST_BACKGROUND * image.size else 0.0


def _load(path: Path, axes: tuple[int, ...]) -> tuple[NDArray[Any], str]:
    try:
        digest = file_digest(path)
        array: NDArray[Any] = np.load(path, allow_pickle=False)
    except OSError as error:
        message = f"'{path}' cannot be read: {error.strerror or error}"
        raise DataError(message) from None
    except (ValueError, EOFError) as error:
        message = f"'{path}' is no whole array file: {error}"
        raise DataError(message, hint="copy it again") from None
    if array.dtype.kind not in "biuf" or array.ndim not in axes or array.size == 0:
        expected = " or ".join(map(str, axes))
        message = (
            f"'{path}' holds {kind_of(array.dtype)}, shape {times(array.shape)}, expected numbers, {expected} axes"
        )
        raise DataError(message, hint="images are (H, W, D, modalities), labels (H, W, D)")
    return array.astype(array.dtype.newbyteorder("="), copy=False), digest


def _volume(path: Path, array: NDArray[Any], digest: str, orientation: str, spacing: Triple) -> Volume:
    """Lay an array on a grid with its first voxel at the origin."""
    signs = [1.0 if code in "RAS" else -1.0 for code in orientation]
    affine = np.diag([*(sign * size for sign, size in zip(signs, spacing, strict=True)), 1.0])
    return Volume(path=path, data=array, affine=affine, header=None, digest=digest)
