"""Surface Dice and volume error in mm and ml."""

import numpy as np
import pytest

from hga_cli.metrics.regions import Region
from hga_cli.metrics.score import score_case
from hga_cli.metrics.surface import surface_dice, surface_distances

SPACING = (0.5, 0.5, 5.0)
EXTRAS = ("surface_dice", "volume_error")


def slab(start, stop, shape=(20, 20, 20)):
    mask = np.zeros(shape, np.uint8)
    mask[4:12, 4:12, start:stop] = 1
    return mask


def extras_of(prediction, reference, tolerance=1.0):
    region = Region(name="slab", classes=(1,))
    (score,) = score_case(prediction, reference, [region], spacing=SPACING, extras=EXTRAS, tolerance=tolerance)
    return score.extras


def test_tolerance_is_in_mm():
    """One slice of 5 mm too much. All voxels of one and of two slices are surface; only those of the second are off."""
    reference, longer = slab(5, 6), slab(5, 7)
    assert extras_of(longer, reference, tolerance=5.0)["surface_dice"] == 1
    assert extras_of(longer, reference, tolerance=4.9)["surface_dice"] == pytest.approx(128 / 192)


def test_surface_dice_of_one_direction_shift():
    reference = slab(5, 6)
    shifted = np.roll(reference, 1, axis=2)
    assert extras_of(shifted, reference, tolerance=4.9)["surface_dice"] == 0
    assert extras_of(shifted, reference, tolerance=5.0)["surface_dice"] == 1


def test_surface_dice_grows_with_the_tolerance():
    generator = np.random.default_rng(4)
    distances = surface_distances(*(generator.random((2, 14, 13, 12)) < 0.1), (1, 2, 3))
    values = [surface_dice(*distances, tolerance) for tolerance in (0.5, 1, 2, 3, 5, 100)]
    assert values == sorted(values)
    assert 0 < values[0] < values[-1] == 1


def test_volume_error_in_ml():
    """64 voxels of 1.25 cubic mm in each slice."""
    more, less = extras_of(slab(5, 9), slab(5, 7)), extras_of(slab(5, 7), slab(5, 9))
    assert more["volume_error_ml"] == pytest.approx(2 * 64 * 1.25 / 1000)
    assert less["volume_error_ml"] == pytest.approx(-2 * 64 * 1.25 / 1000)
    assert less["absolute_volume_error_ml"] == more["absolute_volume_error_ml"] == more["volume_error_ml"]


def test_nothing_unless_asked_for():
    (score,) = score_case(slab(5, 7), slab(5, 7), [Region(name="slab", classes=(1,))], spacing=SPACING)
    assert dict(score.extras) == {}
