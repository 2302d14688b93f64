"""Reading a store. Safe while other processes write."""

import json
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from hga_cli.core.combinations import Combination
from hga_cli.core.errors import DataError, suggestion
from hga_cli.data.imbalance import ImbalanceTable
from hga_cli.data.lists import some
from hga_cli.data.raw.description import Description, parse_description
from hga_cli.data.splits import Split
from hga_cli.data.store.case_file import Box, case_path, read_box, read_image, read_trail, stored_fingerprint
from hga_cli.data.store.files import CASE, INDEX, reading
from hga_cli.data.store.index import read_entries, read_preparation, read_split, read_table
from hga_cli.imaging.trail import Trail, Triple

Item = TypeVar("Item", Split, ImbalanceTable)


@dataclass(frozen=True, slots=True, kw_only=True)
class Patch:
    """What a training needs of a box of a case."""

    images: NDArray[np.float32]
    """(M, D, H, W) z-scores, in the order of the modalities asked for."""
    label: NDArray[np.uint8]
    """(D, H, W) class indices."""
    backgrounds: list[float]
    """z-score of empty voxels, for each modality."""


class Store:
    """A store that exists. The index is read once; case files are opened for each call."""

    def __init__(self, path: Path) -> None:
        """Read the index.

        Raises:
            DataError: no store there, or one that cannot be read.
        """
        self.path = path
        with reading(path / "store.h5", INDEX) as file:
            self.description: Description = parse_description(json.loads(file.attrs["description"]), str(path))
            self.preparation = read_preparation(file.attrs)
            self.expected: list[str] = json.loads(file.attrs["expected"])
            self.cases = read_entries(file.attrs["cases"])
            self.splits = {name: read_split(name, group) for name, group in file["splits"].items()}
            self.tables = {name: read_table(name, group) for name, group in file["imbalance"].items()}

    @property
    def modalities(self) -> Combination:
        """The modalities of the data set, in its order."""
        return self.description.modalities

    @property
    def spacing(self) -> Triple | None:
        """Voxel size in mm that cases were resampled to; None: each kept its own."""
        return self.preparation.spacing

    def require_complete(self) -> None:
        """Stop if cases that preprocessing found are not in the store yet, or were written again since.

        Raises:
            DataError: with those cases.
        """
        missing = sorted(set(self.expected) - set(self.cases))
        if missing:
            lack = f"{len(missing)} of {len(self.expected)} cases lack ({some(missing)})"
            message = f"store '{self.path}' is not finished: {lack}"
            raise DataError(message, hint="run 'hga preprocess' again; it does only what is missing")
        changed = [
            case
            for case, entry in self.cases.items()
            if entry.fingerprint and stored_fingerprint(self.path, case) != entry.fingerprint
        ]
        if changed:
            again = f"{len(changed)} cases were written again or lost ({some(changed)})"
            message = f"store '{self.path}' is not finished: {again}"
            raise DataError(message, hint="run 'hga preprocess' again to its end, with the same settings")

    def split(self, name: str | None) -> Split:
        """Return a split by name; None means the only one.

        Raises:
            DataError: no such split, none at all, several and no name, or one whose cases are not all here.
        """
        split = self._chosen(self.splits, name, "split", "hga split")
        self._require_cases([*split.train, *split.val, *split.test], f"split '{split.name}'")
        return split

    def table(self, name: str | None) -> ImbalanceTable | None:
        """Return an imbalance table by name; None means the only one (or none at all), "none" none.

        Raises:
            DataError: no such table, or several and no name.
        """
        if name == "none" or (name is None and not self.tables):
            return None
        return self._chosen(self.tables, name, "imbalance table", "hga make-imbalance")

    def images(self, case: str, modalities: Sequence[str], box: Box | None = None) -> NDArray[np.float32]:
        """Read z-scores (len(modalities), D, H, W); only these modalities, and only the chunks of the box.

        Raises:
            DataError: a modality is absent, or the file is damaged.
        """
        with self._open(case) as file:
            return _images(file, modalities, box)

    def patch(self, case: str, modalities: Sequence[str], box: Box) -> Patch:
        """Read images, label and backgrounds at once, which takes less time than one after the other.

        Raises:
            DataError: a modality is absent, or the file is damaged.
        """
        with self._open(case) as file:
            return Patch(
                images=_images(file, modalities, box),
                label=read_box(file["label"], box, fill=0),
                backgrounds=_backgrounds(file, modalities),
            )

    def label(self, case: str, box: Box | None = None) -> NDArray[np.uint8]:
        """Read the class indices (D, H, W) of a case; beyond the case it is background."""
        with self._open(case) as file:
            return read_box(file["label"], box, fill=0)

    def reference(self, case: str) -> NDArray[np.uint8]:
        """Read the class indices of the whole file in canonical orientation (D, H, W)."""
        with self._open(case) as file:
            reference: NDArray[np.uint8] = file["reference"][()]
            return reference

    def backgrounds(self, case: str, modalities: Sequence[str]) -> list[float]:
        """Read the z-score of empty voxels, for each modality."""
        with self._open(case) as file:
            return _backgrounds(file, modalities)

    def foreground(self, case: str) -> dict[int, NDArray[np.int32]]:
        """Read some voxels (n, 3) of each class that occurs in the label."""
        with self._open(case) as file:
            return {int(name): voxels[()] for name, voxels in file["foreground"].items()}

    def trail(self, case: str) -> Trail:
        """Read the way back to the files of a case."""
        with self._open(case) as file:
            return read_trail(file)

    def _open(self, case: str) -> AbstractContextManager[Any]:
        return reading(case_path(self.path, case), CASE)

    def _require_cases(self, cases: Sequence[str], what: str) -> None:
        gone = sorted(set(cases) - set(self.cases))
        if gone:
            message = f"{what} of store '{self.path}' names cases that are not in the store: {', '.join(gone[:5])}"
            raise DataError(message, hint="preprocess them again, or make another split: hga split --name NAME")

    def _chosen(self, items: Mapping[str, Item], name: str | None, kind: str, command: str) -> Item:
        if not items:
            message = f"store '{self.path}' has no {kind}"
            raise DataError(message, hint=f"make one with '{command}'")
        if name is None and len(items) == 1:
            return next(iter(items.values()))
        if name is None:
            message = f"store '{self.path}' has several {kind}s and none was named"
            raise DataError(message, hint=f"choose one of: {', '.join(sorted(items))}")
        if name not in items:
            message = f"store '{self.path}' has no {kind} '{name}'"
            raise DataError(message, hint=suggestion(name, items))
        return items[name]


def _images(file: Any, modalities: Sequence[str], box: Box | None) -> NDArray[np.float32]:
    return np.stack([read_image(file, modality, box) for modality in modalities])


def _backgrounds(file: Any, modalities: Sequence[str]) -> list[float]:
    return [float(file["images"][modality].attrs["background"]) for modality in modalities]
