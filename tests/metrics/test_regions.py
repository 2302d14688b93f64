import numpy as np
import pytest

from hga_cli.metrics.regions import Region, averaged


def test_union_of_classes():
    labels = np.array([[0, 1, 2], [3, 4, 1]], np.uint8)
    assert Region(name="TC", classes=(1, 3)).mask(labels).tolist() == [[False, True, False], [True, False, True]]


@pytest.mark.parametrize(("voxels", "left"), [(499, 0), (500, 500), (501, 501)])
def test_threshold_of_the_prediction(voxels, left):
    labels = np.zeros((10, 10, 8), np.int64)
    labels.reshape(-1)[:voxels] = 3
    labels.reshape(-1)[600:] = 1
    region = Region(name="ETpp", classes=(3,), minimum_voxels=500)
    assert region.prediction_mask(labels).sum() == left
    assert region.mask(labels).sum() == voxels


def test_no_threshold_unless_asked_for():
    labels = np.zeros((4, 4, 4), np.int64)
    labels[0, 0, 0] = 2
    region = Region(name="ED", classes=(2,))
    assert np.array_equal(region.prediction_mask(labels), region.mask(labels))
    assert not region.prediction_mask(np.zeros_like(labels)).any()


def test_a_structure_counts_once_in_a_mean():
    regions = [Region(name="TC", classes=(1, 3)), Region(name="ET", classes=(3,))]
    assert averaged([*regions, Region(name="ETpp", classes=(3,), minimum_voxels=500)]) == ["TC", "ET"]
    only = Region(name="lesion", classes=(4,), minimum_voxels=10)  # the only one of its classes: it counts
    assert averaged([*regions, only]) == ["TC", "ET", "lesion"]


@pytest.mark.parametrize("wrong", [{"classes": ()}, {"classes": (0, 1)}, {"classes": (1,), "minimum_voxels": -1}])
def test_errors_name_the_region(wrong):
    with pytest.raises(ValueError, match="'WT'"):
        Region(name="WT", **wrong)
