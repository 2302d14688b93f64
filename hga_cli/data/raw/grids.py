"""Whether the files of a case lie on one grid and, where that is asked for, how they are brought onto one."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hga_cli.core.errors import Problem
from hga_cli.data.raw.description import LABEL, Description
from hga_cli.imaging.resample import Shape, resample_image
from hga_cli.imaging.trail import canonical_affine, distance_mm, to_canonical
from hga_cli.imaging.volume import Volume, times

GRID_TOLERANCE = 0.01
"""Grids count as one while no corner is further off than this, in voxels (of the smallest edge)."""
FLAT = 1e-6
"""A grid whose voxels fill less than this share of the box of their edges has no depth."""
LITTLE = 0.5
"""Less common ground than this share of a grid is said."""


def unusable_affines(case: str, volumes: dict[str, Volume]) -> list[Problem]:
    """Return the files of which nobody can say where they lie."""
    text = "its affine is not invertible, so nobody can say where it lies; convert it again"
    return [
        Problem(case=case, file=str(volume.path), problem=text)
        for volume in volumes.values()
        if not _is_invertible(volume.affine)
    ]


def grid_problems(case: str, volumes: dict[str, Volume]) -> list[Problem]:
    """Compare all grids with the first one, in the order of the files and in canonical order."""
    first = next(iter(volumes), "")
    problems = []
    for role, volume in volumes.items():
        if _is_same_grid(volume, volumes[first]):
            continue
        far = _distance(volume, volumes[first])
        (shape, affine), (shape_0, affine_0) = _canonical(volume), _canonical(volumes[first])
        corners = distance_mm(affine, affine_0, shape, shape_0) if math.isinf(far) else far
        where = f"up to {corners:.3g} mm away from {first} ('{volumes[first].path.name}')"
        text = f"{role} lies {where}"
        if math.isinf(far):
            text = f"{role} is {times(shape)} but {first} is {times(shape_0)} (canonical order); it reaches {where}"
        text += "; --align would resample it"
        problems.append(Problem(case=case, file=str(volume.path), problem=text))
    return problems


def aligned(
    case: str, volumes: dict[str, Volume], description: Description
) -> tuple[dict[str, Volume], list[str], list[Problem]]:
    """Resample everything onto one grid: that of the label, else that of the first modality of the data set.

    So a label is never resampled, loses nothing, and is scored as the expert drew it. Images are resampled linearly
    (smoothed before where voxels become much larger). Beyond an image is 0, as where it is empty.

    Args:
        case: its id.
        volumes: images without NaN, and the label if there is one.
        description: order of the modalities.

    Returns:
        The volumes on one grid, what should be said, and files that share no ground with the reference.
    """
    reference = volumes[next(role for role in (LABEL, *description.modalities) if role in volumes)]
    result, warnings, problems = dict(volumes), [], []
    for role, volume in volumes.items():
        if _is_same_grid(volume, reference):
            continue
        reach = np.linalg.inv(volume.affine) @ reference.affine
        common = _common(reach, reference.data.shape, volume.data.shape)
        data = resample_image(volume.data, reference.data.shape, reach)
        if common == 0 or (volume.data.any() and not data.any()):
            text = f"shares no ground with '{reference.path.name}'"
            if common:
                text = f"is thinner than the voxels of '{reference.path.name}', or empty there: nothing of it is left"
            text += "; so it cannot be aligned; leave it out, or the case"
            problems.append(Problem(case=case, file=str(volume.path), problem=text))
            continue
        warnings.append(f"{role}: resampled onto the grid of '{reference.path.name}'")
        if common < LITTLE:
            warnings.append(f"{role}: covers only {100 * common:.2g}% of the grid of '{reference.path.name}'")
        result[role] = replace(volume, data=data, affine=reference.affine, header=reference.header)
    return result, warnings, problems


def turned(array: NDArray[Any], volume: Volume, like: Volume) -> NDArray[Any]:
    """Turn the array of a file to canonical order, as that of ``like`` is turned where both lie alike in their files.

    Near 45 degrees a difference of 1e-6 between two affines makes other axes canonical.
    """
    alike = _apart(volume, like) <= 2 * GRID_TOLERANCE * _edge(like)
    return to_canonical(array, (like if alike else volume).affine)


def _is_invertible(affine: NDArray[np.float64]) -> bool:
    """Tell whether the axes of a grid span a volume, whatever the size of a voxel."""
    axes = affine[:3, :3]
    box = np.sqrt((axes**2).sum(0)).prod()
    return bool(np.isfinite(affine).all() and abs(np.linalg.det(axes)) > FLAT * box)


def _common(reach: NDArray[np.float64], shape: Shape, other: Shape) -> float:
    """Return the share of a grid that lies inside another one; looked at from the smaller one, perhaps a thin slab."""
    times_larger = abs(float(np.linalg.det(reach[:3, :3]))) * math.prod(shape) / math.prod(other)
    if times_larger <= 1:
        return _inside(reach, shape, other)
    return _inside(np.linalg.inv(reach).astype(np.float64), other, shape) / times_larger


def _inside(reach: NDArray[np.float64], shape: Shape, other: Shape) -> float:
    """Return the share of a grid that lies inside another one, looking at 17 points along each axis."""
    axes = [np.linspace(0, size - 1, 17) for size in shape]
    points = np.stack([*np.meshgrid(*axes, indexing="ij"), np.ones((17,) * 3)]).reshape(4, -1)
    there = (reach @ points)[:3]
    limits = np.array(other)[:, None] - 0.5
    return float(((there >= -0.5) & (there <= limits)).all(0).mean())


def _is_same_grid(one: Volume, other: Volume) -> bool:
    return _distance(one, other) <= GRID_TOLERANCE * _edge(other)


def _distance(one: Volume, other: Volume) -> float:
    """Return how far apart (mm) the corners lie, in the order of the files or else in canonical order.

    Infinity: the shapes differ in both.
    """
    (shape, affine), (shape_0, affine_0) = _canonical(one), _canonical(other)
    canonical = distance_mm(affine, affine_0, shape, shape_0) if shape == shape_0 else math.inf
    return min(canonical, _apart(one, other))


def _apart(one: Volume, other: Volume) -> float:
    """Return how far apart (mm) the corners lie, in the order of the files; infinity: the shapes differ."""
    shape, shape_0 = one.data.shape, other.data.shape
    return distance_mm(one.affine, other.affine, shape, shape_0) if shape == shape_0 else math.inf


def _edge(volume: Volume) -> float:
    """Return the smallest edge of a voxel in mm."""
    return float(np.sqrt((volume.affine[:3, :3] ** 2).sum(0)).min())


def _canonical(volume: Volume) -> tuple[Shape, NDArray[np.float64]]:
    shape = to_canonical(volume.data, volume.affine).shape
    return shape, canonical_affine(volume.affine, volume.data.shape)
