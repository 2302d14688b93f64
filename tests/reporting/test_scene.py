"""A slice is shown as radiologists look at it, and its numbers are those of the file."""

import numpy as np
import pytest

from hga_cli.imaging.trail import Trail
from hga_cli.metrics.regions import Region
from hga_cli.reporting.mosaic import fullest
from hga_cli.reporting.scene import AXES, Scene, drawn_regions, plane, plane_spacing, shades

SHAPE = (4, 6, 8)
CORNERS = {
    "axial": {(0, 0): (3, 5), (0, -1): (0, 5), (-1, 0): (3, 0)},
    "coronal": {(0, 0): (3, 7), (0, -1): (0, 7), (-1, 0): (3, 0)},
    "sagittal": {(0, 0): (5, 7), (0, -1): (0, 7), (-1, 0): (5, 0)},
}
"""Plane -> (row, column) of a corner -> indices along the other two axes (Right, Anterior, Superior grow)."""


@pytest.mark.parametrize("name", AXES)
def test_right_is_left_and_top_is_up(name):
    """Top left is Right and Anterior (axial), Right and Superior (coronal), Anterior and Superior (sagittal)."""
    axis, place = AXES[name], 2
    volume = np.arange(np.prod(SHAPE), dtype=np.uint8).reshape(SHAPE)
    seen = plane(volume, axis, place)
    for (row, column), others in CORNERS[name].items():
        index = list(others)
        index.insert(axis, place)
        assert seen[row, column] == volume[tuple(index)]


def test_pixels_keep_their_size():
    assert [plane_spacing((1.0, 2.0, 3.0), axis) for axis in range(3)] == [(3.0, 2.0), (3.0, 1.0), (2.0, 1.0)]


def test_masks_are_seen_as_the_scan_is(scene):
    (mask,) = scene.masks("prediction", AXES["axial"], 1)
    grey = plane(scene.grey, AXES["axial"], 1)
    assert set(grey[mask]) == set(scene.grey[scene.labels["prediction"] == 1])


def test_slices_are_counted_in_the_whole_file(scene):
    assert scene.slice_name(AXES["axial"], 0) == "axial slice 31 of 60"
    assert scene.slice_name(AXES["sagittal"], 3) == "sagittal slice 14 of 40"


def test_foreground_is_that_of_both_label_maps(scene):
    assert scene.foreground(1).tolist() == [0, 0, 1, 1, 1, 0]
    assert scene.foreground(2).tolist() == [0, 3, 0]


def test_scene_lies_in_the_crop_box():
    """The scan of a coarser grid comes back to the voxels of the file; labels are cut to the same box."""
    affine = np.diag([1.0, 1.0, 1.0, 1.0])
    trail = Trail.along((10, 12, 8), affine, ((2, 2, 2), (8, 10, 6)), (2.0, 2.0, 2.0))
    labels = np.zeros((10, 12, 8), np.uint8)
    labels[3, 4, 5] = 1
    image = np.zeros(trail.grid, np.float32)
    image[0] = 5
    made = Scene.of("t1", image, trail, {"prediction": labels}, [Region(name="WT", classes=(1,))])
    assert made.grey.shape == made.labels["prediction"].shape == (6, 8, 4)
    assert np.argwhere(made.labels["prediction"]).tolist() == [[1, 2, 3]]
    assert (made.start, made.whole) == ((2, 2, 2), (10, 12, 8))
    assert (made.grey[0] > 0).all()
    assert (made.grey[-1] == 0).all()


def test_regions_that_look_the_same_are_drawn_once():
    names = {"WT": (1, 2, 3), "ET": (3,), "ETpp": (3,), "TC": (1, 3)}
    regions = [Region(name=name, classes=classes) for name, classes in names.items()]
    assert [region.name for region in drawn_regions(regions)] == ["WT", "ET", "TC"]


def test_shades():
    image = np.full((5, 5, 5), -3, np.float32)
    image[1:4, 1:4, 1:4] = np.linspace(-1, 2, 27).reshape(3, 3, 3)
    grey = shades(image)
    assert set(grey[image == -3]) == {0}
    inside = grey[1:4, 1:4, 1:4].ravel().astype(int)
    assert (np.diff(inside) >= 0).all()
    assert inside[-1] == 255
    assert len(set(inside)) > 20


def test_shades_of_nothing():
    assert not shades(np.full((2, 2, 2), 7, np.float32)).any()


@pytest.mark.parametrize(
    ("counts", "chosen"),
    [
        ([0, 1, 5, 2, 9, 3, 0, 4, 0], [2, 4, 7]),
        ([0, 0, 0, 7, 0, 0], [3]),
        ([0, 0, 0, 0, 0, 0], [0, 2, 4]),
        ([2], [0]),
    ],
    ids=["thirds", "one slice", "nothing found", "flat volume"],
)
def test_fullest_slices(counts, chosen):
    assert fullest(np.array(counts), 3) == chosen
