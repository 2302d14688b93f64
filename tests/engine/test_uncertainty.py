import numpy as np
import pytest

from hga_cli.engine.uncertainty import disagreement, entropy


def voxel(*probabilities):
    return np.array(probabilities, np.float32).reshape(-1, 1, 1, 1)


@pytest.mark.parametrize(
    ("probabilities", "expected"),
    [((1, 0, 0), 0), ((1 / 3, 1 / 3, 1 / 3), 1), ((0.5, 0.5, 0), np.log(2) / np.log(3)), ((0.5, 0.5), 1)],
)
def test_entropy(probabilities, expected):
    found = entropy(voxel(*probabilities))
    assert found.shape == (1, 1, 1)
    assert found.dtype == np.float32
    assert found.item() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    ("alone", "expected"),
    [
        ([(0.2, 0.8)], 0),
        ([(0.2, 0.8), (0.2, 0.8), (0.2, 0.8)], 0),
        ([(1, 0), (0, 1)], 1),
        ([(1, 0, 0), (0, 1, 0), (0, 0, 1)], 1),
        ([(1, 0, 0), (0, 1, 0)], 1),
        ([(1, 0), (1, 0), (0, 1)], (np.log(3) - 2 / 3 * np.log(2)) / np.log(2)),
        ([(1, 0), (0.5, 0.5)], (-(0.75 * np.log(0.75) + 0.25 * np.log(0.25)) - np.log(2) / 2) / np.log(2)),
    ],
    ids=[
        "one",
        "three that agree",
        "two opposites",
        "three opposites",
        "two of three",
        "two to one",
        "sure and unsure",
    ],
)
def test_disagreement(alone, expected):
    found = disagreement(voxel(*one) for one in alone)
    assert found.shape == (1, 1, 1)
    assert found.dtype == np.float32
    assert found.item() == pytest.approx(expected, abs=1e-6)
