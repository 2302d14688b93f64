import numpy as np
import pytest

from hga_cli.engine.uncertainty import disagreement, entropy
from hga_cli.imaging.resample import resample_channels


def voxel(*probabilities):
    return np.array(probabilities, np.float32).reshape(-1, 1, 1, 1)


@pytest.mark.parametrize(
    ("probabilities", "expected"),
    [((1, 0, 0), 0), ((1 / 3, 1 / 3, 1 / 3), 1), ((0.5, 0.5, 0), np.log(2) / np.log(3)), ((0.5, 0.5), 1)],
)
def test_entropy(probabilities, expected):
    found = entropy(voxel(*probabilities), (1, 1, 1))
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
    found = disagreement((voxel(*one) for one in alone), (1, 1, 1))
    assert found.shape == (1, 1, 1)
    assert found.dtype == np.float32
    assert found.item() == pytest.approx(expected, abs=1e-6)


def in_nats(probabilities):
    return -(probabilities * np.log(np.maximum(probabilities, 1e-12))).sum(0)


@pytest.fixture
def alone():
    """Probabilities (3, D, H, W) of two modalities alone, nearly sure of another class in each voxel."""
    numbers = np.random.default_rng(0).gumbel(size=(2, 3, 5, 4, 6)) * 8
    shares = np.exp(numbers - numbers.max(1, keepdims=True))
    return (shares / shares.sum(1, keepdims=True)).astype(np.float32)


@pytest.mark.parametrize("shape", [(9, 10, 11), (5, 4, 6), (3, 4, 4)])
def test_said_of_the_probabilities_on_the_new_grid(alone, shape):
    """Between voxels that are sure of different classes nothing is sure, whatever the voxels say of themselves."""
    there = [resample_channels(one, shape) for one in alone]
    assert entropy(alone[0], shape) == pytest.approx(in_nats(there[0]) / np.log(3), abs=1e-5)
    divergence = in_nats(sum(there) / 2) - (in_nats(there[0]) + in_nats(there[1])) / 2
    assert disagreement(iter(alone), shape) == pytest.approx(divergence / np.log(2), abs=1e-5)


def test_agreement_of_resampled_modalities(alone):
    assert disagreement([alone[0]] * 3, (9, 10, 11)) == pytest.approx(0, abs=1e-5)
