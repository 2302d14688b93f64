import numpy as np
import pytest

from hga_cli.imaging.normalise import filled_border, foreground_statistics, z_score


def image(dtype, low=-50, high=400):
    values = np.random.default_rng(0).integers(low, high, (9, 8, 7)).astype(dtype)
    values[:3] = 0
    return values


@pytest.mark.parametrize("dtype", ["int16", "float32", "float64"])
def test_mean_and_deviation_of_what_is_not_zero(dtype):
    raw = image(dtype)
    inside = raw[raw != 0].astype(np.float64)
    found = foreground_statistics(raw)
    assert inside.min() < 0
    assert (found.mean, found.std) == pytest.approx((inside.mean(), inside.std()), rel=1e-12)


def test_more_empty_voxels_change_nothing():
    raw = image("int16")
    assert foreground_statistics(np.pad(raw, 5)) == foreground_statistics(raw)


def test_scores_have_mean_zero_and_deviation_one_inside():
    raw = image("int16")
    z = z_score(raw, foreground_statistics(raw))
    assert z.dtype == np.float32
    assert z[raw != 0].mean() == pytest.approx(0, abs=1e-5)
    assert z[raw != 0].std() == pytest.approx(1, abs=1e-5)


def test_empty_voxels_get_the_background():
    raw = image("int16")
    statistics = foreground_statistics(raw)
    np.testing.assert_allclose(z_score(raw, statistics)[raw == 0], statistics.background, rtol=1e-6)


@pytest.mark.parametrize("unit", [0.001, 1, 1000.0])
def test_unit_of_the_scanner_does_not_matter(unit):
    raw = image("float64")
    plain, scaled = (z_score(one, foreground_statistics(one)) for one in (raw, raw * unit))
    np.testing.assert_allclose(scaled, plain, atol=1e-5)


@pytest.mark.parametrize("constant", ["zeros", "all 7", "one voxel", "two equal voxels", "empty array"])
def test_constant_images_have_no_statistics(constant):
    raw = np.zeros((5, 5, 5), np.float32)
    if constant == "all 7":
        raw[:] = 7
    if constant == "one voxel":
        raw[2, 2, 2] = 3
    if constant == "two equal voxels":
        raw[2, 2, :2] = -3
    if constant == "empty array":
        raw = raw[:0]
    assert foreground_statistics(raw) is None


def test_two_different_voxels_are_enough():
    raw = np.zeros((5, 5, 5), np.int16)
    raw[1, 1, :2] = 2, 4
    found = foreground_statistics(raw)
    assert (found.mean, found.std, found.background) == (3, 1, -3)


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("value", [-1024, 0, 7])
def test_border_that_is_mostly_one_value(value, order):
    """More than half of the border is enough; zeros inside, as of water in CT, are no background."""
    raw = np.full((9, 8, 7), value, np.int16, order=order)
    raw[2:7, 2:6, 2:5] = 0 if value else 50
    raw[0] = np.arange(1, 57).reshape(8, 7)
    assert filled_border(raw) == (value or None)
    assert filled_border(raw.astype(np.float32)) == (value or None)


def test_noise_is_no_background():
    assert filled_border(np.random.default_rng(0).integers(1, 9, (9, 8, 7))) is None
