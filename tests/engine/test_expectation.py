import pytest

from hga_cli.engine.expectation import Addition, Expectation

MODALITIES = ("flair", "t1ce", "t2")
TABLE = {
    "flair": {"WT": 0.8, "ET": 0.3},
    "flair+t1ce": {"WT": 0.82, "ET": 0.7},
    "flair+t2": {"WT": 0.85, "ET": 0.28},
    "t1ce": {"WT": None, "ET": None},
    "flair+t1ce+t2": {"WT": 0.8, "ET": 0.6},
}
KNOWN = Expectation(measured_on="validation", dice=TABLE)


@pytest.mark.parametrize(
    ("combination", "expected"),
    [(("flair", "t2"), {"WT": 0.85, "ET": 0.28}), (("t1ce",), None), (("t2",), None)],
    ids=["measured", "in no case", "not measured"],
)
def test_of_a_combination(combination, expected):
    assert KNOWN.of(combination) == expected


def test_the_modality_that_helps_most():
    assert KNOWN.best_addition(("flair",), MODALITIES) == Addition(modality="t1ce", region="ET", before=0.3, after=0.7)
    assert KNOWN.best_addition(("flair", "t2"), MODALITIES).modality == "t1ce"


@pytest.mark.parametrize("combination", [("flair", "t1ce"), MODALITIES, ("t2",)], ids=["worse", "nothing", "unknown"])
def test_no_modality_helps(combination):
    assert KNOWN.best_addition(combination, MODALITIES) is None


def test_where_it_comes_from():
    assert Expectation.from_contest({"latest": None}) is None
    assert Expectation.from_contest({}) is None
    assert Expectation.from_contest({"latest": {"mean": 0.5, "combinations": TABLE}}) == KNOWN
    rows = {"flair": {"WT": {"dice": 0.9, "dice_with_structure": 0.8, "n": 3}, "ET": {"dice_with_structure": None}}}
    found = Expectation.from_metrics({"split": "test", "combinations": rows}).of(("flair",))
    assert found == {"WT": 0.8}  # [M03] not the mean in which empty cases score 1
    assert Expectation(**KNOWN.as_tree()) == KNOWN
