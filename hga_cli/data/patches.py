"""Reading patches of cases, on the grid of the store or on a coarser one."""

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hga_cli.core.errors import DataError
from hga_cli.data.store import Box, Patch, Store
from hga_cli.data.store.case_file import read_box
from hga_cli.imaging.resample import resample_image, resample_labels, shape_at
from hga_cli.imaging.trail import Triple

CACHE_BYTES = 1 << 30


class CaseReader:
    """Reads parts of cases.

    On the grid of the store only the chunks of a patch are read. On another grid whole cases are resampled and the
    latest ones kept, up to ``cache_bytes``.

    Args:
        store: where the cases are.
        spacing: voxel size in mm; None is that of the store.
        cache_bytes: most memory for resampled cases.
    """

    def __init__(self, store: Store, spacing: Triple | None, *, cache_bytes: int = CACHE_BYTES) -> None:
        self.store = store
        self._spacing = spacing
        self._cache: OrderedDict[tuple[str, str], NDArray[Any]] = OrderedDict()
        self._cache_bytes = cache_bytes

    def shape(self, case: str) -> tuple[int, ...]:
        """Return (D, H, W) of a case on this grid."""
        entry = self.store.cases[case]
        return entry.shape if self._spacing is None else shape_at(entry.shape, entry.spacing, self._spacing)

    def images(self, case: str, modalities: Sequence[str], box: Box | None = None) -> NDArray[np.float32]:
        """Read z-scores (len(modalities), D, H, W); nothing else is read. Beyond the case it is background."""
        if self._spacing is None:
            return self.store.images(case, modalities, box)
        fills = self.store.backgrounds(case, modalities)
        parts = [
            read_box(self._resampled(case, modality), box, fill=fill)
            for modality, fill in zip(modalities, fills, strict=True)
        ]
        return np.stack(parts)

    def label(self, case: str, box: Box | None = None) -> NDArray[np.uint8]:
        """Read class indices (D, H, W); beyond the case it is background."""
        if self._spacing is None:
            return self.store.label(case, box)
        return read_box(self._resampled(case, None), box, fill=0).astype(np.uint8)

    def patch(self, case: str, modalities: Sequence[str], box: Box) -> Patch:
        """Read images, label and backgrounds of a box, in one go where the grid is that of the store."""
        if self._spacing is None:
            return self.store.patch(case, modalities, box)
        return Patch(
            images=self.images(case, modalities, box),
            label=self.label(case, box),
            backgrounds=self.store.backgrounds(case, modalities),
        )

    def level(self, case: str, number: int) -> int:
        """Return where an axial slice lies on this grid.

        Args:
            case: its case.
            number: of the slice along S in the whole canonical volume, from 0.

        Raises:
            DataError: the slice was cropped away.
        """
        trail = self.store.trail(case)
        if not trail.start[2] <= number < trail.stop[2]:
            inside = f"{trail.start[2]} to {trail.stop[2] - 1}"
            message = f"slice {number} of case '{case}' is not in store '{self.store.path}', which holds {inside}"
            raise DataError(message, hint="there is nothing to see in it; take it out of the imbalance table")
        middle = (number - trail.start[2] + 0.5) / (trail.stop[2] - trail.start[2])
        return int(middle * self.shape(case)[2])

    def foreground(self, case: str, level: int | None = None) -> dict[int, NDArray[np.int64]]:
        """Return some voxels (n, 3) of each class in the label, on this grid; with ``level`` all of this slice."""
        if level is not None:
            size = (*self.shape(case)[:2], 1)
            label = self.label(case, Box(start=(0, 0, level), size=size))
            start = np.array([0, 0, level])
            return {int(index): start + np.argwhere(label == index) for index in np.unique(label[label > 0])}
        here, stored = np.array(self.shape(case)), np.array(self.store.cases[case].shape)
        voxels = self.store.foreground(case)
        return {
            index: np.minimum((found + 0.5) * here / stored, here - 1).astype(int) for index, found in voxels.items()
        }

    def _resampled(self, case: str, modality: str | None) -> NDArray[Any]:
        key = (case, f"images/{modality}" if modality else "label")
        if key not in self._cache:
            shape = self.shape(case)
            self._cache[key] = (
                resample_image(self.store.images(case, [modality])[0], shape)
                if modality
                else resample_labels(self.store.label(case), shape)
            )
        self._cache.move_to_end(key)
        while len(self._cache) > 1 and sum(array.nbytes for array in self._cache.values()) > self._cache_bytes:
            self._cache.popitem(last=False)
        return self._cache[key]
