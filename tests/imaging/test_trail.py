"""The way back: what was reoriented, cropped and resampled lies again where it lay in the file."""

import math
from itertools import permutations, product

import numpy as np
import pytest
from nibabel.orientations import aff2axcodes

from hga_cli.imaging.resample import resample_image
from hga_cli.imaging.trail import (
    Trail,
    canonical_affine,
    canonical_spacing,
    distance_mm,
    foreground_box,
    to_canonical,
)

SHAPE = (33, 47, 29)
SPACING = (0.9, 1.1, 3.0)
ORIENTATIONS = [(order, signs) for order in permutations(range(3)) for signs in product((1, -1), repeat=3)]


def rotation(degrees):
    angle = math.radians(degrees)
    about_z = [[math.cos(angle), -math.sin(angle), 0], [math.sin(angle), math.cos(angle), 0], [0, 0, 1]]
    about_x = [[1, 0, 0], [0, math.cos(angle), -math.sin(angle)], [0, math.sin(angle), math.cos(angle)]]
    return np.array(about_z) @ np.array(about_x)


def affine_of(order, signs, *, degrees=0):
    """File axis ``i`` runs along world axis ``order[i]``, forwards or backwards, with voxels of SPACING[i] mm."""
    matrix = np.zeros((3, 3))
    for axis, (world, sign) in enumerate(zip(order, signs, strict=True)):
        matrix[world, axis] = sign * SPACING[axis]
    affine = np.eye(4)
    affine[:3, :3] = rotation(degrees) @ matrix
    affine[:3, 3] = 12.5, -80, 33
    return affine


def name(orientation):
    return "".join(aff2axcodes(affine_of(*orientation)))


every_orientation = pytest.mark.parametrize("orientation", ORIENTATIONS, ids=name)


@every_orientation
@pytest.mark.parametrize("degrees", [0, 17], ids=["straight", "oblique"])
def test_way_back_is_exact_for_every_orientation(orientation, degrees):
    affine = affine_of(*orientation, degrees=degrees)
    data = np.random.default_rng(0).integers(1, 9, SHAPE)
    canonical = to_canonical(data, affine)
    start, stop = (3, 0, 5), tuple(size - cut for size, cut in zip(canonical.shape, (0, 4, 7), strict=True))
    trail = Trail.along(SHAPE, affine, (start, stop), None)
    assert trail.grid == trail.box_shape == trail.crop(canonical).shape

    inside = np.zeros(canonical.shape, bool)
    trail.crop(inside)[...] = True
    back, inside = trail.to_file(trail.uncrop(trail.crop(canonical))), trail.to_file(inside)
    assert back.shape == SHAPE
    assert back.flags.c_contiguous
    np.testing.assert_array_equal(back[inside], data[inside])
    assert not back[~inside].any()
    assert inside.sum() == math.prod(trail.box_shape)


@every_orientation
def test_canonical_axes_run_right_anterior_superior(orientation):
    """A voxel keeps its place in the world, and the axes run R, A, S."""
    affine = affine_of(*orientation, degrees=17)
    data = np.arange(math.prod(SHAPE)).reshape(SHAPE)
    canonical, turned = to_canonical(data, affine), canonical_affine(affine, SHAPE)
    assert aff2axcodes(turned) == ("R", "A", "S")
    for voxel in [(0, 0, 0), (32, 46, 28), (5, 40, 11)]:
        place = affine @ (*voxel, 1)
        found = np.rint(np.linalg.solve(turned, place)[:3]).astype(int)
        np.testing.assert_allclose(turned @ (*found, 1), place, atol=1e-9)
        assert canonical[tuple(found)] == data[voxel]


@every_orientation
def test_spacing_follows_the_axes(orientation):
    order, signs = orientation
    expected = [0.0] * 3
    for axis, world in enumerate(order):
        expected[world] = SPACING[axis]
    affine = affine_of(order, signs, degrees=17)
    assert canonical_spacing(affine) == pytest.approx(expected)
    assert canonical_spacing(canonical_affine(affine, SHAPE)) == pytest.approx(expected)


