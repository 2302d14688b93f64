"""Whether the files of a case lie on one grid and, where that is asked for, how they are brought onto one."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from hga_cli.core.errors import Problem
from hga_cli.data.raw.description import LABEL, Description
from hga_cli.imaging.resample import Shape, resample_image
from hga_cli.imaging.trail import canonical_affine, distance_mm, to_canonical
from hga_cli.imaging.volume import Volume, times

GRID_TOLERANCE = 0.01
"""Grids count as one while no corner is further off than this, in voxels (of the smallest edge)."""
LITTLE = 0.5
"""Less common ground than this share of a grid is said."""


def unusable_affines(case: str, volumes: dict[str, Volume]) -> list[Problem]:
    """Return the files of which nobody can say where they lie."""
    text = "its affine is not invertible, so nobody can say where it lies"
    return [
        Problem(case=case, file=str(volume.path), problem=text)
        for volume in volumes.values()
        if not np.isfinite(volume.affine).all() or abs(np.linalg.det(volume.affine[:3, :3])) < 1e-9
    ]


def grid_problems(case: str, volumes: dict[str, Volume]) -> list[Problem]:
    """Compare all grids, after turning each to canonical order, with the first one."""
    first = next(iter(volumes), "")
    problems = []
    for role, volume in volumes.items():
        if _is_same_grid(volume, volumes[first]):
            continue
        (shape, affine), (shape_0, affine_0) = _canonical(volume), _canonical(volumes[first])
        far = distance_mm(affine, affine_0, shape, shape_0)
        where = f"up to {far:.3g} mm away from {first} ('{volumes[first].path.name}')"
        text = f"{role} lies {where}"
        if shape != shape_0:
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
        volumes: images, and the label if there is one.
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
        if common == 0:
            text = f"shares no ground with '{reference.path.name}', so it cannot be aligned"
            problems.append(Problem(case=case, file=str(volume.path), problem=text))
            continue
        warnings.append(f"{role}: resampled onto the grid of '{reference.path.name}'")
        if common < LITTLE:
            warnings.append(f"{role}: covers only {common:.0%} of the grid of '{reference.path.name}'")
        data = resample_image(np.nan_to_num(volume.data, posinf=0, neginf=0), reference.data.shape, reach)
        result[role] = replace(volume, data=data, affine=reference.affine, header=reference.header)
    return result, warnings, problems


def _common(reach: NDArray[np.float64], shape: Shape, other: Shape) -> float:
    """Return the share of a grid that lies inside another one, looking at 17 points along each axis."""
    axes = [np.linspace(0, size - 1, 17) for size in shape]
    points = np.stack([*np.meshgrid(*axes, indexing="ij"), np.ones((17,) * 3)]).reshape(4, -1)
    there = (reach @ points)[:3]
    limits = np.array(other)[:, None] - 0.5
    return float(((there >= -0.5) & (there <= limits)).all(0).mean())


def _is_same_grid(one: Volume, other: Volume) -> bool:
    (shape, affine), (shape_0, affine_0) = _canonical(one), _canonical(other)
    edge = float(np.sqrt((affine_0[:3, :3] ** 2).sum(0)).min())
    return shape == shape_0 and distance_mm(affine, affine_0, shape, shape_0) <= GRID_TOLERANCE * edge


def _canonical(volume: Volume) -> tuple[Shape, NDArray[np.float64]]:
    shape = to_canonical(volume.data, volume.affine).shape
    return shape, canonical_affine(volume.affine, volume.data.shape)
