"""Calibration of regions, with numbers computed elsewhere; see the note in golden_ece.json."""

import json
from pathlib import Path

import numpy as np
import pytest

from hga_cli.metrics.calibration import BINS, Reliability

GOLDEN = json.loads((Path(__file__).parent / "golden_ece.json").read_text())
REGIONS = {"WT": [1, 2, 3], "TC": [1, 3], "ET": [3]}


@pytest.fixture(params=GOLDEN["cases"], ids=lambda case: case["name"])
def case(request):
    scope = {"np": np}
    for line in request.param["recipe"]:
        exec(line, scope)
    logits = scope["logits"].astype(np.float64)
    assert logits.sum() == pytest.approx(request.param["logits_sum"], rel=1e-6)
    powers = np.exp(logits - logits.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True), scope["target"], request.param


@pytest.mark.parametrize("region", REGIONS)
def test_error_of_regions(case, region):
    probabilities, target, want = case
    probability, truth = probabilities[:, REGIONS[region]].sum(1), np.isin(target, REGIONS[region])
    labelled = target > 0
    assert Reliability.of(probability[labelled], truth[labelled]).error == pytest.approx(
        want["labelled"][region], abs=1e-5
    )
    # One voxel: a sum of probabilities that rounding lifts above 1 is in no bin there, and in the last one here.
    one_voxel = 1 / target.size if (want["name"], region) == ("b", "WT") else 0
    assert Reliability.of(probability, truth).error == pytest.approx(want["everywhere"][region], abs=1e-5 + one_voxel)


def test_cases_add_up():
    generator = np.random.default_rng(0)
    probability, truth = generator.random((3, 6, 5, 4)), generator.random((3, 6, 5, 4)) < 0.3
    parts = [Reliability.of(one, mask) for one, mask in zip(probability, truth, strict=True)]
    whole = Reliability.of(probability, truth)
    together = parts[0] + parts[1] + parts[2]
    assert together.error == pytest.approx(whole.error, abs=1e-12)
    assert Reliability.from_tree(whole.as_tree()).error == whole.error
    assert whole.voxels.sum() == probability.size


def test_perfect_and_always_wrong():
    truth = np.array([True, False, False, True])
    assert Reliability.of(truth.astype(float), truth).error == 0
    assert Reliability.of(1.0 - truth, truth).error == 1
    assert np.isnan(Reliability.of(np.empty(0), np.empty(0, bool)).error)


def test_bins_are_open_below():
    bins = Reliability.of(np.array([0.0, 0.05, 0.0500001, 0.999, 1.0]), np.zeros(5, bool)).voxels
    assert (len(bins), bins[0], bins[1], bins[-1]) == (BINS, 2, 1, 2)


def test_shapes_have_to_agree():
    with pytest.raises(ValueError, match=r"\(3,\).*\(2,\)"):
        Reliability.of(np.zeros(3), np.zeros(2, bool))
