"""Regions: the unions of classes that are scored, such as whole tumour, tumour core and enhancing tumour."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Region:
    """A union of classes.

    The regions of BraTS, with the classes of the paper's code (1 necrosis, 2 oedema, 3 enhancing tumour): WT 1 2 3,
    TC 1 3, ET 3, and ETpp 3 with a minimum of 500 voxels, the usual post-processing.

    Args:
        name: heading of the column, such as "WT".
        classes: class indices, all above 0, the background.
        minimum_voxels: a prediction with fewer voxels counts as empty; a reference never does.

    Raises:
        ValueError: no class, or one that is not above 0, or a negative minimum.
    """

    name: str
    classes: tuple[int, ...]
    minimum_voxels: int = 0

    def __post_init__(self) -> None:
        if not self.classes or min(self.classes) < 1:
            message = f"region {self.name!r}: classes {self.classes} should be one or more, above 0 (the background)"
            raise ValueError(message)
        if self.minimum_voxels < 0:
            message = f"region {self.name!r}: a minimum of {self.minimum_voxels} voxels is below 0"
            raise ValueError(message)

    def mask(self, label_map: NDArray[np.integer]) -> NDArray[np.bool_]:
        """Where the label map of class indices, (D, H, W) or (H, W), shows the region: an array of the same shape."""
        return np.isin(label_map, self.classes)

    def prediction_mask(self, label_map: NDArray[np.integer]) -> NDArray[np.bool_]:
        """Like `mask`, but empty when there are fewer than `minimum_voxels` voxels."""
        mask = self.mask(label_map)
        return mask if np.count_nonzero(mask) >= self.minimum_voxels else np.zeros_like(mask)


def averaged(regions: Sequence[Region]) -> list[str]:
    """Return the names of the regions that count in a mean over regions.

    One with a minimum of voxels is left out where another region has the same classes and none (ETpp beside ET of
    BraTS): it is the same structure after post-processing, which would count twice.
    """
    plain = {frozenset(region.classes) for region in regions if not region.minimum_voxels}
    return [region.name for region in regions if not region.minimum_voxels or frozenset(region.classes) not in plain]
