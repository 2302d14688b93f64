"""A 2D network works slice by slice, and is scored by volume: one value for each case, none for slices."""

import json

import nibabel
import numpy as np
import pytest

FLAT = ["--set", "network.dims=2", "--set", "data.patch=[16,16]"]


@pytest.fixture
def run(hga, tiny):
    """A 2D network that nobody trained: it says something in every slice."""
    hga(*tiny.training("--epochs", 0, "--run", "flat", *FLAT))
    return tiny


def test_scores_of_whole_volumes(hga, run):
    """Dice of the label map that ``predict`` writes, against the file of the reference."""
    arguments = ["flat", *run.runs, "--device", "cpu", "--combinations", "flair", "--json"]
    document = hga("evaluate", *arguments).document
    rows = [row for row in document["cases"] if row["region"] == "WT"]
    assert len(rows) == document["combinations"]["flair"]["WT"]["n"] == len({row["case"] for row in rows}) > 1
    for row in rows:
        raw, masks = run.top / "raw" / row["case"], run.top / "masks"
        scan = raw / f"{row['case']}_flair.nii.gz"
        hga("predict", scan, "--run", "flat", *run.runs, "--device", "cpu", "-o", masks)
        found, truth = (
            np.asarray(nibabel.load(path).dataobj) > 0
            for path in (masks / f"{row['case']}.nii.gz", raw / f"{row['case']}_seg.nii.gz")
        )
        assert found.shape == truth.shape
        assert row["predicted_voxels"] == found.sum()
        assert row["raw_dice"] == pytest.approx(2 * (found & truth).sum() / (found.sum() + truth.sum()))


def test_mean_is_over_cases(hga, run):
    document = hga("evaluate", "flat", *run.runs, "--device", "cpu", "--json").document
    of_cases = [row["dice"] for row in document["cases"] if (row["combination"], row["region"]) == ("flair", "WT")]
    assert document["combinations"]["flair"]["WT"]["dice"] == pytest.approx(np.mean(of_cases))
    assert document == json.loads((run.top / "runs" / "flat" / "metrics.json").read_text())
