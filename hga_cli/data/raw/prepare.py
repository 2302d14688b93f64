"""From the files of one case to normalised arrays on one grid: the same for training and for a new patient.

Read -> NaN becomes 0 -> classes of the label -> same grid for all -> clip -> canonical orientation -> crop to the
foreground -> z-score per modality -> resample.
"""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hga_cli.core.combinations import Combination, in_order
from hga_cli.core.errors import DataError, Problem, ProblemsError
from hga_cli.data.raw.description import LABEL, Description
from hga_cli.data.raw.discovery import RawCase
from hga_cli.data.raw.grids import aligned, grid_problems, turned, unusable_affines
from hga_cli.data.raw.labels import Classes, label_voxels, lost_label_warnings, read_classes
from hga_cli.imaging.arrays import SUFFIX, read_array_channels, read_array_label
from hga_cli.imaging.normalise import Statistics, clip_to_percentiles, filled_border, foreground_statistics, z_score
from hga_cli.imaging.resample import resample_image, resample_labels
from hga_cli.imaging.trail import Trail, Triple, foreground_box
from hga_cli.imaging.volume import Volume, read_channels, read_volume


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
    label_voxels: dict[str, int]
    """Voxels of each class that occurs in ``reference``."""
    trail: Trail
    like: Volume
    """The first image, without its array: what a label map is written like."""
    sources: dict[str, tuple[str, str, int, int]]
    """Role -> (file name, digest, size in bytes, time of the last change in ns)."""
    warnings: list[str] = field(default_factory=list)
    preparation: Preparation = field(default_factory=Preparation)
    """How it was prepared."""

    def combination(self, modalities: Combination) -> Combination:
        """Return which modalities the case has."""
        return in_order(self.images, modalities)


def prepare(raw: RawCase, description: Description, how: Preparation) -> PreparedCase:
    """Read and prepare one case.

    Args:
        raw: its files.
        description: modalities and labels of the data set.
        how: voxel size, clipping, alignment.

    Raises:
        ProblemsError: everything that is wrong with the files of this case.
    """
    warnings = list(raw.warnings)
    volumes, classes = _usable(raw, description, how, warnings)
    arrays = {role: _clipped(volumes[role].data, how) for role in raw.images}
    statistics = _statistics(raw, arrays, warnings)
    like = volumes[next(role for role in description.modalities if role in statistics)]
    reference = turned(volumes[LABEL].data, volumes[LABEL], like) if classes else None
    canonical = {role: turned(arrays[role], volumes[role], like) for role in statistics}
    shown = [*canonical.values(), *([] if reference is None else [reference])]
    trail = Trail.along(like.data.shape, like.affine, foreground_box(shown), how.spacing)
    return PreparedCase(
        case=raw.case,
        subject=raw.subject,
        images={
            role: PreparedImage(raw=_on_grid(canonical[role], trail), statistics=statistics[role])
            for role in in_order(statistics, description.modalities)
        },
        label=None if reference is None else _label_on_grid(reference, trail, description, warnings),
        reference=reference,
        label_values=classes.values if classes else {},
        label_voxels={} if reference is None else label_voxels(reference, description),
        trail=trail,
        like=like,
        sources={role: _source(volume) for role, volume in volumes.items()},
        warnings=warnings,
        preparation=how,
    )


def _usable(
    raw: RawCase, description: Description, how: Preparation, warnings: list[str]
) -> tuple[dict[str, Volume], Classes | None]:
    """Read all files onto one grid, the label as class indices; collect everything that is wrong with them first."""
    volumes, problems = _read(raw, description)
    volumes |= {role: _finite(volumes[role], role, warnings) for role in raw.images if role in volumes}
    classes = None
    if LABEL in volumes:
        try:
            classes = read_classes(volumes[LABEL], description)
            volumes[LABEL] = classes.volume
            warnings += classes.warnings
        except DataError as error:
            problems.append(_problem(raw, volumes[LABEL].path, error))
    lost = unusable_affines(raw.case, volumes)
    problems += lost
    if not lost and not how.align:
        problems += grid_problems(raw.case, volumes)
    elif not problems:
        volumes, said, apart = aligned(raw.case, volumes, description)
        warnings += said
        problems += apart
    if problems:
        message = f"case '{raw.case}' cannot be used"
        raise ProblemsError(message, problems)
    return volumes, classes


