"""Random changes of training patches: drawn once, then applied to image and label alike.

After PASSION and HGA: crop, rotation in one plane, intensity, flips. Where we depart: intensity is drawn per modality,
not for each slice; angles are real numbers, not whole degrees; voxels that a rotation brings in from outside are
background, not -1.
"""

import math
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from hga_cli.core.settings import Augmentation


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What was drawn for one patch."""

    plane: tuple[int, int]
    angle: float
    """Degrees."""
    scale: tuple[float, ...]
    """One factor for each image."""
    shift: tuple[float, ...]
    """One number for each image, in standard deviations."""
    flips: tuple[int, ...]
    """Axes that are mirrored."""


def draw_change(generator: np.random.Generator, settings: Augmentation, *, dims: int, images: int) -> Change:
    """Draw a change for a patch with ``dims`` axes and ``images`` modalities."""
    planes = list(combinations(range(dims), 2))
    return Change(
        plane=planes[int(generator.integers(len(planes)))],
        angle=float(generator.uniform(-settings.rotation, settings.rotation)),
        scale=tuple(generator.uniform(1 - settings.scale, 1 + settings.scale, images).tolist()),
        shift=tuple(generator.uniform(-settings.shift, settings.shift, images).tolist()),
        flips=tuple(int(axis) for axis in np.flatnonzero(generator.random(dims) < settings.flip)),
    )


def apply_to_images(
    images: NDArray[np.float32], change: Change, background: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Change z-scores (m, *space); ``background`` (m) is what comes in from outside. Returns a new array."""
    factor = np.array(change.scale, np.float32), np.array(change.shift, np.float32)
    scale, shift = (values.reshape(-1, *[1] * (images.ndim - 1)) for values in factor)
    rotated = np.stack([_rotated(image, change, fill) for image, fill in zip(images, background, strict=True)])
    return np.ascontiguousarray(np.flip(rotated * scale + shift, tuple(axis + 1 for axis in change.flips)))


def apply_to_label(label: NDArray[np.uint8], change: Change) -> NDArray[np.uint8]:
    """Change class indices (*space); background comes in from outside. Returns a new array."""
    return np.ascontiguousarray(np.flip(_rotated(label, change, 0), change.flips))


def _rotated(array: NDArray[np.generic], change: Change, fill: float) -> NDArray[np.generic]:
    """Rotate in one plane, nearest neighbour: one index table for the plane serves all slices."""
    if change.angle == 0:
        return array
    first, second = (array.shape[axis] for axis in change.plane)
    rows, columns = np.meshgrid(np.arange(first), np.arange(second), indexing="ij")
    cosine, sine = math.cos(math.radians(change.angle)), math.sin(math.radians(change.angle))
    middle = (first - 1) / 2, (second - 1) / 2
    from_row = np.rint(cosine * (rows - middle[0]) - sine * (columns - middle[1]) + middle[0]).astype(int)
    from_column = np.rint(sine * (rows - middle[0]) + cosine * (columns - middle[1]) + middle[1]).astype(int)
    outside = (from_row < 0) | (from_row >= first) | (from_column < 0) | (from_column >= second)
    plane = np.moveaxis(array, change.plane, (0, 1))
    turned = plane[from_row.clip(0, first - 1), from_column.clip(0, second - 1)]
    turned[outside] = fill
    return np.moveaxis(turned, (0, 1), change.plane)
