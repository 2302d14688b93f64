"""From steps to batches of patches.

Everything random about a step is drawn from a generator seeded with (seed, step, place in the batch). So any worker may
prepare any step, ahead or again after a resume, and gets the same numbers.
"""

import signal
from collections.abc import Generator, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset

from hga_cli.core.combinations import Combination
from hga_cli.core.errors import HgaError, SetupError
from hga_cli.core.orphans import end_with_the_parent
from hga_cli.core.settings import Augmentation, Data
from hga_cli.data.augmentation import apply_to_images, apply_to_label, draw_change
from hga_cli.data.imbalance import item_of
from hga_cli.data.lists import Item
from hga_cli.data.patches import CaseReader
from hga_cli.data.sampling import Draws
from hga_cli.data.store import Box, Store

AHEAD = 4
"""Batches that each worker keeps ready."""
PATCH_STREAM = 2
"""Keeps the random numbers of patches apart from those of samplers (0 and 1)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Patches of one combination."""

    step: int
    combination: Combination
    cases: tuple[str, ...]
    """Ids of cases, or names of slices."""
    ends_cycle: bool
    images: dict[str, torch.Tensor]
    """modality -> (B, 1, *space) z-scores; only the modalities of the combination."""
    label: torch.Tensor
    """(B, *space) class indices, uint8."""


def in_parts(batch: Batch, parts: int) -> Iterator[tuple[Batch, float]]:
    """Yield parts of a batch, each with its share of the cases; never more parts than cases."""
    total = len(batch.cases)
    if total == 0:
        return
    for places in np.array_split(np.arange(total), min(parts, total)):
        inside = slice(int(places[0]), int(places[-1]) + 1)
        images = {name: image[inside] for name, image in batch.images.items()}
        part = replace(batch, cases=batch.cases[inside], images=images, label=batch.label[inside])
        yield part, len(places) / total


class Patches(Dataset[Batch]):
    """The batch of each step.

    Args:
        store: where the cases are.
        sampler: what each step sees.
        settings: patch size, spacing, share of foreground patches.
        augmentation: how patches are changed.
        seed: of the training.
        part: (index, count): only every count-th case of a batch, from this one on; other ranks have the others.
        by_slice: what the sampler names are slices, and a patch is cut from exactly that slice (2D patches only).
    """

    def __init__(
        self,
        store: Store,
        sampler: Draws,
        settings: Data,
        augmentation: Augmentation,
        *,
        seed: int,
        part: tuple[int, int] = (0, 1),
        by_slice: bool = False,
    ) -> None:
        self._reader = CaseReader(store, settings.spacing)
        self._sampler = sampler
        self._settings = settings
        self._augmentation = augmentation
        self._seed = seed
        self._part = part
        self._by_slice = by_slice

    def __getitem__(self, step: int) -> Batch:
        """Return the batch of a step, or the part of it that this rank computes: perhaps no case at all."""
        draw = self._sampler.draw(step)
        index, count = self._part
        mine = list(enumerate(draw.cases))[index::count]
        patches = [
            self._patch(name, draw.combination, np.random.default_rng([self._seed, PATCH_STREAM, step, place]))
            for place, name in mine
        ]
        size = (len(mine), *self._settings.patch)
        images, labels = np.empty((len(mine), len(draw.combination), *size[1:]), np.float32), np.empty(size, np.uint8)
        for place, (image, label) in enumerate(patches):
            images[place], labels[place] = image, label
        return Batch(
            step=step,
            combination=draw.combination,
            cases=tuple(name for _, name in mine),
            ends_cycle=draw.ends_cycle,
            images={
                modality: torch.from_numpy(images[:, place, None]) for place, modality in enumerate(draw.combination)
            },
            label=torch.from_numpy(labels),
        )

    def _patch(
        self, name: str, combination: Combination, generator: np.random.Generator
    ) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        size = self._settings.patch
        case, number = item_of(name) if self._by_slice else (name, None)
        box = self._place((case, number), (*size, 1)[:3], generator)
        patch = self._reader.patch(case, combination, box)
        images, label = patch.images, patch.label
        if len(size) == 2:
            images, label = images[..., 0], label[..., 0]
        change = draw_change(generator, self._augmentation, dims=len(size), images=len(combination))
        background = np.array(patch.backgrounds, np.float32)
        return apply_to_images(images, change, background), apply_to_label(label, change)

    def _place(self, item: Item, size: tuple[int, ...], generator: np.random.Generator) -> Box:
        """Draw where a patch lies: anywhere inside, or around a voxel of a class drawn evenly; in its slice."""
        case, number = item
        level = None if number is None else self._reader.level(case, number)
        room = np.array(self._reader.shape(case)) - size
        start = generator.integers(0, np.maximum(room, 0) + 1)
        if generator.random() < self._settings.foreground:
            voxels = self._reader.foreground(case, level)
            if voxels:
                chosen = voxels[sorted(voxels)[int(generator.integers(len(voxels)))]]
                centre = chosen[int(generator.integers(len(chosen)))]
                start = (centre - np.array(size) // 2).clip(0, np.maximum(room, 0))
        start = np.where(room < 0, room // 2, start)
        if level is not None:
            start[2] = level
        return Box(start=tuple(start.tolist()), size=size)


class _Outcomes(Dataset["Batch | HgaError"]):
    """The batch of each step, or why there is none: an error raised in a worker would arrive without its hint."""

    def __init__(self, patches: Patches) -> None:
        self._patches = patches

    def __getitem__(self, step: int) -> Batch | HgaError:
        try:
            return self._patches[step]
        except HgaError as error:
            return error


def load(patches: Patches, first: int, last: int, *, workers: int) -> Generator[Batch, None, None]:
    """Yield the batches of the steps from ``first`` up to, not including, ``last``. Close it to end the workers.

    Raises:
        DataError: a case cannot be read.
    """
    loader: DataLoader[Batch | HgaError] = DataLoader(
        _Outcomes(patches),
        batch_size=None,
        sampler=range(first, last),
        num_workers=workers,
        collate_fn=_as_it_is,
        worker_init_fn=_follow_the_parent,
        prefetch_factor=AHEAD if workers else None,
    )
    outcomes: Any = iter(loader)
    try:
        for outcome in outcomes:
            if isinstance(outcome, HgaError):
                raise outcome
            yield outcome
    except RuntimeError as error:
        if "DataLoader worker" not in str(error):
            raise
        message = f"a process that reads ahead died: {str(error).splitlines()[0]}"
        raise SetupError(message, hint="perhaps for want of memory; --set data.workers=0 reads without them") from None
    finally:
        if workers:
            outcomes._shutdown_workers()  # they ignore SIGTERM, so that nothing else would end them


def _follow_the_parent(worker: int) -> None:
    """Leave signals to the parent, and end with it.

    A worker of PyTorch itself outlives a parent that was killed while the worker started, or while the pipe was full.
    """
    del worker
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    end_with_the_parent()


def _as_it_is(batch: Any) -> Any:
    return batch
