"""Mirrored windows, blending, and combinations in groups that fit into memory."""

from itertools import combinations as choose

import numpy as np
import pytest
from test_inference import BACKGROUNDS, EVERY, MODALITIES, assert_close, assert_probabilities, direct, draw, model

from hga_cli.core.combinations import all_combinations
from hga_cli.engine import inference
from hga_cli.engine.inference import each_combination, predict_combinations


def predicted(one, images, combinations, **windows):
    return predict_combinations(one, images, BACKGROUNDS, combinations, **{"overlap": 0.5, **windows})


@pytest.mark.parametrize("patch", [(16, 16, 16), (16, 16)], ids=["3D", "2D"])
def test_mirrored_windows_are_turned_back_and_averaged(patch):
    one = model(patch=patch)
    images = draw((16, 16, 16) if len(patch) == 3 else (16, 16, 1))
    flat = {name: image.reshape(patch) for name, image in images.items()}
    found = predicted(one, images, [MODALITIES], flips=True)[MODALITIES]
    turns = [turn for count in range(len(patch) + 1) for turn in choose(range(len(patch)), count)]
    assert len(turns) == 2 ** len(patch)
    versions = [
        np.flip(
            direct(one, {name: np.flip(image, turn) for name, image in flat.items()}, MODALITIES),
            [axis + 1 for axis in turn],
        )
        for turn in turns
    ]
    assert_close(found.reshape(3, *patch), np.mean(versions, 0))
    assert_probabilities(found, (*patch, 1)[:3])


def test_mirrored_answer_belongs_to_a_mirrored_scan():
    """The answer does not depend on the side of the patient any more."""
    one, images = model(), draw((16, 16, 16))
    found = predicted(one, images, [("t2",)], flips=True)["t2",]
    mirrored = predicted(one, {name: image[::-1] for name, image in images.items()}, [("t2",)], flips=True)["t2",]
    assert_close(found, mirrored[:, ::-1])


def test_blending_weighs_the_middle_of_a_window_more():
    """Where two windows overlap, each voxel follows the one whose middle is nearer."""
    one, images = model(), draw((24, 16, 16))
    left, right = (
        direct(one, {name: image[start : start + 16] for name, image in images.items()}, MODALITIES) for start in (0, 8)
    )
    found = predicted(one, images, [MODALITIES], blending="gaussian")[MODALITIES]
    equal = predicted(one, images, [MODALITIES])[MODALITIES]
    assert_probabilities(found, (24, 16, 16))
    assert_close(found[:, :8], left[:, :8])
    assert_close(found[:, 16:], right[:, 8:])
    assert_close(equal[:, 8], (left[:, 8] + right[:, 0]) / 2)
    middle = (slice(None), slice(6, 10), slice(6, 10))
    for plane, near, far in ((8, left[:, 8], right[:, 0]), (15, right[:, 7], left[:, 15])):
        seen = found[:, plane][middle]
        assert np.abs(seen - near[middle]).max() < np.abs(seen - far[middle]).max() / 10


@pytest.mark.parametrize("room", [0, 4 * 3 * 17 * 16 * 16 * 2, 2**30], ids=["one by one", "two at a time", "all"])
def test_groups_change_nothing(monkeypatch, room):
    one, images = model(), draw((17, 16, 16))
    expected = predicted(one, images, EVERY)
    encodings = []
    encode = one.network.encode
    monkeypatch.setattr(one.network, "encode", lambda images: encodings.append(1) or encode(images))
    monkeypatch.setattr(inference, "ROOM", room)
    found = dict(each_combination(one, images, BACKGROUNDS, EVERY, overlap=0.5))
    assert list(found) == EVERY
    assert all(one.base is None for one in found.values())  # a view would keep the others in memory
    assert all(np.array_equal(found[combination], expected[combination]) for combination in EVERY)
    groups = {0: len(EVERY), 2**30: 1}.get(room, (len(EVERY) + 1) // 2)
    assert len(encodings) == 2 * groups  # two windows


def test_all_combinations_of_an_uncut_image_of_brats_are_encoded_once():
    every = all_combinations(("flair", "t1ce", "t1", "t2"))
    assert inference.groups(every, classes=4, voxels=240 * 240 * 155) == [every]
    assert inference.groups(every, classes=4, voxels=240 * 240 * 160) == [every[:7], every[7:]]
    assert inference.groups(every, classes=4, voxels=10**12) == [[one] for one in every]
