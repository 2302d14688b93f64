"""From the values of a label file to class indices - and what looks like no label map."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hga_cli.core.errors import DataError
from hga_cli.data.raw.description import Description
from hga_cli.imaging.resample import lost_structures
from hga_cli.imaging.trail import bounding_box
from hga_cli.imaging.volume import Volume, integers

MANY_VALUES = 20
"""A label map with more undeclared values is no class map."""
DRAWN = 255
"""What drawing programs write for "here"."""
UNGUESSABLE = "the convention cannot be guessed"
"""Said of a file that makes every other file of its data set doubtful."""
OTHER_FILE = "a label map holds one integer per class; is it another file that should be the label?"


@dataclass(frozen=True, slots=True, kw_only=True)
class Classes:
    """A label file, understood."""

    volume: Volume
    """Class indices, uint8, in the order of the file."""
    values: dict[str, int]
    """Which value the file holds for each class found in it."""
    warnings: list[str]


def read_classes(volume: Volume, description: Description) -> Classes:
    """Map the values of a label file to class indices.

    Raises:
        DataError: values that are no integers, that no label declares, or two that could mean the same label.
    """
    numbers = integers(volume)
    warnings = []
    if volume.data.dtype.kind == "f" and (numbers != volume.data).any():
        far = float(np.abs(volume.data - numbers).max())
        warnings.append(f"label: values of '{volume.path.name}' are up to {far:.2g} away from integers, rounded")
    box = bounding_box(numbers)
    inside = tuple(slice(*ends) for ends in zip(*box, strict=True)) if box else (slice(0),) * numbers.ndim
    part = numbers[inside]
    found = {int(value) for value in np.unique(part)} - {0}
    _require_declared(found, description)
    classes = np.zeros(numbers.shape, np.uint8)
    values: dict[str, int] = {}
    for index, entry in enumerate(description.labels, start=1):
        here = sorted(found & set(entry.values))
        if len(here) > 1:
            message = f"both {here[0]} and {here[1]} could mean '{entry.name}'; {UNGUESSABLE}"
            raise DataError(message, hint=entry.doubt or "say in the description which value means what")
        for value in here:
            classes[inside][part == value] = index
            values[entry.name] = value
    return Classes(volume=replace(volume, data=classes), values=values, warnings=warnings)


def label_voxels(classes: NDArray[np.uint8], description: Description) -> dict[str, int]:
    """Return how many voxels each class has in class indices (D, H, W); classes that do not occur are left out."""
    counts = np.bincount(classes[classes > 0], minlength=description.classes)
    return {entry.name: int(count) for entry, count in zip(description.labels, counts[1:], strict=True) if count}


def lost_label_warnings(before: NDArray[Any], after: NDArray[Any], description: Description) -> list[str]:
    """Say which structures have not one voxel left after resampling (class indices before and after)."""
    warnings = []
    for index, count in lost_structures(before, after).items():
        name, voxels = description.labels[index - 1].name, int((before == index).sum())
        if (after == index).any():
            warnings.append(f"label: {count} separate structures of '{name}' vanish when resampled")
        else:
            warnings.append(f"label: '{name}' ({voxels} voxels) vanishes when resampled")
    return warnings


def _require_declared(found: set[int], description: Description) -> None:
    unknown = sorted(found - {value for entry in description.labels for value in entry.values})
    if not unknown:
        return
    if description.ignore_label in unknown:
        message = f"holds the value {description.ignore_label}, 'ignore': voxels that nobody labelled"
        raise DataError(
            message, hint="hga trains on whole label maps: label them, set them to 0 where nothing is, or skip the case"
        )
    if len(unknown) > MANY_VALUES and unknown[0] < 0:
        message = f"looks like an image: {len(found)} different values, minimum {unknown[0]}"
        raise DataError(message, hint=OTHER_FILE)
    if len(unknown) > MANY_VALUES:
        message = f"is no class map: {len(found)} different values up to {unknown[-1]}"
        raise DataError(message, hint=f"an image, or a mask with grey edges? {OTHER_FILE}")
    shown = ", ".join(map(str, unknown[:6])) + (f" and {len(unknown) - 6} more" if len(unknown) > 6 else "")
    message = f"holds the values {shown}, which no label of '{description.name}' declares"
    hint = "is it the right --dataset? its description says what values may mean"
    if found == {DRAWN}:
        hint = f"if {DRAWN} means '{description.labels[0].name}', add it to that label's values in the description"
    raise DataError(message, hint=hint)
