"""Which slices are shown, and how large they are: what keeps a page small."""

from base64 import b64decode
from dataclasses import replace
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from hga_cli.reporting.viewer import EDGE, SLICES, data_png, shown_slices, viewer


def tall(scene, depth, found):
    """The scene with other slices; ``found`` are those with a label."""
    labels = np.zeros((2, 2, depth), np.uint8)
    labels[0, 0, list(found)] = 1
    return replace(scene, grey=np.zeros((2, 2, depth), np.uint8), labels={"prediction": labels, "reference": labels})


def picture(address):
    kind, _, data = address.partition(",")
    assert kind == "data:image/png;base64"
    return np.asarray(Image.open(BytesIO(b64decode(data))))


@pytest.mark.parametrize("depth", [1, 5, 32, 155, 400])
@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 1.0])
def test_shown_slices(scene, depth, share):
    """Never too many, in order, inside, and from before the first to after the last with labels."""
    found = range(round(depth * share * 0.3), round(depth * share))
    places = shown_slices(tall(scene, depth, found))
    assert 1 <= len(places) <= SLICES
    assert places == sorted(set(places))
    assert 0 <= places[0] <= places[-1] < depth
    if found:
        assert places[0] <= found[0]
        assert places[-1] >= found[-1]
        assert max(np.diff(places), default=0) <= -(-(len(found) + 4) // (SLICES - 1))


def test_small_lesion_has_surroundings(scene):
    places = shown_slices(tall(scene, 155, [80]))
    assert len(places) >= SLICES - 1
    assert 80 in places


@pytest.mark.parametrize(
    ("shape", "pixel", "size"),
    [
        ((100, 120), (1.0, 1.0), (100, 120)),
        ((600, 300), (0.5, 0.5), (EDGE, EDGE // 2)),
        ((20, 100), (5.0, 1.0), (100, 100)),
        ((10, 100), (1.0, 2.0), (10, 200)),
    ],
    ids=["as it is", "smaller", "thick slices", "wide pixels"],
)
def test_pictures_are_square_in_mm_and_small(shape, pixel, size):
    assert picture(data_png(np.zeros(shape, np.uint8), pixel)).shape == size


def test_picture_is_the_slice():
    grey = np.random.default_rng(0).integers(0, 255, (30, 40), np.uint8)
    assert np.array_equal(picture(data_png(grey, (1.0, 1.0))), grey)


def test_changed_scores_are_said(example):
    assert "notice" not in viewer(example, 1)
    made = viewer(replace(example, changed={"WT": (0.5, 0.7)}), 1)
    assert "WT 0.500, now 0.700" in made


def test_volumes_and_dice(example):
    made = viewer(example, 1)
    row = made[made.index('class="key r0"') :]
    assert row[: row.index("</tr>")].endswith("<td>0.0</td><td>0.0</td><td>80.0</td>")
