import math

import numpy as np
import pytest

from hga_cli.metrics.overlap import dice


def test_dice_by_hand():
    prediction, reference = np.zeros((2, 3, 4), bool), np.zeros((2, 3, 4), bool)
    prediction[0, 0], reference[0, :2, :2] = True, True
    assert dice(prediction, reference) == pytest.approx(2 * 2 / (4 + 4))


def test_empty_masks():
    empty, full = np.zeros((2, 2, 2), bool), np.ones((2, 2, 2), bool)
    assert math.isnan(dice(empty, empty))
    assert dice(empty, full) == dice(full, empty) == 0.0
    assert dice(full, full) == 1.0


def test_symmetric_and_in_any_orientation():
    rng = np.random.default_rng(0)
    a, b = rng.random((2, 5, 6, 7)) < 0.4
    assert dice(a, b) == dice(b, a) == dice(a.T, b.T) == dice(a[::-1, :, ::-1], b[::-1, :, ::-1])


def test_numbers_are_taken_as_masks():
    assert dice(np.array([[0, 2], [4, 0]]), np.array([[0, 1], [0, 0]])) == pytest.approx(2 / 3)


def test_different_shapes():
    with pytest.raises(ValueError, match=r"\(2, 2\).*\(2, 3\)"):
        dice(np.zeros((2, 2)), np.zeros((2, 3)))
