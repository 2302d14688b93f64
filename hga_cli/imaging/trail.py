"""Everything done to the grid of a case, and how to undo it.

The road: file order -> canonical orientation (RAS) -> crop to the foreground -> resample to the spacing of the network.
The way back takes class probabilities on the network's grid to a label map in the order and shape of the file.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, Self

import numpy as np
from nibabel.orientations import apply_orientation, axcodes2ornt, inv_ornt_aff, io_orientation, ornt_transform
from numpy.typing import NDArray

from hga_cli.imaging.resample import Shape, resample_channels, shape_at

Triple = tuple[float, float, float]
Box = tuple[Shape, Shape]
"""First voxel and one past the last one, along each axis."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trail:
    """The road of one case, in numbers that fit into an attribute of a file."""

    shape: Shape
    """Shape of the file, voxels."""
    affine: tuple[tuple[float, ...], ...]
    """(4, 4) affine of the file."""
    start: Shape
    """First voxel of the crop box, in canonical orientation."""
    stop: Shape
    """One past the last voxel of the crop box, in canonical orientation."""
    grid: Shape
    """Shape after resampling (equal to the box where nothing was resampled)."""

    @classmethod
    def along(cls, shape: Sequence[int], affine: NDArray[Any], box: Box, spacing: Triple | None) -> Self:
        """Build the trail of a file (``shape``, ``affine``), a crop box and a wanted spacing in mm (None: keep)."""
        size = tuple(stop - start for start, stop in zip(*box, strict=True))
        return cls(
            shape=tuple(int(number) for number in shape),
            affine=tuple(tuple(float(number) for number in row) for row in affine),
            start=box[0],
            stop=box[1],
            grid=size if spacing is None else shape_at(size, canonical_spacing(affine), spacing),
        )

    @property
    def box_shape(self) -> Shape:
        """Shape of the crop box before resampling."""
        return tuple(stop - start for start, stop in zip(self.start, self.stop, strict=True))

    @property
    def original_spacing(self) -> Triple:
        """Voxel size of the file in mm, in canonical order of axes."""
        return canonical_spacing(np.array(self.affine))

    @property
    def spacing(self) -> Triple:
        """Voxel size in mm after resampling."""
        sizes = zip(self.original_spacing, self.box_shape, self.grid, strict=True)
        first, second, third = (old * before / after for old, before, after in sizes)
        return first, second, third

    def crop(self, canonical: NDArray[Any]) -> NDArray[Any]:
        """Cut the box out of a canonical array (D, H, W)."""
        return canonical[tuple(slice(*ends) for ends in zip(self.start, self.stop, strict=True))]

    def uncrop(self, labels: NDArray[Any]) -> NDArray[Any]:
        """Put a label map of the box back into a canonical array of the whole file, background around it."""
        whole = np.zeros(to_canonical(np.empty(self.shape, bool), np.array(self.affine)).shape, labels.dtype)
        self.crop(whole)[...] = labels
        return whole

    def labels_in_box(self, probabilities: NDArray[np.float32]) -> NDArray[np.uint8]:
        """Return the most probable class in the box (before resampling) from (K, *grid) probabilities."""
        classes: NDArray[np.uint8] = resample_channels(probabilities, self.box_shape).argmax(0).astype(np.uint8)
        return classes

    def to_file(self, canonical: NDArray[Any]) -> NDArray[Any]:
        """Turn a canonical array of the whole volume back into the order of the file."""
        back = ornt_transform(axcodes2ornt(("R", "A", "S")), io_orientation(np.array(self.affine)))
        return np.ascontiguousarray(apply_orientation(canonical, back))


def to_canonical(array: NDArray[Any], affine: NDArray[Any]) -> NDArray[Any]:
    """Turn an array in the order of its file into the nearest canonical (RAS) order. No resampling, no copy."""
    turned: NDArray[Any] = apply_orientation(array, io_orientation(affine))
    return turned


def canonical_affine(affine: NDArray[Any], shape: Sequence[int]) -> NDArray[np.float64]:
    """Return the (4, 4) affine after ``to_canonical``."""
    result: NDArray[np.float64] = affine @ inv_ornt_aff(io_orientation(affine), tuple(shape))
    return result


def canonical_spacing(affine: NDArray[Any]) -> Triple:
    """Return the voxel size in mm along the R, A and S axes."""
    lengths = np.sqrt((np.asarray(affine)[:3, :3] ** 2).sum(0))
    order = np.argsort(io_orientation(affine)[:, 0])
    first, second, third = (float(lengths[axis]) for axis in order)
    return first, second, third


def distance_mm(left: NDArray[Any], right: NDArray[Any], shape: Sequence[int], other: Sequence[int]) -> float:
    """Return how far apart (mm) the corners of two grids lie, at most: affine ``left`` and ``shape``, the others."""
    corners = np.array(list(product((0, 1), repeat=3))).T
    (places, places_0) = (
        affine[:3, :3] @ (corners * (np.array(size)[:, None] - 1)) + affine[:3, 3:]
        for affine, size in ((left, shape), (right, other))
    )
    return float(np.sqrt(((places - places_0) ** 2).sum(0)).max())


def foreground_box(arrays: Sequence[NDArray[Any]]) -> Box:
    """Return the smallest box (start, stop) around what is not 0 in any array; everything if all are 0."""
    boxes = [box for box in map(bounding_box, arrays) if box is not None]
    if not boxes:
        return (0,) * arrays[0].ndim, arrays[0].shape
    starts, stops = zip(*boxes, strict=True)
    return tuple(map(min, zip(*starts, strict=True))), tuple(map(max, zip(*stops, strict=True)))


def bounding_box(array: NDArray[Any]) -> Box | None:
    """Return the smallest box (start, stop) around what is not 0 in (D, H, W), or None if nothing is."""
    inside = array != 0
    plane = inside.any(0)
    lines = [inside.any((1, 2)), plane.any(1), plane.any(0)]
    ends = [(int(places[0]), int(places[-1]) + 1) for line in lines if (places := np.flatnonzero(line)).size]
    return (tuple(start for start, _ in ends), tuple(stop for _, stop in ends)) if ends else None
