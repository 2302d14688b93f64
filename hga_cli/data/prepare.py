"""From the files of one case to normalised arrays on one grid: the same for training and for a new patient.

Read -> canonical orientation -> same grid for all -> crop to the foreground -> z-score per modality -> resample.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hga_cli.core.combinations import Combination, in_order
from hga_cli.core.errors import DataError, Problem, ProblemsError
from hga_cli.data.description import LABEL, Description
from hga_cli.data.discovery import RawCase
from hga_cli.imaging.normalise import Statistics, foreground_statistics, z_score
from hga_cli.imaging.resample import resample_image, resample_labels
from hga_cli.imaging.trail import Trail, Triple, canonical_affine, distance_mm, foreground_box, to_canonical
from hga_cli.imaging.volume import Volume, integers, read_channels, read_volume

GRID_TOLERANCE = 0.01
"""Grids count as one while no corner is further off than this, in voxels (of the smallest edge)."""
MANY_VALUES = 20
"""A label map with more undeclared values is probably an image."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Preparation:
    """How cases are prepared; a store and a model remember it, because a new patient must be prepared the same way."""

    spacing: Triple | None = None
    """Wanted voxel size in mm along R, A, S; None keeps that of the files."""
    clip: tuple[float, float] | None = None
    """Percentiles of the foreground of each modality that values are clipped to; None: no clipping."""
    align: bool = False
    """Resample images and label that lie on grids of their own onto one grid, instead of refusing the case."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedImage:
    """One modality: ``z`` = (raw - mean) / std after resampling. ``raw`` is kept where nothing was resampled."""

    raw: NDArray[Any]
    """(D, H, W) values of the file, on the grid of the trail."""
    statistics: Statistics

    @property
    def z(self) -> NDArray[np.float32]:
        """(D, H, W) z-scores."""
        return z_score(self.raw, self.statistics)


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedCase:
    """A case on one grid, with the trail back to its files."""

    case: str
    subject: str
    images: dict[str, PreparedImage]
    label: NDArray[np.uint8] | None
    """(D, H, W) class indices on the grid of the trail."""
    reference: NDArray[np.uint8] | None
    """Class indices of the whole file in canonical orientation: what is scored against."""
    label_values: dict[str, int]
    """Which value the label file holds for each class found in it."""
    trail: Trail
    like: Volume
    """The first image, without its array: what a label map is written like."""
    sources: dict[str, tuple[str, str]]
    """Role -> (file name, digest)."""
    warnings: list[str] = field(default_factory=list)

    def combination(self, modalities: Combination) -> Combination:
        """Return which modalities the case has."""
        return in_order(self.images, modalities)


def prepare(raw: RawCase, description: Description, spacing: Triple | None) -> PreparedCase:
    """Read and prepare one case.

    Args:
        raw: its files.
        description: modalities and labels of the data set.
        spacing: wanted voxel size in mm along R, A, S; None keeps that of the files.

    Raises:
        ProblemsError: everything that is wrong with the files of this case.
    """
    volumes, problems = _read(raw)
    problems += _grid_problems(raw.case, volumes)
    if problems:
        message = f"case '{raw.case}' cannot be used"
        raise ProblemsError(message, problems)
    warnings: list[str] = []
    arrays = {role: _finite(volume, role, warnings) for role, volume in volumes.items() if role != LABEL}
    statistics = _statistics(raw, arrays, warnings)
    like = volumes[next(role for role in description.modalities if role in statistics)]
    label, values = (None, {}) if raw.label is None else _classes(raw, volumes[LABEL], description)
    canonical = {role: to_canonical(arrays[role], volumes[role].affine) for role in statistics}
    trail = Trail.along(like.data.shape, like.affine, _box(canonical, label), spacing)
    return PreparedCase(
        case=raw.case,
        subject=raw.subject,
        images={
            role: PreparedImage(raw=_on_grid(canonical[role], trail), statistics=statistics[role])
            for role in in_order(statistics, description.modalities)
        },
        label=None if label is None else _label_on_grid(label, trail, raw.case, description, warnings),
        reference=label,
        label_values=values,
        trail=trail,
        like=like,
        sources={role: (volume.path.name, volume.digest) for role, volume in volumes.items()},
        warnings=warnings,
    )


def _read(raw: RawCase) -> tuple[dict[str, Volume], list[Problem]]:
    volumes, problems = {}, []
    if raw.channels:
        return _read_channels(raw)
    files = raw.images if raw.label is None else {**raw.images, LABEL: raw.label}
    for role, path in files.items():
        try:
            volumes[role] = read_volume(path)
        except DataError as error:
            problems.append(Problem(case=raw.case, file=str(path), problem=error.message))
    return volumes, problems


def _read_channels(raw: RawCase) -> tuple[dict[str, Volume], list[Problem]]:
    path = next(iter(raw.images.values()))
    try:
        volumes = read_channels(path)
    except DataError as error:
        return {}, [Problem(case=raw.case, file=str(path), problem=error.message)]
    if len(volumes) != len(raw.channels):
        text = f"holds {len(volumes)} volumes but {len(raw.channels)} modalities are named"
        return {}, [Problem(case=raw.case, file=str(path), problem=text)]
    return dict(zip(raw.channels, volumes, strict=True)), []


def _grid_problems(case: str, volumes: dict[str, Volume]) -> list[Problem]:
    """Compare all grids, after turning each to canonical order, with the first one."""
    problems = []
    grids = {}
    for role, volume in volumes.items():
        if not np.isfinite(volume.affine).all() or abs(np.linalg.det(volume.affine[:3, :3])) < 1e-9:
            text = "its affine is not invertible, so nobody can say where it lies"
            problems.append(Problem(case=case, file=str(volume.path), problem=text))
        else:
            shape = to_canonical(volume.data, volume.affine).shape
            grids[role] = (shape, canonical_affine(volume.affine, volume.data.shape))
    for role, (shape, affine) in list(grids.items())[1:]:
        first, (shape_0, affine_0) = next(iter(grids.items()))
        edge = float(np.sqrt((affine_0[:3, :3] ** 2).sum(0)).min())
        if shape != shape_0:
            text = f"{role} is {_times(shape)} but {first} is {_times(shape_0)} (canonical order)"
        elif (far := distance_mm(affine, affine_0, shape)) > GRID_TOLERANCE * edge:
            text = f"{role} lies up to {far:.3g} mm away from {first}"
        else:
            continue
        problems.append(Problem(case=case, file=str(volumes[role].path), problem=text))
    return problems


def _finite(volume: Volume, role: str, warnings: list[str]) -> NDArray[Any]:
    """Return the array with NaN and infinity replaced by 0, and say how many there were."""
    if volume.data.dtype.kind != "f":
        return volume.data
    bad = ~np.isfinite(volume.data)
    if not bad.any():
        return volume.data
    warnings.append(f"{role}: {int(bad.sum())} voxels are NaN or infinite in '{volume.path.name}', set to 0")
    return np.where(bad, 0, volume.data)


def _statistics(raw: RawCase, arrays: dict[str, NDArray[Any]], warnings: list[str]) -> dict[str, Statistics]:
    """Return the statistics per modality; one that shows nothing counts as absent, and that is said."""
    found = {}
    for role, array in arrays.items():
        statistics = foreground_statistics(array)
        if statistics is None:
            warnings.append(f"{role}: '{raw.images[role].name}' is constant, it counts as absent")
        else:
            found[role] = statistics
    if not found:
        files = ", ".join(str(path) for path in raw.images.values())
        problem = Problem(case=raw.case, file=files, problem="every image is constant")
        message = f"case '{raw.case}' shows nothing"
        raise ProblemsError(message, [problem])
    return found


def _classes(raw: RawCase, volume: Volume, description: Description) -> tuple[NDArray[np.uint8], dict[str, int]]:
    """Return class indices in canonical order, and which value each class had in the file."""
    try:
        numbers = integers(volume)
    except DataError as error:
        raise ProblemsError(error.message, [_label_problem(raw, error.message)]) from None
    found = {int(value) for value in np.unique(numbers)} - {0}
    unknown = sorted(found - {value for entry in description.labels for value in entry.values})
    if unknown:
        text = f"holds {_few(unknown)}, which no label of '{description.name}' declares"
        text += "; is this an image?" if len(unknown) > MANY_VALUES else ""
        raise ProblemsError(text, [_label_problem(raw, text)])
    classes = np.zeros(numbers.shape, np.uint8)
    values: dict[str, int] = {}
    for index, entry in enumerate(description.labels, start=1):
        here = sorted(found & set(entry.values))
        if len(here) > 1:
            text = f"both {here[0]} and {here[1]} could mean '{entry.name}'; the convention cannot be guessed"
            raise ProblemsError(text, [_label_problem(raw, text)])
        for value in here:
            classes[numbers == value] = index
            values[entry.name] = value
    return to_canonical(classes, volume.affine), values


def _label_problem(raw: RawCase, text: str) -> Problem:
    return Problem(case=raw.case, file=str(raw.label), problem=text)


def _box(canonical: dict[str, NDArray[Any]], label: NDArray[np.uint8] | None) -> tuple[Any, Any]:
    masks = [array != 0 for array in canonical.values()]
    return foreground_box(masks if label is None else [*masks, label != 0])


def _on_grid(canonical: NDArray[Any], trail: Trail) -> NDArray[Any]:
    cropped = trail.crop(canonical)
    return np.ascontiguousarray(cropped if cropped.shape == trail.grid else resample_image(cropped, trail.grid))


def _label_on_grid(
    label: NDArray[np.uint8], trail: Trail, case: str, description: Description, warnings: list[str]
) -> NDArray[np.uint8]:
    resampled = resample_labels(np.ascontiguousarray(trail.crop(label)), trail.grid)
    for index in sorted(set(np.unique(label)) - set(np.unique(resampled))):
        name = description.labels[int(index) - 1].name
        warnings.append(
            f"label: '{name}' of case '{case}' ({int((label == index).sum())} voxels) vanishes when resampled"
        )
    return resampled


def _few(values: list[int]) -> str:
    shown = ", ".join(str(value) for value in values[:6])
    return f"the values {shown}" + (f" and {len(values) - 6} more" if len(values) > 6 else "")


def _times(shape: tuple[int, ...]) -> str:
    return "x".join(str(size) for size in shape)
