"""``hga evaluate A --compare B``: the same cases and combinations, the same rules."""

import json

import numpy as np
import pytest


@pytest.fixture
def runs(hga, road, tmp_path):
    """Two runs: ``road``, scored on its training cases, and ``better``, whose Dice are all 0.1 higher."""
    first, second = road.copy_of_run(tmp_path / "runs"), road.copy_of_run(tmp_path / "runs", "better")
    hga(*evaluating(tmp_path, "road", "--device", "cpu"))
    document = json.loads((folder(first) / "metrics.json").read_text())
    for row in document["cases"]:
        row["dice"] += 0.1
    folder(second).mkdir(parents=True)
    (folder(second) / "metrics.json").write_text(json.dumps(document))
    return tmp_path


def folder(run):
    return run / "evaluations" / "train-flair_t1ce"


def evaluating(top, *more):
    return ["evaluate", "--runs-dir", top / "runs", "--split", "train", "--combinations", "flair,t1ce", *more]


def change(top, **values):
    path = folder(top / "runs" / "better") / "metrics.json"
    document = json.loads(path.read_text())
    path.write_text(json.dumps({**document, **values}))


def test_differences(hga, runs):
    document = hga(*evaluating(runs, "better", "--compare", "road", "--json")).document
    cases = {row["case"] for row in json.loads((folder(runs / "runs" / "road") / "metrics.json").read_text())["cases"]}
    assert (document["first"], document["second"], set(document["cases"])) == ("better", "road", cases)
    assert document["combinations"] == ["flair", "t1ce"]
    for region, row in document["regions"].items():
        dice = row["dice"]
        assert dice["n"] == len(cases) >= 5, region
        assert [dice[key] for key in ("mean_difference", "low", "high", "effect_size")] == pytest.approx(
            [0.1, 0.1, 0.1, 1.0]
        )
        assert dice["first"] - dice["second"] == pytest.approx(0.1)
        assert dice["p_value"] == pytest.approx(2 / 2 ** len(cases))
        assert (row["hd95"]["mean_difference"], row["hd95"]["p_value"]) == (0.0, 1.0)


def test_table_and_file(hga, runs):
    out = hga(*evaluating(runs, "road", "--compare", "better")).out
    (line,) = [line.split() for line in out.splitlines() if line.split()[:2] == ["WT", "Dice"]]
    assert line[:3] == ["WT", "Dice", "%"]
    assert line[6] == "-10.0"
    assert line[-1] == "-1.00"
    for text in ["Wilcoxon", "not corrected", "Convention 'hga'", "difference: road - better"]:
        assert text in out
    path = folder(runs / "runs" / "road") / "comparison-with-better.json"
    assert str(path) in out
    assert json.loads(path.read_text())["regions"]["WT"]["dice"]["mean_difference"] == pytest.approx(-0.1)


SKIP = ("--set", "evaluation.unpaired=skip")


def test_other_cases_are_refused(hga, runs):
    """Each case that only one evaluation has, if only under one combination, is named, and how to leave it out."""
    rows = json.loads((folder(runs / "runs" / "better") / "metrics.json").read_text())["cases"]
    other, gone = rows[0]["case"], rows[-1]["case"]
    change(
        runs,
        cases=[
            {**row, "combination": "t2"} if (row["case"], row["combination"]) == (other, "t1ce") else row
            for row in rows
            if row["case"] != gone
        ],
    )
    says = ["do not have the same cases and combinations", "2 cases differ", "evaluation.unpaired=skip"]
    outcome = hga(*evaluating(runs, "road", "--compare", "better", "--json"), code=3)
    assert all(text in outcome.err for text in says)
    found = [(one["case"], one["problem"]) for one in outcome.document["problems"]]
    assert {case for case, _ in found} == {other, gone}
    assert {problem for case, problem in found if case == other} == {
        "only the first evaluation has it with t1ce",
        "only the second evaluation has it with t2",
    }


