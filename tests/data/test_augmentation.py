"""Image and label move together; nothing is random but the draw."""

from dataclasses import asdict

import numpy as np
import pytest

from hga_cli.core.settings import Augmentation
from hga_cli.data.augmentation import Change, apply_to_images, apply_to_label, draw_change

NOTHING = Augmentation(rotation=0, scale=0, shift=0, flip=0)
GEOMETRY = Augmentation(rotation=45, scale=0, shift=0, flip=0.5)
SHAPES = {3: (12, 10, 9), 2: (13, 10)}


def noise(dims, images=2):
    values = np.random.default_rng(0).normal(0, 1, (images, *SHAPES[dims])).astype(np.float32)
    values[np.abs(values) < 0.05] = 0.1
    return values


def change(**values):
    plain = {"plane": (0, 1), "angle": 0.0, "scale": (1.0, 1.0), "shift": (0.0, 0.0), "flips": ()}
    return Change(**(plain | values))


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("seed", range(12))
def test_image_and_label_move_together(dims, seed):
    """The label is where the image is positive, before and after; what comes in from outside is background in both."""
    images = noise(dims)
    drawn = draw_change(np.random.default_rng(seed), GEOMETRY, dims=dims, images=2)
    moved = apply_to_images(images, drawn, np.array([-9, -7], np.float32))
    for place in range(2):
        label = apply_to_label((images[place] > 0).astype(np.uint8), drawn)
        np.testing.assert_array_equal(label, moved[place] > 0)
        assert label.dtype == np.uint8
    np.testing.assert_array_equal(moved[0] == -9, moved[1] == -7)


@pytest.mark.parametrize("dims", [2, 3])
def test_zero_settings_change_nothing(dims):
    images = noise(dims)
    label = (images[0] > 0).astype(np.uint8)
    for seed in range(5):
        drawn = draw_change(np.random.default_rng(seed), NOTHING, dims=dims, images=2)
        np.testing.assert_array_equal(apply_to_images(images, drawn, np.zeros(2, np.float32)), images)
        np.testing.assert_array_equal(apply_to_label(label, drawn), label)


def test_draw_depends_on_the_generator_only():
    settings = Augmentation()
    first, again = (draw_change(np.random.default_rng(3), settings, dims=3, images=4) for _ in range(2))
    assert first == again
    others = {str(asdict(draw_change(np.random.default_rng(seed), settings, dims=3, images=4))) for seed in range(20)}
    assert len(others) == 20


def test_applying_is_not_random_and_keeps_its_input():
    images = noise(3)
    kept = images.copy()
    drawn = draw_change(np.random.default_rng(1), Augmentation(rotation=30), dims=3, images=2)
    first, again = (apply_to_images(images, drawn, np.zeros(2, np.float32)) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(images, kept)
    assert first.dtype == np.float32
    assert first.flags.c_contiguous


@pytest.mark.parametrize("dims", [2, 3])
def test_draws_fill_their_ranges(dims):
    settings = Augmentation(rotation=10, scale=0.1, shift=0.2, flip=0.25)
    generator = np.random.default_rng(0)
    drawn = [draw_change(generator, settings, dims=dims, images=3) for _ in range(2000)]
    angles = np.array([one.angle for one in drawn])
    scales, shifts = np.array([one.scale for one in drawn]), np.array([one.shift for one in drawn])
    for values, low, high in [(angles, -10, 10), (scales, 0.9, 1.1), (shifts, -0.2, 0.2)]:
        assert low <= values.min() < low + 0.02 * (high - low)
        assert high - 0.02 * (high - low) < values.max() <= high
        assert values.mean() == pytest.approx((low + high) / 2, abs=0.05 * (high - low))
    assert scales.shape == shifts.shape == (2000, 3)
    assert {one.plane for one in drawn} == {2: {(0, 1)}, 3: {(0, 1), (0, 2), (1, 2)}}[dims]
    for axis in range(dims):
        assert np.mean([axis in one.flips for one in drawn]) == pytest.approx(0.25, abs=0.05)


def test_intensity_of_each_image_on_its_own():
    images = noise(3)
    moved = apply_to_images(images, change(scale=(2.0, 0.5), shift=(1.0, -3.0)), np.zeros(2, np.float32))
    np.testing.assert_allclose(moved, np.stack([images[0] * 2 + 1, images[1] * 0.5 - 3]), atol=1e-6)


@pytest.mark.parametrize("flips", [(0,), (1, 2), (0, 1, 2)], ids=str)
def test_flips(flips):
    images = noise(3)
    label = (images[0] > 0).astype(np.uint8)
    moved = apply_to_images(images, change(flips=flips), np.zeros(2, np.float32))
    np.testing.assert_array_equal(moved, np.flip(images, [axis + 1 for axis in flips]))
    np.testing.assert_array_equal(apply_to_label(label, change(flips=flips)), np.flip(label, flips))


@pytest.mark.parametrize("plane", [(0, 1), (0, 2), (1, 2)], ids=str)
def test_quarter_turns_are_exact(plane):
    """Four of them are the identity, and each is that of numpy, up to its direction."""
    label = np.random.default_rng(0).integers(0, 4, (8, 8, 8)).astype(np.uint8)
    turned = apply_to_label(label, change(plane=plane, angle=90.0))
    assert any(np.array_equal(turned, np.rot90(label, times, plane)) for times in (1, 3))
    for _ in range(3):
        turned = apply_to_label(turned, change(plane=plane, angle=90.0))
    np.testing.assert_array_equal(turned, label)


def test_half_turn_of_a_patch_that_is_not_square():
    label = np.random.default_rng(0).integers(0, 4, (8, 5, 3)).astype(np.uint8)
    np.testing.assert_array_equal(apply_to_label(label, change(angle=180.0)), np.rot90(label, 2))


def test_what_comes_in_from_outside_is_background():
    """Without an intensity change it is the given z-score; with one, the background changes like everything else."""
    images = np.ones((2, 15, 15, 3), np.float32)
    background = np.array([-2, -5], np.float32)
    moved = apply_to_images(images, change(angle=45.0), background)
    assert set(np.unique(moved[0])) == {-2, 1}
    assert set(np.unique(moved[1])) == {-5, 1}
    assert (moved[:, 0, 0] == background[:, None]).all()
    assert (moved[:, 7, 7] == 1).all()
    brighter = apply_to_images(images, change(angle=45.0, scale=(2.0, 1.0), shift=(0.5, 0.0)), background)
    assert set(np.unique(brighter[0])) == {-3.5, 2.5}


def test_small_rotation_moves_by_the_right_amount():
    """A voxel 10 to the side of the middle moves by 10 sin(angle)."""
    label = np.zeros((41, 41, 1), np.uint8)
    label[20, 30] = 1
    (row, column, _), *others = np.argwhere(apply_to_label(label, change(angle=17.5)))
    assert not others
    assert abs(row - 20) == round(10 * np.sin(np.radians(17.5)))
    assert column == round(20 + 10 * np.cos(np.radians(17.5)))
