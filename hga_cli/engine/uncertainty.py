"""How sure a prediction is, voxel by voxel: 0 is sure, 1 is no idea."""

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Map = NDArray[np.float32]


def entropy(probabilities: Map) -> Map:
    """Return the entropy (D, H, W) of class probabilities (K, D, H, W), divided by log K."""
    return np.asarray(_entropy(probabilities) / np.log(len(probabilities)), np.float32)


def disagreement(alone: Iterable[Map]) -> Map:
    """Return how much the predictions of M modalities alone, each (K, D, H, W), contradict each other.

    Jensen-Shannon divergence: entropy of the mean minus mean of the entropies, divided by its largest value,
    log min(M, K). One modality alone contradicts nobody: 0.
    """
    count, classes, total, entropies = 0, 0, np.zeros(()), np.zeros(())
    for one in alone:
        count, classes = count + 1, len(one)
        total, entropies = total + one, entropies + _entropy(one)
    if count == 1:
        return np.zeros(entropies.shape, np.float32)
    contradiction = (_entropy(total / count) - entropies / count) / np.log(min(count, classes))
    return np.asarray(np.maximum(contradiction, 0), np.float32)


def _entropy(probabilities: NDArray[Any]) -> NDArray[Any]:
    logarithms = np.log(np.maximum(probabilities, 1e-12))
    return np.asarray(np.maximum(-(probabilities * logarithms).sum(0), 0))
