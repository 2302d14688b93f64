"""Which cases are shown, and that what is shown is what was scored."""

from dataclasses import replace

import pytest
import torch

from hga_cli.core.errors import UsageError
from hga_cli.data.store import Store
from hga_cli.engine.inference import load_model
from hga_cli.metrics.overlap import dice
from hga_cli.reporting.examples import choose, draw


def metrics(scores):
    """A document with rows of two regions around a mean, and one that does not count: case -> combination -> mean."""
    rows = [
        {"case": case, "combination": name, "region": region, "dice": mean + shift, "raw_dice": mean + shift}
        for case, of_case in scores.items()
        for name, mean in of_case.items()
        for region, shift in (("WT", 0.1), ("ET", -0.1), ("ETpp", -0.05))
    ]
    names = dict.fromkeys(name for of_case in scores.values() for name in of_case)
    return {"conventions": {"averaged": ["WT", "ET"]}, "cases": rows, "combinations": names}


def shown(choices):
    return [(one.title, one.case, one.combination) for one in choices]


def test_best_median_worst():
    scores = {f"p{number}": {"t2": number / 10} for number in (3, 5, 1, 2, 4)}
    assert shown(choose(metrics(scores), None)) == [
        ("best", "p5", ("t2",)),
        ("median", "p3", ("t2",)),
        ("worst", "p1", ("t2",)),
    ]


@pytest.mark.parametrize(("count", "titles"), [(1, ["only"]), (2, ["best", "worst"]), (3, ["best", "median", "worst"])])
def test_few_cases(count, titles):
    found = choose(metrics({f"p{number}": {"t2": 0.5 + number / 10} for number in range(count)}), None)
    assert [one.title for one in found] == titles
    assert len({one.case for one in found}) == count
    assert found[0].mean == pytest.approx(0.4 + count / 10)
    assert [one.mean for one in found] == sorted((one.mean for one in found), reverse=True)


def test_each_case_by_all_that_it_has():
    scores = {"whole": {"flair": 0.9, "t2": 0.1, "flair+t2": 0.6}, "half": {"flair": 0.8}}
    assert shown(choose(metrics(scores), None)) == [("best", "half", ("flair",)), ("worst", "whole", ("flair", "t2"))]


def test_chosen_combination():
    scores = {"whole": {"flair": 0.9, "t2": 0.1}, "half": {"flair": 0.8}}
    assert shown(choose(metrics(scores), ("flair",))) == [("best", "whole", ("flair",)), ("worst", "half", ("flair",))]
    assert shown(choose(metrics(scores), ("t2",))) == [("only", "whole", ("t2",))]
    with pytest.raises(UsageError, match=r"scored with flair\+t2") as error:
        choose(metrics(scores), ("flair", "t2"))
    assert "scored: flair, t2" in error.value.hint


def test_what_the_convention_leaves_out_does_not_count():
    document = metrics({"a": {"t2": 0.4}, "b": {"t2": 0.6}, "empty": {"t2": 0.5}})
    for row in document["cases"]:
        if row["case"] == "empty":
            row["dice"] = row["raw_dice"] = None
        if (row["case"], row["region"]) == ("a", "ET"):
            row["dice"] = None
    assert [(one.case, one.mean) for one in choose(document, None)] == [("b", pytest.approx(0.6)), ("a", 0.5)]


@pytest.fixture(scope="module")
def drawn(pages, road):
    """The model of a run that was evaluated, its store, and its choices."""
    import json

    document = json.loads(pages.text("first/metrics.json"))
    checkpoint = pages.runs / "first" / "checkpoints" / "last.safetensors"
    return load_model(checkpoint, torch.device("cpu")), Store(road.store), choose(document, None)


def test_prediction_is_the_one_that_was_scored(drawn):
    model, store, choices = drawn
    for choice in choices:
        example = draw(model, store, choice, overlap=0.5)
        assert example.changed == {}
        prediction, reference = example.scene.labels["prediction"], example.scene.labels["reference"]
        assert prediction.shape == reference.shape == example.scene.grey.shape
        for region in example.scene.regions:
            now = dice(region.mask(prediction), region.mask(reference))
            assert now == pytest.approx(choice.dice[region.name], nan_ok=True)


def test_other_numbers_are_told(drawn):
    model, store, choices = drawn
    wrong = replace(choices[0], dice={**choices[0].dice, "WT": 0.123})
    (name, (before, now)) = next(iter(draw(model, store, wrong, overlap=0.5).changed.items()))
    assert (name, before, now) == ("WT", 0.123, pytest.approx(choices[0].dice["WT"]))


def test_volumes_are_those_of_the_voxels(drawn):
    model, store, choices = drawn
    example = draw(model, store, choices[0], overlap=0.5)
    voxel_ml = torch.tensor(example.scene.spacing).prod().item() / 1000
    for what, labels in example.scene.labels.items():
        for region in example.scene.regions:
            assert example.volumes_ml[what][region.name] == pytest.approx(region.mask(labels).sum() * voxel_ml)