@pytest.mark.parametrize("orientation", [((0, 1, 2), (1, 1, 1)), ((2, 0, 1), (-1, 1, -1))], ids=name)
@pytest.mark.parametrize("spacing", [(2.0, 2.0, 2.0), (0.7, 1.3, 1.0), (300.0, 300.0, 300.0)], ids=str)
def test_resampling_is_undone_to_the_very_shape(orientation, spacing):
    affine = affine_of(*orientation, degrees=10)
    canonical = to_canonical(np.zeros(SHAPE), affine)
    stop = tuple(size - 2 for size in canonical.shape)
    trail = Trail.along(SHAPE, affine, ((1, 2, 3), stop), spacing)
    if max(spacing) < 100:
        assert trail.spacing == pytest.approx(spacing, rel=0.05)
    for old, new, before, after in zip(trail.original_spacing, trail.spacing, trail.box_shape, trail.grid, strict=True):
        assert old * before == pytest.approx(new * after)
    probabilities = np.random.default_rng(0).random((3, *trail.grid)).astype(np.float32)
    labels = trail.to_file(trail.uncrop(trail.labels_in_box(probabilities)))
    assert labels.shape == SHAPE
    assert labels.dtype == np.uint8


@pytest.mark.parametrize("spacing", [None, (1.0, 1.0, 1.0), (2.0, 2.0, 2.0)], ids=str)
def test_blob_comes_back_to_its_place(spacing):
    """A ball in the file, seen as probabilities on the grid of the network, is the same ball in the file again."""
    affine = affine_of((1, 2, 0), (-1, 1, -1), degrees=10)
    index = np.stack(np.meshgrid(*map(np.arange, SHAPE), indexing="ij"))
    distance = (index - np.array([10, 30, 18]).reshape(3, 1, 1, 1)) * np.reshape(SPACING, (3, 1, 1, 1))
    ball = (distance**2).sum(0) < 49
    canonical = to_canonical(ball, affine)
    trail = Trail.along(SHAPE, affine, foreground_box([np.pad(canonical[2:-2, 2:-2, 2:-2], 2)]), spacing)
    inside = resample_image(trail.crop(canonical), trail.grid)
    back = trail.to_file(trail.uncrop(trail.labels_in_box(np.stack([1 - inside, inside])))) == 1
    dice = 2 * (back & ball).sum() / (back.sum() + ball.sum())
    assert dice == 1 if spacing is None else dice > 0.95


def test_labels_in_box_are_the_most_probable_classes():
    labels = np.random.default_rng(0).integers(0, 4, (5, 6, 7))
    trail = Trail.along((9, 9, 9), np.eye(4), ((1, 2, 2), (6, 8, 9)), None)
    probabilities = np.moveaxis(np.eye(4, dtype=np.float32)[labels], -1, 0)
    np.testing.assert_array_equal(trail.labels_in_box(probabilities), labels)


def test_trail_is_plain_numbers():
    trail = Trail.along(np.array(SHAPE), affine_of((0, 1, 2), (1, 1, 1)).astype(np.float32), ((0, 0, 0), SHAPE), None)
    assert {type(number) for number in trail.shape} == {int}
    assert {type(number) for row in trail.affine for number in row} == {float}


def test_distance_is_that_of_the_furthest_corner():
    left = affine_of((0, 1, 2), (1, 1, 1))
    shifted = left.copy()
    shifted[:3, 3] += 3, 0, 4
    assert distance_mm(left, shifted, SHAPE, SHAPE) == pytest.approx(5)
    scaled = left.copy()
    scaled[0, 0] += 0.01
    assert distance_mm(left, scaled, SHAPE, SHAPE) == pytest.approx(0.32)
    assert distance_mm(left, left, SHAPE, SHAPE) == 0
    longer = (SHAPE[0] + 3, *SHAPE[1:])
    assert distance_mm(left, left, longer, SHAPE) == pytest.approx(3 * np.linalg.norm(left[:3, 0]))


def test_box_of_the_foreground_of_all_masks():
    masks = [np.zeros(SHAPE, bool) for _ in range(3)]
    masks[0][5, 6, 7] = masks[1][8, 2, 28] = masks[2][6, 6, 6] = True
    before = [mask.copy() for mask in masks]
    assert foreground_box(masks) == ((5, 2, 6), (9, 7, 29))
    np.testing.assert_array_equal(masks, before)


def test_box_of_nothing_is_everything():
    assert foreground_box([np.zeros(SHAPE, bool)]) == ((0, 0, 0), SHAPE)


@pytest.mark.parametrize("voxel", [(0, 0, 0), (32, 46, 28), (0, 46, 13)], ids=str)
def test_box_of_one_voxel(voxel):
    mask = np.zeros(SHAPE, bool)
    mask[voxel] = True
    assert foreground_box([mask]) == (voxel, tuple(place + 1 for place in voxel))
