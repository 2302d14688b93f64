"""Numbers computed by the paper's code; see the note in golden_dice_hd95.json."""

import json
from pathlib import Path

import numpy as np
import pytest

from hga_cli.metrics.conventions import convention
from hga_cli.metrics.regions import Region
from hga_cli.metrics.score import apply, score_case

GOLDEN = json.loads((Path(__file__).parent / "golden_dice_hd95.json").read_text())
REGIONS = (
    Region(name="WT", classes=(1, 2, 3)),
    Region(name="TC", classes=(1, 3)),
    Region(name="ET", classes=(3,)),
    Region(name="ETpp", classes=(3,), minimum_voxels=500),
)
CLASSES = tuple(Region(name=name, classes=(label,)) for label, name in enumerate(("NCR", "ED", "ET"), start=1))


@pytest.fixture(params=GOLDEN["cases"], ids=lambda case: case["name"])
def case(request):
    scope = {"np": np}
    for line in request.param["recipe"]:
        exec("\n".join(GOLDEN["lesion"]) if line == "LESION" else line, scope)
    assert [scope["pred"].sum(), scope["target"].sum()] == request.param["sums"]
    return scope["pred"], scope["target"], request.param


def test_regions_as_the_paper(case):
    prediction, reference, want = case
    scores = score_case(prediction, reference, REGIONS, spacing=(1, 1, 1))
    values = [apply(score, convention("hga")) for score in scores]
    assert [dice for dice, _ in values] == pytest.approx(want["dice"], abs=1e-6)
    assert [hd95 for _, hd95 in values] == pytest.approx(want["hd95"], abs=1e-9)
    assert [score.miss or score.false_alarm for score in scores] == want["one_empty"]
    assert [[score.reference_voxels, score.predicted_voxels] for score in scores] == want["voxels"]


def test_classes_as_the_paper(case):
    prediction, reference, want = case
    scores = score_case(prediction, reference, CLASSES, spacing=(1, 1, 1))
    assert [apply(score, convention("hga"))[0] for score in scores] == pytest.approx(want["dice_classes"], abs=1e-6)