def test_only_common_cases_are_paired_on_demand(hga, runs):
    rows = json.loads((folder(runs / "runs" / "better") / "metrics.json").read_text())["cases"]
    gone = rows[0]["case"]
    change(runs, cases=[row for row in rows if row["case"] != gone])
    document = hga(*evaluating(runs, "road", "--compare", "better", *SKIP, "--json")).document
    assert gone not in document["cases"]
    assert (document["only_first"], document["only_second"]) == ([gone], [])
    assert document["regions"]["WT"]["dice"]["n"] == len({row["case"] for row in rows}) - 1
    assert gone in hga(*evaluating(runs, "road", "--compare", "better", *SKIP)).out


def test_mean_over_combinations_comes_first(hga, runs):
    """Two combinations of a case are one observation: 0.3 more in one and 0.1 less in the other are 0.1 more."""
    rows = json.loads((folder(runs / "runs" / "road") / "metrics.json").read_text())["cases"]
    for row in rows:
        row["dice"] += 0.3 if row["combination"] == "flair" else -0.1
    both = [case for case in {row["case"] for row in rows} if sum(row["case"] == case for row in rows) == 8]
    change(runs, cases=[row for row in rows if row["case"] in both])
    dice = hga(*evaluating(runs, "better", "--compare", "road", *SKIP, "--json")).document["regions"]["WT"]["dice"]
    assert (dice["n"], dice["effect_size"]) == (len(both), 1.0)
    assert dice["mean_difference"] == pytest.approx(0.1)


def test_other_rules(hga, runs):
    rules = json.loads((folder(runs / "runs" / "better") / "metrics.json").read_text())["conventions"]
    change(runs, conventions={**rules, "name": "brats"})
    says = ["scored by different rules", "name: hga and brats", "--convention"]
    hga.refuses(*evaluating(runs, "road", "--compare", "better"), code=3, says=says)


def test_a_rule_that_one_evaluation_does_not_know(hga, runs):
    """Whichever comes first: one made before the rule was there is evaluated again."""
    rules = json.loads((folder(runs / "runs" / "better") / "metrics.json").read_text())["conventions"]
    del rules["averaged"]
    change(runs, conventions=rules)
    for pair in (("road", "better"), ("better", "road")):
        says = ["scored by different rules", "averaged: ", "the same version"]
        hga.refuses(*evaluating(runs, pair[0], "--compare", pair[1]), code=3, says=says)


def test_not_evaluated(hga, runs):
    (folder(runs / "runs" / "better") / "metrics.json").unlink()
    hga.refuses(*evaluating(runs, "road", "--compare", "better"), code=3, says=["metrics.json", "evaluate it first"])


def test_nothing_in_common(hga, runs):
    change(runs, cases=[])
    hga.refuses(*evaluating(runs, "road", "--compare", "better"), code=3, says="share no case")


def test_older_file(hga, runs):
    path = folder(runs / "runs" / "better") / "metrics.json"
    document = json.loads(path.read_text())
    del document["overall"]
    for text in (json.dumps(document), "{", "[]"):
        path.write_text(text)
        hga.refuses(*evaluating(runs, "road", "--compare", "better"), code=3, says="evaluate it again")


def test_absent_values_are_left_out(hga, runs):
    """JSON has null where a convention leaves a case out."""
    rows = json.loads((folder(runs / "runs" / "better") / "metrics.json").read_text())["cases"]
    for row in rows:
        row["hd95"] = None if row["region"] == "ET" else row["hd95"]
    change(runs, cases=rows)
    document = hga(*evaluating(runs, "road", "--compare", "better", "--json")).document
    assert document["regions"]["ET"]["hd95"] == {"n": 0}
    assert np.isfinite(document["regions"]["ET"]["dice"]["mean_difference"])
    assert "ET HD95 mm" in hga(*evaluating(runs, "road", "--compare", "better")).out
