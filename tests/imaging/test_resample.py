"""Grids that cover the same box, edge to edge: voxel i of n lies at (i + 1/2) / n of the box."""

import numpy as np
import pytest

from hga_cli.imaging.resample import resample_channels, resample_image, resample_labels, shape_at

SHAPE = (20, 17, 12)
SHAPES = [(10, 17, 24), (31, 9, 12), (7, 5, 3), (40, 34, 24), (1, 1, 1), (20, 16, 13)]


def places(shape):
    """Where the voxels lie, as shares of the box: (3, D, H, W)."""
    axes = [(np.arange(size) + 0.5) / size for size in shape]
    return np.stack(np.meshgrid(*axes, indexing="ij"))


def ramp(shape):
    return np.tensordot([30, -20, 10], places(shape), 1).astype(np.float32)


def ball(shape, value=1):
    return ((places(shape) - 0.5) ** 2).sum(0) < 0.08


@pytest.mark.parametrize(
    ("spacing", "wanted", "expected"),
    [
        ((1, 1, 1), (1, 1, 1), (20, 17, 12)),
        ((1, 1, 1), (2, 2, 2), (10, 8, 6)),
        ((0.5, 1, 3), (1, 1, 1), (10, 17, 36)),
        ((1, 1, 1), (100, 100, 100), (1, 1, 1)),
    ],
)
def test_shape_that_covers_the_same_length(spacing, wanted, expected):
    assert shape_at(SHAPE, spacing, wanted) == expected


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("value", [-3.5, 0, 1200])
def test_constant_stays_constant(shape, value):
    result = resample_image(np.full(SHAPE, value, np.float32), shape)
    assert result.shape == shape
    assert result.dtype == np.float32
    np.testing.assert_allclose(result, value, rtol=1e-6)


@pytest.mark.parametrize("shape", [shape for shape in SHAPES if min(shape) > 1], ids=str)
def test_linear_ramp_keeps_its_place(shape):
    """No shift by half a voxel, no swapped axes: the value depends on the place in the box only."""
    result, exact = resample_image(ramp(SHAPE), shape), ramp(shape)
    inner = tuple(slice(-(-size // 4), size - -(-size // 4)) for size in shape)
    np.testing.assert_allclose(result[inner], exact[inner], atol=1e-3)
    assert np.ptp(exact[inner]) > 1


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_back_and_forth_restores_the_shape(shape):
    there = resample_image(ramp(SHAPE), shape)
    assert there.shape == shape
    back = resample_image(there, SHAPE)
    assert back.shape == SHAPE
    if min(shape) > 4:
        inner = (slice(4, -4), slice(4, -4), slice(4, -4))
        np.testing.assert_allclose(back[inner], ramp(SHAPE)[inner], atol=1e-3)


def test_same_shape_changes_nothing():
    image = np.random.default_rng(0).standard_normal(SHAPE).astype(np.float32)
    np.testing.assert_array_equal(resample_image(image, SHAPE), image)
    labels = np.random.default_rng(0).integers(0, 4, SHAPE)
    np.testing.assert_array_equal(resample_labels(labels, SHAPE), labels)
    assert resample_labels(labels, SHAPE).dtype == np.uint8


def test_noise_is_averaged_where_voxels_grow_much():
    noise = np.random.default_rng(0).standard_normal((48, 48, 48)).astype(np.float32)
    assert resample_image(noise, (8, 8, 8)).std() < 0.3


@pytest.mark.parametrize("dtype", ["int16", "uint8", ">i2", "float64", "bool"])
def test_types_of_images(dtype):
    image = ball(SHAPE).astype(dtype)
    np.testing.assert_array_equal(
        resample_image(image, (10, 9, 6)), resample_image(image.astype(np.float32), (10, 9, 6))
    )


@pytest.mark.parametrize("order", ["C", "F", "strided"])
def test_layout_in_memory_does_not_matter(order):
    image = ramp(SHAPE)
    twisted = {
        "C": image.copy(),
        "F": np.asfortranarray(image),
        "strided": np.repeat(image, 2, axis=1)[:, ::2],
    }[order]
    np.testing.assert_array_equal(resample_image(twisted, (9, 8, 7)), resample_image(image, (9, 8, 7)))


@pytest.mark.parametrize("shape", [(10, 17, 24), (31, 9, 12), SHAPE], ids=str)
@pytest.mark.parametrize("channels", [1, 2, 4])
def test_channels_are_resampled_each_on_its_own(shape, channels):
    stacked = np.stack([ramp(SHAPE) * (index + 1) for index in range(channels)])
    result = resample_channels(stacked, shape)
    assert result.shape == (channels, *shape)
    for index in range(channels):
        np.testing.assert_allclose(result[index], resample_image(stacked[index], shape), atol=1e-4)


def test_probabilities_stay_probabilities():
    raw = np.random.default_rng(0).random((3, *SHAPE)).astype(np.float32)
    result = resample_channels(raw / raw.sum(0), (31, 9, 13))
    np.testing.assert_allclose(result.sum(0), 1, atol=1e-5)
    assert result.min() >= 0


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_labels_get_no_new_classes(shape):
    """An average of class 1 and class 4 is never class 2 or 3."""
    labels = np.random.default_rng(0).choice([0, 1, 4, 7], SHAPE)
    result = resample_labels(labels, shape)
    assert result.shape == shape
    assert result.dtype == np.uint8
    assert set(np.unique(result)) <= {0, 1, 4, 7}


def test_labels_keep_place_and_share():
    labels = np.where(places(SHAPE)[0] < 0.5, 0, 3)
    labels[ball(SHAPE)] = 5
    result = resample_labels(labels, (40, 34, 24))
    exact = np.where(places((40, 34, 24))[0] < 0.5, 0, 3)
    exact[ball((40, 34, 24))] = 5
    assert (result == exact).mean() > 0.95
    for value in (0, 3, 5):
        assert (result == value).mean() == pytest.approx((labels == value).mean(), abs=0.03)


@pytest.mark.parametrize(("many", "few"), [(1, 2), (2, 1), (0, 2), (2, 0)])
def test_class_that_covers_most_of_a_voxel_wins(many, few):
    labels = np.full((4, 4, 4), few)
    labels[:2, :2, :2] = many
    labels[0, 0, 0] = labels[1, 1, 1] = labels[0, 1, 0] = few
    result = resample_labels(labels, (2, 2, 2))
    assert result[0, 0, 0] == many
    assert (result == few).sum() == 7
