"""``hga predict --shard i/n``: many machines, each its part of the cases."""

import pytest
from _patients import folder_with, on_road

CASES = ("a", "b", "c", "d", "e")


@pytest.fixture
def patients(files, tmp_path):
    for case in CASES:
        folder_with(tmp_path / "in" / case, files, ["flair"], case)
    return tmp_path / "in"


def test_parts_make_the_whole(predict, patients):
    parts = []
    for part in ("2/2", "1/2"):
        outcome, masks = predict(patients, "--shard", part, "--json")
        parts.append([one["case"] for one in outcome.document["results"]])
    assert parts == [["b", "d"], ["a", "c", "e"]]
    assert list(masks) == list(CASES)
    results = predict(patients, "--json")[0].document["results"]
    assert [(one["case"], one["skipped"]) for one in results] == [(case, True) for case in CASES]


def test_parts_stay_the_same_where_outputs_lie_among_the_inputs(predict, patients):
    first = predict(patients, "--shard", "1/2", "--json", output=patients)[0].document
    second = predict(patients, "--shard", "2/2", "--json", output=patients)[0].document
    assert [one["case"] for one in first["results"]] == ["a", "c", "e"]
    assert [one["case"] for one in second["results"]] == ["b", "d"]


def test_part_without_a_case(predict, patients):
    outcome, masks = predict(patients, "--shard", "6/6")
    assert masks == {}
    assert "part 6 of 6 has no case" in outcome.err
    assert predict(patients, "--shard", "6/6", "--json")[0].document["results"] == []


def test_outputs_of_other_parts_count(hga, road, files, tmp_path):
    """Two cases that would write the same file do not become one because different machines have them."""
    for case in ("p", "p_entropy"):
        folder_with(tmp_path / "in" / case, files, ["flair"], case)
    words = ["predict", tmp_path / "in", *on_road(road), "-o", tmp_path / "masks", "--shard", "1/2"]
    hga.refuses(
        *words, "--set", "prediction.uncertainty=true", code=2, says="cases 'p' and 'p_entropy' would both write"
    )


def test_mistyped(hga, road, patients, tmp_path):
    words = ["predict", patients, *on_road(road), "-o", tmp_path / "masks"]
    hga.refuses(*words, "--shard", "0/2", code=2, says="--shard '0/2'")
