"""How training cases look, in a few ranges: a new patient outside of them is not what the model knows.

Intensities cannot be compared after z-scores; voxel size, size of the head and share of empty voxels can.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from hga_cli.data.store import Store
from hga_cli.data.store.files import tuples
from hga_cli.imaging.trail import Trail, Triple

FOREGROUND_CASES = 16
"""So many training cases are read for their share of foreground."""
EMPTY = 0.01
"""Voxels closer than this to the z-score of 0 count as empty."""
SLACK = 1.25
"""Lengths this factor beyond the range are said."""
SHARE_SLACK = 0.15
"""Shares of foreground this far beyond the range are said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Looks:
    """Measures of one case."""

    spacing: Triple
    """Voxel size of the file in mm along R, A, S."""
    box_mm: Triple
    """Size of the box around everything that is not empty."""
    box_share: float
    """Share of the file that the box takes."""

    @classmethod
    def of(cls, trail: Trail) -> Self:
        """Measure a case."""
        lengths = np.array(trail.box_shape) * trail.original_spacing
        first, second, third = (round(float(length), 1) for length in lengths)
        return cls(
            spacing=trail.original_spacing,
            box_mm=(first, second, third),
            box_share=float(np.prod(trail.box_shape) / np.prod(trail.shape)),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranges:
    """The smallest and the largest of each measure over training cases; nothing that points to one of them."""

    spacing: tuple[Triple, Triple]
    box_mm: tuple[Triple, Triple]
    box_share: tuple[float, float]
    foreground: tuple[float, float]
    """Share of the box that is not empty, in the first modality of a case."""

    def as_tree(self) -> dict[str, Any]:
        """Return plain values, for a checkpoint."""
        return asdict(self)

    @classmethod
    def from_tree(cls, tree: dict[str, Any]) -> Self:
        """Read what ``as_tree`` returned, perhaps through JSON."""
        return cls(**{key: tuples(value) for key, value in tree.items()})


def foreground_share(image: NDArray[np.float32], background: float) -> float:
    """Return the share of voxels of an image (D, H, W) of z-scores that are not at ``background``, the z-score of 0."""
    return float((np.abs(image - background) > EMPTY).mean())


def ranges_of(store: Store, cases: Sequence[str]) -> Ranges:
    """Return the ranges of some cases of a store; foreground is read from at most 16 of them."""
    looks = [Looks.of(store.trail(case)) for case in cases]
    shares = []
    for case in cases[:: -(-len(cases) // FOREGROUND_CASES)]:
        first = store.cases[case].modalities[:1]
        shares.append(foreground_share(store.images(case, first)[0], store.backgrounds(case, first)[0]))
    box_shares = [one.box_share for one in looks]
    return Ranges(
        spacing=_ends([one.spacing for one in looks]),
        box_mm=_ends([one.box_mm for one in looks]),
        box_share=(round(min(box_shares), 3), round(max(box_shares), 3)),
        foreground=(round(min(shares), 3), round(max(shares), 3)),
    )


def differences_from(ranges: Ranges, looks: Looks, foreground: float) -> list[str]:
    """Return what should be said of a case that does not look like the training cases."""
    said = []
    for name, unit, found, (low, high) in (
        ("voxel size", "mm", looks.spacing, ranges.spacing),
        ("size of what is not empty", "mm", looks.box_mm, ranges.box_mm),
    ):
        if any(_is_beyond(*three) for three in zip(found, low, high, strict=True)):
            said.append(f"{name} is {_numbers(found)} {unit}; training cases: {_numbers(low)} to {_numbers(high)}")
    low_share, high_share = ranges.foreground
    if not low_share - SHARE_SLACK <= foreground <= high_share + SHARE_SLACK:
        said.append(
            f"{foreground:.0%} of the head box is not empty; training cases: {low_share:.0%} to {high_share:.0%}"
            + ("; was the brain extracted?" if foreground > high_share else "")
        )
    elif looks.box_share == 1 and ranges.box_share[1] < 0.95:
        said.append(
            "the image reaches all borders of the file, those of training cases do not; was the brain extracted?"
        )
    return [f"unlike the training cases: {text}" for text in said]


def _ends(rows: Sequence[Triple]) -> tuple[Triple, Triple]:
    low, high = (tuple(round(float(value), 3) for value in row) for row in (np.min(rows, 0), np.max(rows, 0)))
    return (low[0], low[1], low[2]), (high[0], high[1], high[2])


def _is_beyond(value: float, low: float, high: float) -> bool:
    return not low / SLACK <= value <= high * SLACK


def _numbers(values: Triple) -> str:
    return " x ".join(f"{value:.3g}" for value in values)
