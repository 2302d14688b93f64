"""The document of ``metrics.json``: every case counts once, absent structures hide nothing, intervals are honest."""

import math

import numpy as np
import pytest

from hga_cli.engine.scoring import Row
from hga_cli.metrics.conventions import CONVENTIONS
from hga_cli.metrics.regions import Region
from hga_cli.metrics.score import RegionScore
from hga_cli.workflows.metrics_document import Examined, metrics_document

ET = Region(name="ET", classes=(3,))
FLAIR, BOTH = ("flair",), ("flair", "t2")


def row(case, dice, combination=FLAIR, *, predicted=10, reference=10):
    score = RegionScore(
        region="ET",
        dice=dice,
        hd95=1 - dice if predicted and reference else math.nan,
        predicted_voxels=predicted,
        reference_voxels=reference,
        diagonal_mm=100.0,
    )
    return Row(case=case, combination=combination, score=score)


def document(rows, combinations=(FLAIR,), convention="hga", subjects=None):
    cases = {one.case for one in rows}
    what = Examined(
        modalities=BOTH,
        combinations=combinations,
        regions=[ET],
        convention=CONVENTIONS[convention],
        subjects=subjects or {case: case for case in cases},
        tolerance=1.0,
    )
    return metrics_document(rows, what)


def test_every_case_counts_once():
    """[M07] Three cases: 0.50, and neither 0.40 (mean of batch means) nor 0.70 (last batch dropped)."""
    made = document([row("a", 0.8), row("b", 0.6), row("c", 0.1)])
    assert made["combinations"]["flair"]["ET"]["dice"] == pytest.approx(0.5)
    assert made["mean"]["ET"]["dice"] == pytest.approx(0.5)
    assert made["overall"]["ET"]["dice"]["sd"] == pytest.approx(np.std([0.8, 0.6, 0.1], ddof=1))


def test_absent_structures_do_not_hide_a_miss():
    """[M03] ET is in one of ten cases and missed there: the mean that counts empty cases never stands alone."""
    rows = [row("1", 0.0, predicted=0)] + [row(str(k), math.nan, predicted=0, reference=0) for k in range(2, 11)]
    cell = document(rows)["combinations"]["flair"]["ET"]
    assert cell["dice"] == pytest.approx(0.9)
    assert (cell["dice_with_structure"], cell["n_with_structure"], cell["n"], cell["misses"]) == (0.0, 1, 10, 1)
    assert document(rows)["structures"]["ET"] == {
        "dice": 0.0,
        "present": 1,
        "misses": 1,
        "absent": 9,
        "false_alarms": 0,
    }
    excluded = document(rows, convention="exclude")["combinations"]["flair"]["ET"]
    assert excluded["dice"] == 0.0
    assert math.isnan(excluded["hd95"])


def test_mean_is_that_of_combinations_and_spread_that_of_cases():
    rows = [row("a", 0.9), row("a", 0.5, BOTH), row("b", 0.3)]
    made = document(rows, [FLAIR, BOTH])
    assert made["mean"]["ET"]["dice"] == pytest.approx((0.6 + 0.5) / 2)
    assert made["overall"]["ET"]["dice"]["mean"] == made["mean"]["ET"]["dice"]
    assert made["overall"]["ET"]["dice"]["sd"] == pytest.approx(np.std([0.7, 0.3], ddof=1))
    assert made["worst"]["ET"] == "flair+t2"
    assert made["combinations"]["flair+t2"]["ET"]["n"] == 1


def test_interval_is_over_subjects():
    values = np.linspace(0, 1, 12)
    rows = [row(f"c{number:02}", value) for number, value in enumerate(values)]
    of_cases = document(rows)
    pairs = document(rows, subjects={f"c{number:02}": f"s{number // 6}" for number in range(12)})
    for made in (of_cases, pairs):
        low, high = made["combinations"]["flair"]["ET"]["dice_interval"]
        assert low < 0.5 < high
        assert (low, high) == (made["overall"]["ET"]["dice"]["low"], made["overall"]["ET"]["dice"]["high"])
    assert pairs["overall"]["ET"]["dice"]["low"] == pytest.approx(values[:6].mean())
    assert of_cases["overall"]["ET"]["dice"]["low"] > values[:6].mean()
    assert math.isnan(document([row("a", 0.5)])["overall"]["ET"]["dice"]["low"])


def test_rows_hold_what_any_convention_needs():
    made = document([row("001", 0.0, predicted=0), row("1", 0.75)], subjects={"001": "x", "1": "1"})
    assert [(one["case"], one["subject"]) for one in made["cases"]] == [("001", "x"), ("1", "1")]
    assert {"raw_dice", "raw_hd95", "diagonal_mm", "predicted_voxels", "reference_voxels"} <= set(made["cases"][0])
    assert made["cases"][0]["hd95"] == 1.0
    assert made["conventions"]["interval"]["draws"] == 2000