def _read(raw: RawCase, description: Description) -> tuple[dict[str, Volume], list[Problem]]:
    """Read every file that can be read, and say what is wrong with the others."""
    volumes: dict[str, Volume] = {}
    problems = []
    files = {} if raw.channels else dict(raw.images)
    if raw.label is not None:
        files[LABEL] = raw.label
    if raw.channels:
        path = next(iter(raw.images.values()))
        try:
            volumes = _named_channels(raw, _read_channels(path, description))
        except DataError as error:
            problems.append(_problem(raw, path, error))
    for role, path in files.items():
        try:
            volumes[role] = _read_one(path, description)
        except DataError as error:
            problems.append(_problem(raw, path, error))
    return volumes, problems


def _problem(raw: RawCase, path: Path, error: DataError) -> Problem:
    """Return an error about a file as a problem of its case, with what to do about it."""
    said = error.message.removeprefix(f"'{path}' ")
    return Problem(case=raw.case, file=str(path), problem=f"{said}; {error.hint}" if error.hint else said)


def _read_one(path: Path, description: Description) -> Volume:
    if path.suffix == SUFFIX:
        return read_array_label(path, description.layout.orientation, description.layout.spacing)
    return read_volume(path)


def _read_channels(path: Path, description: Description) -> list[Volume]:
    if path.suffix == SUFFIX:
        return read_array_channels(path, description.layout.orientation, description.layout.spacing)
    return read_channels(path)


def _named_channels(raw: RawCase, volumes: list[Volume]) -> dict[str, Volume]:
    if len(volumes) != len(raw.channels):
        message = (
            f"holds {len(volumes)} volumes but {len(raw.channels)} modalities are named: {', '.join(raw.channels)}"
        )
        raise DataError(message, hint="name one modality for each volume along the fourth axis, in their order")
    return dict(zip(raw.channels, volumes, strict=True))


def _clipped(array: NDArray[Any], how: Preparation) -> NDArray[Any]:
    return array if how.clip is None else clip_to_percentiles(array, how.clip)


def _finite(volume: Volume, role: str, warnings: list[str]) -> Volume:
    """Return the volume with NaN and infinity replaced by 0, and say how many the file holds."""
    if volume.data.dtype.kind != "f":
        return volume
    bad = ~np.isfinite(volume.data)
    if not bad.any():
        return volume
    warnings.append(f"{role}: {int(bad.sum())} voxels are NaN or infinite in '{volume.path.name}', set to 0")
    return replace(volume, data=np.where(bad, 0, volume.data))


def _statistics(raw: RawCase, arrays: dict[str, NDArray[Any]], warnings: list[str]) -> dict[str, Statistics]:
    """Return the statistics per modality; one that shows nothing counts as absent, and that is said."""
    found = {}
    for role, array in arrays.items():
        statistics = foreground_statistics(array)
        if statistics is None:
            warnings.append(f"{role}: '{raw.images[role].name}' is constant, it counts as absent")
            continue
        found[role] = statistics
        border = filled_border(array)
        if border is not None:
            text = f"background of '{raw.images[role].name}' is {border:g}, not 0, so it counts as foreground"
            warnings.append(f"{role}: {text}; subtract it")
    if not found:
        files = ", ".join(str(path) for path in raw.images.values())
        problem = Problem(case=raw.case, file=files, problem="every image is constant")
        message = f"case '{raw.case}' shows nothing"
        raise ProblemsError(message, [problem])
    return found


def _on_grid(canonical: NDArray[Any], trail: Trail) -> NDArray[Any]:
    cropped = trail.crop(canonical)
    return np.ascontiguousarray(cropped if cropped.shape == trail.grid else resample_image(cropped, trail.grid))


def _label_on_grid(
    label: NDArray[np.uint8], trail: Trail, description: Description, warnings: list[str]
) -> NDArray[np.uint8]:
    cropped = np.ascontiguousarray(trail.crop(label))
    resampled = resample_labels(cropped, trail.grid)
    if cropped.shape != trail.grid:
        warnings += lost_label_warnings(cropped, resampled, description)
    return resampled


def _source(volume: Volume) -> tuple[str, str, int, int]:
    about = volume.path.stat()
    return volume.path.name, volume.digest, about.st_size, about.st_mtime_ns
