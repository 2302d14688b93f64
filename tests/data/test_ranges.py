import json

import numpy as np
import pytest

from hga_cli.data.ranges import Looks, Ranges, differences_from, foreground_share, ranges_of
from hga_cli.data.store import Store
from hga_cli.imaging.trail import Trail

SEEN = Ranges(
    spacing=((1.0, 1.0, 1.0), (1.0, 1.0, 1.5)),
    box_mm=((130.0, 160.0, 120.0), (150.0, 180.0, 150.0)),
    box_share=(0.3, 0.5),
    foreground=(0.5, 0.6),
)
USUAL = {"spacing": (1.0, 1.0, 1.2), "box_mm": (140.0, 170.0, 140.0), "box_share": 0.4}


def said(foreground=0.55, **changes):
    return differences_from(SEEN, Looks(**{**USUAL, **changes}), foreground)


def test_usual_case():
    assert said() == []


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"spacing": (1.0, 1.0, 5.0)}, "voxel size is 1 x 1 x 5 mm; training cases: 1 x 1 x 1 to 1 x 1 x 1.5"),
        ({"spacing": (0.5, 1.0, 1.0)}, "voxel size"),
        ({"box_mm": (60.0, 70.0, 60.0)}, "size of what is not empty is 60 x 70 x 60 mm"),
        ({"box_mm": (240.0, 240.0, 200.0)}, "size of what is not empty"),
        (
            {"foreground": 1.0},
            "100% of the head box is not empty; training cases: 50% to 60%; was the brain extracted?",
        ),
        ({"foreground": 0.1}, "10% of the head box is not empty; training cases: 50% to 60%"),
        ({"box_share": 1.0}, "reaches all borders"),
    ],
)
def test_unusual_case(changes, text):
    (one,) = said(**changes)
    assert one.startswith("unlike the training cases: ")
    assert text in one


def test_measures_of_a_case():
    affine = np.diag([2.0, 1.0, 3.0, 1.0])
    trail = Trail.along((10, 20, 30), affine, ((1, 2, 3), (6, 12, 18)), None)
    looks = Looks.of(trail)
    assert looks.spacing == (2.0, 1.0, 3.0)
    assert looks.box_mm == (10.0, 10.0, 45.0)
    assert looks.box_share == pytest.approx(5 * 10 * 15 / 6000)


def test_share_of_foreground():
    image = np.full((4, 4, 4), -2.0, np.float32)
    image[:1] = 0.5
    assert foreground_share(image, -2.0) == 0.25


def test_cases_of_a_store_are_within_their_own_ranges(tiny):
    store = Store(tiny.store)
    cases = sorted(store.cases)
    ranges = ranges_of(store, cases)
    for case in cases:
        first = store.cases[case].modalities[:1]
        share = foreground_share(store.images(case, first)[0], store.backgrounds(case, first)[0])
        assert differences_from(ranges, Looks.of(store.trail(case)), share) == []
    text = json.dumps(ranges.as_tree())
    assert Ranges.from_tree(json.loads(text)) == ranges
    assert not any(case in text for case in cases)
