"""Lesions: which are found, missed, made up; case M11 has one side or both without any."""

import math

import numpy as np
import pytest

from hga_cli.metrics.conventions import CONVENTIONS
from hga_cli.metrics.lesions import count_lesions
from hga_cli.metrics.regions import Region
from hga_cli.metrics.score import apply, apply_to_extras, score_case

SHAPE = (12, 12, 12)
NOTHING = np.zeros(SHAPE, np.uint8)


def lesions(*corners, size=2):
    mask = NOTHING.copy()
    for corner in corners:
        mask[tuple(slice(start, start + size) for start in corner)] = 1
    return mask


def counts(prediction, reference):
    found = count_lesions(prediction, reference)
    return found.reference, found.found, found.predicted, found.false


TWO = lesions((0, 0, 0), (10, 10, 10))
"""Both touch the border of the volume."""


@pytest.mark.parametrize(
    ("prediction", "reference", "expected", "f1"),
    [
        (NOTHING, TWO, (2, 0, 0, 0), 0.0),
        (lesions((5, 5, 5)), NOTHING, (0, 0, 1, 1), 0.0),
        (NOTHING, NOTHING, (0, 0, 0, 0), math.nan),
        (TWO, TWO, (2, 2, 2, 0), 1.0),
        (lesions((1, 1, 1), (5, 5, 5)), TWO, (2, 1, 2, 1), 0.5),
        (lesions((5, 5, 5)), TWO, (2, 0, 1, 1), 0.0),
    ],
    ids=["all missed", "made up", "both empty", "all found", "one of each", "elsewhere"],
)
def test_counts(prediction, reference, expected, f1):
    assert counts(prediction, reference) == expected
    assert count_lesions(prediction, reference).f1 == pytest.approx(f1, nan_ok=True)


def test_corners_connect():
    assert counts(lesions((2, 2, 2), (4, 4, 4)), NOTHING) == (0, 0, 1, 1)
    assert counts(lesions((2, 2, 2), (5, 5, 5)), NOTHING) == (0, 0, 2, 2)


def test_one_prediction_may_find_two_lesions():
    reference = lesions((2, 2, 2), (6, 2, 2))
    assert counts(lesions((2, 2, 2), size=6), reference) == (2, 2, 1, 0)


@pytest.mark.parametrize("name", CONVENTIONS)
def test_empty_sides_count_as_for_dice(name):
    for prediction, reference in [(NOTHING, TWO), (TWO, NOTHING), (NOTHING, NOTHING)]:
        (score,) = score_case(
            prediction,
            reference,
            [Region(name="lesion", classes=(1,))],
            spacing=(1, 1, 1),
            extras=("lesions", "surface_dice"),
        )
        dice, _ = apply(score, CONVENTIONS[name])
        extras = apply_to_extras(score, CONVENTIONS[name])
        assert [extras["lesion_f1"], extras["surface_dice"]] == pytest.approx([dice, dice], nan_ok=True)
