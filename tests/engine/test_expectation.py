import pytest

from hga_cli.engine.expectation import Addition, Expectation, paired

MODALITIES = ("flair", "t1ce", "t2")
TABLE = {
    "flair": {"WT": 0.8, "ET": 0.3},
    "flair+t1ce": {"WT": 0.82, "ET": 0.7},
    "flair+t2": {"WT": 0.85, "ET": 0.28},
    "t1ce": {"WT": None, "ET": None},
}
SCORES = {
    "flair": {"WT": {"a": 0.8, "b": 0.8}, "ET": {"a": 0.4, "b": 0.2}},
    "flair+t1ce": {"WT": {"a": 0.82, "b": 0.82}, "ET": {"a": 0.7, "b": 0.6}},
    "flair+t2": {"WT": {"a": 0.9}, "ET": {"a": 0.28}},
    "flair+t1ce+t2": {"WT": {"a": 0.8}, "ET": {"a": 0.6}},
}
KNOWN = Expectation(measured_on="validation", dice=TABLE, pairs=paired(SCORES, MODALITIES))


def evaluation(scores, split="test"):
    """A document of ``metrics.json``: combination -> case -> Dice of ET, None where it has none."""
    rows = [
        {"case": case, "combination": name, "region": "ET", "reference_voxels": 9 * (dice is not None)}
        | {"raw_dice": dice, "dice": 1.0 if dice is None else dice}
        for name, cases in scores.items()
        for case, dice in cases.items()
    ]
    known = {name: [dice for dice in cases.values() if dice is not None] for name, cases in scores.items()}
    table = {
        name: {"ET": {"dice": 1.0, "dice_with_structure": sum(values) / len(values) if values else None}}
        for name, values in known.items()
    }
    return {"split": split, "modalities": ["flair", "t1ce", "t2"], "combinations": table, "cases": rows}


@pytest.mark.parametrize(
    ("combination", "expected"),
    [(("flair", "t2"), {"WT": 0.85, "ET": 0.28}), (("t1ce",), None), (("t2",), None)],
    ids=["measured", "in no case", "not measured"],
)
def test_of_a_combination(combination, expected):
    assert KNOWN.of(combination) == expected


def test_the_modality_that_helps_most():
    found = KNOWN.best_addition(("flair",))
    assert (found.modality, found.region, found.n) == ("t1ce", "ET", 2)
    assert (found.before, found.after) == pytest.approx((0.3, 0.65))
    assert KNOWN.best_addition(("flair", "t2")).modality == "t1ce"


@pytest.mark.parametrize("combination", [("flair", "t1ce"), MODALITIES, ("t2",)], ids=["worse", "nothing", "unknown"])
def test_no_modality_helps(combination):
    assert KNOWN.best_addition(combination) is None


class TestSameCases:
    """A gain is the difference on the cases that have both combinations."""

    def test_means_over_other_cases_are_not_compared(self):
        """A hard case without t2 makes it look helpful: 0.30 -> 0.60, though the easy case loses by it."""
        found = Expectation.from_metrics(evaluation({"flair": {"hard": 0.0, "easy": 0.6}, "flair+t2": {"easy": 0.59}}))
        assert (found.of(("flair",)), found.of(("flair", "t2"))) == ({"ET": 0.3}, {"ET": 0.59})
        assert found.best_addition(("flair",)) is None

    def test_before_is_of_the_same_cases(self):
        found = Expectation.from_metrics(evaluation({"flair": {"hard": 0.0, "easy": 0.5}, "flair+t2": {"easy": 0.75}}))
        expected = Addition(modality="t2", region="ET", before=0.5, after=0.75, n=1)
        assert found.best_addition(("flair",)) == expected

    @pytest.mark.parametrize("other", [{"b": 0.9}, {"a": None}, {}], ids=["others", "no structure", "no case"])
    def test_no_common_case(self, other):
        found = Expectation.from_metrics(evaluation({"flair": {"a": 0.1}, "flair+t2": other}))
        assert found.pairs == {}
        assert found.best_addition(("flair",)) is None

    def test_a_region_without_common_case_does_not_count(self):
        scores = {"flair": {"WT": {"a": 0.5}, "ET": {"a": 0.1}}, "flair+t2": {"WT": {"a": 0.6}, "ET": {"b": 0.9}}}
        pair = paired(scores, MODALITIES)["flair"]["t2"]
        assert pair == {"WT": {"before": 0.5, "after": 0.6, "n": 1}}

    def test_order_of_the_modalities(self):
        """``t2`` added to ``t1ce`` is ``t1ce+t2``, and ``flair`` comes before."""
        scores = {name: {"ET": {"a": 0.5}} for name in ("t2", "flair+t2", "t1ce+t2", "t1ce")}
        found = {name: list(row) for name, row in paired(scores, MODALITIES).items()}
        assert found == {"t1ce": ["t2"], "t2": ["flair", "t1ce"]}

    def test_no_id_is_kept(self):
        tree = Expectation.from_metrics(evaluation({"flair": {"Anna": 0.5}, "flair+t2": {"Anna": 0.6}})).as_tree()
        assert tree["pairs"] == {"flair": {"t2": {"ET": {"before": 0.5, "after": 0.6, "n": 1}}}}
        assert "Anna" not in str(tree)

    def test_older_model_suggests_nothing(self):
        assert Expectation(measured_on="validation", dice=TABLE).best_addition(("flair",)) is None
        older = Expectation.from_contest({"latest": {"mean": 0.5, "combinations": TABLE}})
        assert older.best_addition(("flair",)) is None


class TestSources:
    """Each combination has the best number there is, and says where it is from; never one of training cases."""

    @pytest.mark.parametrize("split", ["train", "other/train"])
    def test_training_cases_promise_nothing(self, split):
        assert Expectation.from_metrics(evaluation({"flair": {"a": 0.9}}, split)) is None

    @pytest.mark.parametrize("split", ["test", "val", "train/test"])
    def test_parts_that_were_not_trained_on(self, split):
        assert Expectation.from_metrics(evaluation({"flair": {"a": 0.9}}, split)).source("flair") == split

    def test_validation_stays_where_the_evaluation_says_nothing(self):
        partial = Expectation.from_metrics(evaluation({"flair": {"a": 0.5}, "flair+t2": {"a": None}}))
        found = partial.over(KNOWN)
        assert found.of(("flair",)) == {"ET": 0.5}
        assert found.of(("flair", "t2")) == {"WT": 0.85, "ET": 0.28}
        assert found.sources == {"flair": "test", "flair+t2": "validation", "flair+t1ce": "validation"}
        assert found.measured_on == "test and validation"
        assert found.best_addition(("flair",)) is None  # the pairs of validation are not those of this number
        assert found.best_addition(("flair", "t2")) == KNOWN.best_addition(("flair", "t2"))
        assert Expectation(**found.as_tree()) == found

    def test_nothing_but_the_evaluation(self):
        whole = Expectation.from_metrics(evaluation({"flair": {"a": 0.5}}))
        assert whole.over(None) == whole


def test_where_it_comes_from():
    assert Expectation.from_contest({"latest": None}) is None
    assert Expectation.from_contest({}) is None
    latest = {"mean": 0.5, "combinations": TABLE, "pairs": paired(SCORES, MODALITIES)}
    assert Expectation.from_contest({"latest": latest}) == KNOWN
    found = Expectation.from_metrics(evaluation({"flair": {"a": 0.8, "empty": None}}))
    assert found.of(("flair",)) == {"ET": 0.8}  # [M03] not the mean in which empty cases score 1
    assert Expectation(**KNOWN.as_tree()) == KNOWN
