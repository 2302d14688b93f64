"""The road on ``sample_data``: raw folders, store, split, table, training, scores, label maps."""

import json
import shutil

import nibabel
import numpy as np
import pytest

from hga_cli.data.store import Store

REGIONS = {"WT": [1, 2, 4], "TC": [1, 4], "ET": [4]}


@pytest.fixture(scope="module")
def scores(hga, road, tmp_path_factory):
    """Two folders of metrics, of two runs of the same command."""
    folders = [tmp_path_factory.mktemp("first"), tmp_path_factory.mktemp("second")]
    for folder in folders:
        hga("evaluate", "road", "--runs-dir", road.runs_dir, "--device", "cpu", "-o", folder)
    return folders


def test_every_sample_case_is_in_the_store(road, sample_data):
    cases = sorted(path.name for path in sample_data.glob("Phantom-*"))
    assert road.said["preprocess"].document["cases"] == cases
    assert sorted(Store(road.store).cases) == cases
    parts = road.said["split"].document
    assert sorted(parts["train"] + parts["val"] + parts["test"]) == cases


def test_store_knows_what_is_absent(road):
    lacking = {
        case: {"flair", "t1ce", "t1", "t2"} - set(entry.modalities) for case, entry in Store(road.store).cases.items()
    }
    assert {case: names for case, names in lacking.items() if names} == {
        "Phantom-00005-000": {"t2"},
        "Phantom-00006-000": {"t1", "t2"},
        "Phantom-00007-000": {"t1ce"},
    }


def test_training_uses_split_and_table(road):
    said = road.said["train"].err
    train = len(road.said["split"].document["train"])
    assert f"{train} training cases of split 'default', imbalance table: mr2468" in said
    counts = road.said["make-imbalance"].document["combinations"]
    for name, count in counts.items():
        assert (f"{name} {count}" in said) == (count > 0)


def test_loss_goes_down(road):
    first, last = (json.loads(line)["losses"] for line in (road.run / "journal.jsonl").read_text().splitlines())
    assert last["fused/fused"] < first["fused/fused"]  # the loss is a sum, over other modalities in each epoch
    for modality in ("flair", "t1ce", "t1", "t2"):
        assert last[f"separate/{modality}"] < first[f"separate/{modality}"]


def test_scores_are_the_same_each_time(scores):
    for name in ("metrics.json", "metrics.csv"):
        first, second = ((folder / name).read_bytes() for folder in scores)
        assert first == second


def test_scores_are_those_of_a_trained_model(scores):
    """Better than a mask of nothing, which has Dice 0 for the whole tumour."""
    document = json.loads((scores[0] / "metrics.json").read_text())
    assert document["trained_steps"] == 40
    assert document["mean"]["WT"]["dice"] > 0.1


@pytest.mark.parametrize("case", ["Phantom-00003-000", "Phantom-00006-000"], ids=["all modalities", "flair+t1ce"])
def test_evaluate_scores_what_predict_writes(hga, road, scores, sample_data, tmp_path, case):
    """Dice of the label map against the file of the reference is the Dice in the table."""
    hga("predict", sample_data / case, "--runs-dir", road.runs_dir, "--device", "cpu", "-o", tmp_path)
    made = np.asarray(nibabel.load(tmp_path / f"{case}.nii.gz").dataobj)
    reference = np.asarray(nibabel.load(sample_data / case / f"{case}-seg.nii.gz").dataobj)
    document = json.loads((scores[0] / "metrics.json").read_text())
    combination = "+".join(Store(road.store).cases[case].modalities)
    for region, values in REGIONS.items():
        ours, theirs = np.isin(made, values), np.isin(reference, values)
        (row,) = [
            row
            for row in document["cases"]
            if (row["case"], row["combination"], row["region"]) == (case, combination, region)
        ]
        assert (row["predicted_voxels"], row["reference_voxels"]) == (ours.sum(), theirs.sum())
        assert row["dice"] == pytest.approx(2 * (ours & theirs).sum() / (ours.sum() + theirs.sum()))


def test_patient_with_two_sequences(hga, road, sample_data, tmp_path):
    """The good day of the design: FLAIR and T2 of a new patient, and a label map that lies on them."""
    case = "Phantom-00011-000"
    for suffix in ("t2f", "t2w"):
        (tmp_path / "new" / case).mkdir(parents=True, exist_ok=True)
        source = sample_data / case / f"{case}-{suffix}.nii.gz"
        (tmp_path / "new" / case / source.name).write_bytes(source.read_bytes())
    arguments = ["--runs-dir", road.runs_dir, "--device", "cpu", "-o", tmp_path / "masks", "--json"]
    (result,) = hga("predict", tmp_path / "new", *arguments).document["results"]
    assert list(result["modalities"]) == ["flair", "t2"]
    scan, made = nibabel.load(source), nibabel.load(result["output"])
    assert made.shape == scan.shape
    assert np.array_equal(made.affine, scan.affine)
    brain = np.asarray(scan.dataobj) > 0
    assert not np.asarray(made.dataobj)[~brain].all()


def test_second_preprocess_changes_nothing(hga, road, sample_data, tmp_path):
    data = shutil.copytree(road.data_dir, tmp_path / "data")
    arguments = ["--dataset", "brats", "--workers", 1, "--data-dir", data, "--json"]
    document = hga("preprocess", sample_data, *arguments).document
    assert (document["written"], len(document["unchanged"])) == ([], 12)
    before, after = Store(road.store), Store(data / "brats")
    assert (after.cases, after.splits, after.tables) == (before.cases, before.splits, before.tables)
