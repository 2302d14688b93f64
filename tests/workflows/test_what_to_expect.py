"""What is expected of a model follows its latest evaluation, wherever it is told, and never training cases."""

import json
import shutil

import pytest
import torch
from safetensors import safe_open

from hga_cli.core.run_folder import RunFolder
from hga_cli.data.store import Store
from hga_cli.engine.inference import load_model
from hga_cli.workflows.export import export
from hga_cli.workflows.models import load_from

CPU = torch.device("cpu")
CASE = "Phantom-00002-000"


@pytest.fixture(scope="module")
def scores(hga, road, tmp_path_factory):
    """Documents of real evaluations: (split, combinations) -> ``metrics.json``."""
    top = tmp_path_factory.mktemp("scores")

    def evaluate(split, combinations):
        folder, words = top / f"{split}-{combinations}", ["--split", split, "--combinations", combinations]
        hga("evaluate", "road", "--runs-dir", road.runs_dir, "--device", "cpu", *words, "-o", folder)
        return folder / "metrics.json"

    return {wanted: evaluate(*wanted) for wanted in (("train", "flair"), ("test", "all"), ("test", "flair"))}


@pytest.fixture
def run(road, tmp_path):
    return RunFolder(road.copy_of_run(tmp_path / "runs"))


@pytest.fixture
def expected_of(run, scores):
    """What is expected of the run with the metrics of an evaluation, or with none."""

    def load(*wanted):
        if wanted:
            shutil.copy(scores[wanted], run.path / "metrics.json")
        return load_from(run, "last", CPU).expected

    return load


def test_training_cases_are_never_what_to_expect(expected_of):
    validated = expected_of()
    assert validated.measured_on == "validation"
    assert expected_of("train", "flair") == validated


def test_evaluation_of_some_combinations_does_not_hide_the_validation_of_others(expected_of):
    validated, found = expected_of(), expected_of("test", "flair")
    assert found.of(("flair",)) != validated.of(("flair",))
    assert {found.source(name) for name in found.dice if name != "flair"} == {"validation"}
    assert found.source("flair") == "test"
    assert found.of(("t2",)) == validated.of(("t2",))
    assert found.measured_on == "test and validation"


def test_gains_are_those_of_the_same_cases(expected_of, scores):
    """Computed again from the rows of the document."""
    found = expected_of("test", "all")
    rows = json.loads(scores["test", "all"].read_text())["cases"]
    dice = {name: {} for name in ("flair", "flair+t1ce")}
    for row in rows:
        if row["combination"] in dice and row["region"] == "WT" and row["reference_voxels"]:
            dice[row["combination"]][row["case"]] = row["raw_dice"]
    same = dice["flair"].keys() & dice["flair+t1ce"].keys()
    pair = found.pairs["flair"]["t1ce"]["WT"]
    assert pair["n"] == len(same) > 0
    assert pair["before"] == pytest.approx(sum(dice["flair"][case] for case in same) / len(same))
    assert pair["after"] == pytest.approx(sum(dice["flair+t1ce"][case] for case in same) / len(same))


def test_the_exported_file_keeps_all_of_it_and_no_id(expected_of, run, road, tmp_path):
    found = expected_of("test", "all")
    assert found.pairs
    export(run, tmp_path / "model.hga")
    assert load_model(tmp_path / "model.hga", CPU).expected == found
    with safe_open(tmp_path / "model.hga", framework="pt") as file:
        told = file.metadata()["about"]
    assert not [case for case in Store(road.store).cases if case in told]


def test_skipped_case_tells_what_is_expected_now(hga, run, scores, sample_data, tmp_path):
    """Predict, evaluate, predict again: the numbers of the evaluation, in the record too, and nothing else is new."""
    words = ["predict", sample_data / CASE, "--runs-dir", run.path.parent, "--device", "cpu", "-o", tmp_path / "masks"]
    hga(*words)
    record, labels = tmp_path / "masks" / f"{CASE}.json", tmp_path / "masks" / f"{CASE}.nii.gz"
    first, before = json.loads(record.read_text()), labels.read_bytes()
    shutil.copy(scores["test", "all"], run.path / "metrics.json")
    (again,) = hga(*words, "--json").document["results"]
    second = json.loads(record.read_text())
    assert again["skipped"] is True
    assert first["expected"]["measured_on"] == "validation"
    assert again["expected"] == second["expected"]
    assert second["expected"]["measured_on"] == "test"
    assert {**second, "expected": None} == {**first, "expected": None}
    assert labels.read_bytes() == before
    assert "(mean in test)" in hga(*words).out


def test_the_page_has_the_same_source(hga, run, scores):
    """[training scores] The page of a run shows its validation, and where each number is from."""
    words = ["report", "road", "--runs-dir", run.path.parent, "--device", "cpu"]
    lead = "can expect about this Dice (mean in "

    def page(*wanted):
        shutil.copy(scores[wanted], run.path / "metrics.json")
        hga(*words)
        return (run.path / "report.html").read_text(encoding="utf-8")

    assert f"{lead}validation)" in page("train", "flair")
    assert f"{lead}test and validation)" in page("test", "flair")
