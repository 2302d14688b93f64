"""How sure a prediction is, voxel by voxel: 0 is sure, 1 is no idea.

Said of the probabilities as they are written, so on the grid they are brought to: what lies between two voxels that
are sure of different classes is unsure. One class after the other is brought there, never all of them at once.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hga_cli.imaging.resample import Shape, resample_channels

Map = NDArray[np.float32]


def entropy(probabilities: Map, shape: Shape) -> Map:
    """Return the entropy (*shape) of class probabilities (K, D, H, W), brought to ``shape`` first; divided by log K."""
    return np.asarray(_entropy(probabilities, shape) / np.log(len(probabilities)), np.float32)


def disagreement(alone: Iterable[Map], shape: Shape) -> Map:
    """Return how much the predictions of M modalities alone, each (K, D, H, W), contradict each other, on ``shape``.

    Jensen-Shannon divergence: entropy of the mean minus mean of the entropies, divided by its largest value,
    log min(M, K). One modality alone contradicts nobody: 0.
    """
    count, classes, total, entropies = 0, 0, np.zeros(()), np.zeros(shape)
    for one in alone:
        count, classes = count + 1, len(one)
        total, entropies = total + one, entropies + _entropy(one, shape)
    if count == 1:
        return np.zeros(shape, np.float32)
    # The mean is resampled, not the mean taken of what was resampled: linear, so it is the same.
    mean = np.asarray(total / count, np.float32)
    contradiction = (_entropy(mean, shape) - entropies / count) / np.log(min(count, classes))
    return np.asarray(np.maximum(contradiction, 0), np.float32)


def _entropy(probabilities: Map, shape: Shape) -> NDArray[Any]:
    total = np.zeros(shape)
    for place in range(len(probabilities)):
        here = resample_channels(probabilities[place : place + 1], shape)[0]
        total -= here * np.log(np.maximum(here, 1e-12))
    return np.maximum(total, 0)
