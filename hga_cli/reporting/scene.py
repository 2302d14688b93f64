"""What is drawn of a case: one scan in shades of grey, and label maps that lie on it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hga_cli.imaging.resample import resample_image
from hga_cli.imaging.trail import Trail, Triple
from hga_cli.metrics.regions import Region

AXES = {"sagittal": 0, "coronal": 1, "axial": 2}
"""Name of a plane -> the axis it stands on."""
COLOURS = ("#ffb000", "#ff5c8a", "#4cc9f0", "#7ddf64", "#c77dff", "#ff7b3d")
"""Of regions in order, again from the start where they are more: told apart on grey, also by colour-blind eyes."""
BRIGHTEST = 99.5
"""Percentile of the foreground that is white."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """A case inside its crop box, on the voxels of its file, in canonical orientation."""

    modality: str
    grey: NDArray[np.uint8]
    """(D, H, W), 0 black."""
    labels: Mapping[str, NDArray[np.uint8]]
    """``prediction``, perhaps also ``reference`` -> class indices (D, H, W)."""
    regions: Sequence[Region]
    """What is outlined: see ``drawn_regions``."""
    spacing: Triple
    """Voxel size in mm."""
    start: tuple[int, ...]
    """First voxel of the box in the whole volume."""
    whole: tuple[int, ...]
    """Shape of the whole volume."""

    @classmethod
    def of(
        cls,
        modality: str,
        z: NDArray[np.float32],
        trail: Trail,
        labels: Mapping[str, NDArray[np.uint8]],
        regions: Sequence[Region],
    ) -> "Scene":
        """Return what is drawn of a case.

        Args:
            modality: the scan.
            z: its values (D, H, W) on the grid of the trail.
            trail: the way from this grid to the file.
            labels: class indices of the whole canonical volume.
            regions: all that are scored.
        """
        return cls(
            modality=modality,
            grey=shades(resample_image(z, trail.box_shape)),
            labels={name: trail.crop(one) for name, one in labels.items()},
            regions=drawn_regions(regions),
            spacing=trail.original_spacing,
            start=trail.start,
            whole=next(iter(labels.values())).shape,
        )

    def foreground(self, axis: int) -> NDArray[np.int64]:
        """Return how many voxels of each slice along an axis have a label in any of the label maps."""
        found = np.any([one > 0 for one in self.labels.values()], axis=0)
        counts: NDArray[np.int64] = np.count_nonzero(found, axis=tuple(other for other in range(3) if other != axis))
        return counts

    def masks(self, what: str, axis: int, place: int) -> list[NDArray[np.bool_]]:
        """Return the region masks (rows, columns) of a label map in a slice, as a reader looks at it."""
        seen = plane(self.labels[what], axis, place)
        return [region.mask(seen) for region in self.regions]

    def slice_name(self, axis: int, place: int) -> str:
        """Return ``axial slice 84 of 155``, counted from 1 in the whole volume."""
        name = next(name for name, one in AXES.items() if one == axis)
        return f"{name} slice {self.start[axis] + place + 1} of {self.whole[axis]}"


def drawn_regions(regions: Sequence[Region]) -> list[Region]:
    """Return regions that look different: of several with the same classes (ET, ETpp) the first."""
    first: dict[tuple[int, ...], Region] = {}
    for region in regions:
        first.setdefault(region.classes, region)
    return list(first.values())


def plane(volume: NDArray[np.uint8], axis: int, place: int) -> NDArray[np.uint8]:
    """Return a slice (rows, columns) as radiologists look at it: superior or anterior up, the patient's right left."""
    seen: NDArray[np.uint8] = np.moveaxis(volume, axis, 0)[place][::-1, ::-1].T
    return seen


def plane_spacing(spacing: Triple, axis: int) -> tuple[float, float]:
    """Return the height and width of a pixel of a slice in mm."""
    width, height = (size for other, size in enumerate(spacing) if other != axis)
    return height, width


def shades(image: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Turn values (D, H, W) into shades of grey; the lowest value is the background, and black."""
    inside = image[image > image.min()]
    if not inside.size:
        return np.zeros(image.shape, np.uint8)
    low, high = np.percentile(inside, (0.5, BRIGHTEST))
    scaled: NDArray[np.float32] = ((image - low) / max(high - low, 1e-6)).clip(0, 1)
    return (scaled * 255).astype(np.uint8)
