"""Calibration: whether a region is there as often as the probability says.

Expected calibration error (Guo et al., ICML 2017), for each region with the probability of the region, the sum over its
classes. The code of the paper printed the errors of single classes under the names of regions.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

BINS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Reliability:
    """What is needed for the error of any set of voxels: sums over voxels in 20 equal bins of probability.

    The bins are (0, 0.05], (0.05, 0.1], ...; a probability of 0 is in the first. Sums of cases add up.
    """

    voxels: NDArray[np.int64]
    """(20,) voxels in each bin."""
    probability: NDArray[np.float64]
    """(20,) sum of the probabilities."""
    hits: NDArray[np.int64]
    """(20,) voxels that belong to the region."""

    @classmethod
    def of(cls, probability: NDArray[np.floating], truth: NDArray[np.bool_]) -> Self:
        """Sort voxels into bins.

        Args:
            probability: of the region, 0 to 1, any shape.
            truth: whether the voxel belongs to it, the same shape.

        Raises:
            ValueError: the shapes differ.
        """
        if probability.shape != truth.shape:
            message = f"the probability has shape {probability.shape} but the truth has {truth.shape}"
            raise ValueError(message)
        flat, wanted = probability.ravel().astype(np.float64), truth.ravel()
        places = np.clip(np.ceil(flat * BINS).astype(np.int64) - 1, 0, BINS - 1)
        return cls(
            voxels=np.bincount(places, minlength=BINS),
            probability=np.bincount(places, flat, minlength=BINS).astype(np.float64),
            hits=np.bincount(places[wanted], minlength=BINS),
        )

    def __add__(self, other: "Reliability") -> "Reliability":
        """Return the sums over the voxels of both."""
        return Reliability(
            voxels=self.voxels + other.voxels,
            probability=self.probability + other.probability,
            hits=self.hits + other.hits,
        )

    def as_tree(self) -> dict[str, list[float]]:
        """Return plain values, for a JSON file."""
        return {"voxels": self.voxels.tolist(), "probability": self.probability.tolist(), "hits": self.hits.tolist()}

    @classmethod
    def from_tree(cls, tree: Mapping[str, Sequence[float]]) -> Self:
        """Read plain values."""
        return cls(
            voxels=np.array(tree["voxels"], np.int64),
            probability=np.array(tree["probability"], np.float64),
            hits=np.array(tree["hits"], np.int64),
        )

    @property
    def error(self) -> float:
        """The expected calibration error, 0 (perfect) to 1; NaN without voxels."""
        total = self.voxels.sum()
        return float(np.abs(self.hits - self.probability).sum() / total) if total else float("nan")
