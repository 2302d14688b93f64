import dataclasses
import math

import numpy as np
import pytest

from hga_cli.metrics.conventions import CONVENTIONS, convention
from hga_cli.metrics.overlap import dice
from hga_cli.metrics.regions import Region
from hga_cli.metrics.score import apply, score_case
from hga_cli.metrics.surface import hd95

REGIONS = (
    Region(name="WT", classes=(1, 2, 3)),
    Region(name="TC", classes=(1, 3)),
    Region(name="ETpp", classes=(3,), minimum_voxels=20),
)
ET = Region(name="ET", classes=(3,))


def cube(label=3, shape=(16, 16, 16), start=4):
    labels = np.zeros(shape, np.uint8)
    labels[start : start + 3, 5:6, 5:6] = label
    return labels


def score_one(prediction, reference, spacing=(1, 1, 1)):
    (score,) = score_case(prediction, reference, [ET], spacing=spacing)
    return score


@pytest.mark.parametrize("definition", ["pooled", "maximum"])
def test_cropping_changes_nothing(definition):
    labels = np.zeros((2, 30, 28, 26), np.int64)
    labels[:, 5:15, 8:20, 3:12] = np.random.default_rng(3).integers(0, 4, (2, 10, 12, 9))
    labels[1] = np.roll(labels[1], 2, axis=0)
    spacing = (0.5, 2.0, 3.0)
    scores = score_case(*labels, REGIONS, spacing=spacing, definition=definition)
    assert [score.region for score in scores] == ["WT", "TC", "ETpp"]
    for score, region in zip(scores, REGIONS, strict=True):
        masks = region.prediction_mask(labels[0]), region.mask(labels[1])
        assert score.dice == dice(*masks)
        assert score.hd95 == pytest.approx(hd95(*masks, spacing, definition=definition), abs=1e-9)
        assert [score.predicted_voxels, score.reference_voxels] == [mask.sum() for mask in masks]
        assert score.diagonal_mm == pytest.approx(math.hypot(15, 56, 78))
        assert score.definition == definition


def test_raw_scores_of_the_four_combinations():
    empty, full = np.zeros_like(cube()), cube()
    rows = [score_one(p, r) for p, r in [(full, full), (empty, full), (full, empty), (empty, empty)]]
    assert [row.miss for row in rows] == [False, True, False, False]
    assert [row.false_alarm for row in rows] == [False, False, True, False]
    assert [row.dice for row in rows] == pytest.approx([1, 0, 0, math.nan], nan_ok=True)
    assert [row.hd95 for row in rows] == pytest.approx([0, math.nan, math.nan, math.nan], nan_ok=True)


@pytest.mark.parametrize(
    ("name", "one_empty", "both_empty"),
    [
        ("hga", (0, 1.0), (1, 0)),
        ("brats", (0, 373.12866), (1, 0)),
        ("diagonal", (0, math.hypot(16, 16, 16)), (1, 0)),
        ("exclude", (0, math.nan), (math.nan, math.nan)),
    ],
)
def test_empty_structures_under_each_convention(name, one_empty, both_empty):
    empty, full, shifted = np.zeros_like(cube()), cube(), cube(start=5)
    for pair in [(empty, full), (full, empty)]:
        assert apply(score_one(*pair), convention(name)) == pytest.approx(one_empty, nan_ok=True)
    assert apply(score_one(empty, empty), convention(name)) == pytest.approx(both_empty, nan_ok=True)
    assert apply(score_one(shifted, full), convention(name)) == pytest.approx((2 / 3, 1.0))


def test_penalty_of_the_actual_volume():
    """Case M05: the diagonal follows the shape and the spacing; a miss costs what a false alarm costs."""
    empty, diagonal = np.zeros_like(cube()), convention("diagonal")
    false_alarm, miss = score_one(cube(), empty), score_one(empty, cube())
    assert (false_alarm.predicted_voxels, false_alarm.false_alarm, miss.miss) == (3, True, True)
    assert apply(false_alarm, diagonal) == apply(miss, diagonal) == pytest.approx((0, 27.71), abs=5e-3)
    assert apply(score_one(cube(), empty, spacing=(1, 1, 3)), diagonal)[1] == pytest.approx(math.hypot(16, 16, 48))
    brats = cube(shape=(240, 240, 155))
    assert apply(score_one(brats, np.zeros_like(brats)), diagonal)[1] == pytest.approx(373.13, abs=5e-3)


def test_absent_structures_do_not_hide_a_miss():
    """Case M03: ET exists in one case of ten and is missed there."""
    empty = np.zeros_like(cube())
    scores = [score_one(empty, cube() if case == 0 else empty) for case in range(10)]
    present_only = [apply(score, convention("exclude"))[0] for score in scores]
    assert np.count_nonzero(np.isfinite(present_only)) == 1
    assert np.nanmean(present_only) == 0.0
    assert np.mean([apply(score, convention("hga"))[0] for score in scores]) == pytest.approx(0.9)
    assert sum(score.miss for score in scores) == 1


def test_a_prediction_below_the_minimum_is_a_miss():
    (score,) = score_case(cube(), cube(), [REGIONS[2]], spacing=(1, 1, 1))
    assert (score.predicted_voxels, score.reference_voxels, score.dice, score.miss) == (0, 3, 0.0, True)


def test_slices_of_two_dimensions():
    labels = cube()[:, :, 5]
    score = score_one(np.roll(labels, 1, axis=0), labels, spacing=(2, 1))
    assert (score.dice, score.hd95) == pytest.approx((2 / 3, 2.0))
    assert score.diagonal_mm == pytest.approx(math.hypot(32, 16))


def test_errors():
    labels = cube()
    with pytest.raises(ValueError, match="shape"):
        score_case(labels, labels[1:], [ET], spacing=(1, 1, 1))
    with pytest.raises(ValueError, match="spacing"):
        score_case(labels, labels, [ET], spacing=(1, 1))
    score = dataclasses.replace(score_one(labels, labels), definition="maximum")
    for each in CONVENTIONS.values():
        with pytest.raises(ValueError, match=f"maximum.*{each.name}.*pooled"):
            apply(score, each)
