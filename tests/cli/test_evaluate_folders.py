"""``hga evaluate --predictions DIR --references DIR``: no run, no store, no model."""

import json
import shutil

import numpy as np
import pytest


@pytest.fixture
def masks(sample_data, tmp_path):
    """Two folders with the labels of three sample cases; the prediction of the last one is that of another."""
    cases = ["Phantom-00001-000", "Phantom-00002-000", "Phantom-00003-000"]
    for folder in ("masks", "labels"):
        (tmp_path / folder).mkdir()
        for case in cases:
            shutil.copy(sample_data / case / f"{case}-seg.nii.gz", tmp_path / folder / f"{case}-seg.nii.gz")
    return tmp_path / "masks", tmp_path / "labels"


def folders(masks, *more):
    return ["evaluate", "--predictions", masks[0], "--references", masks[1], *more]


def test_scores_copies(hga, masks, tmp_path):
    arguments = ["--dataset", "brats", "--convention", "brats", "-o", tmp_path / "out"]
    outcome = hga(*folders(masks, *arguments))
    (mean,) = [line.split() for line in outcome.out.splitlines() if line.split()[:1] == ["mean"]]
    assert mean[1:4] == ["100.0"] * 3
    for text in ["Convention 'brats'", "ETpp (predictions under 500 voxels count as none)", "HD95 (pooled, mm)"]:
        assert text in outcome.out
    document = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert {row["case"] for row in document["cases"]} == {f"Phantom-0000{number}-000" for number in (1, 2, 3)}
    assert {row["combination"] for row in document["cases"]} == {None}
    assert document["mean"]["WT"] == {"dice": 1.0, "hd95": 0.0}
    assert set(document["versions"]) == {"hga", "python", "torch", "numpy", "scipy"}


def test_missed_and_made_up_structures_are_shown(hga, masks, tmp_path, volume):
    """[M03, M05] Two empty cases of three hide a miss in the mean; the lines below it do not."""
    shape, affine = (8, 8, 8), np.eye(4)
    some = np.zeros(shape, np.uint8)
    some[2:4, 2:4, 2:4] = 4
    truth = {"a": some, "b": 0 * some, "c": 0 * some}
    found = {"a": 0 * some, "b": 0 * some, "c": some}
    for name, maps in (("found", found), ("truth", truth)):
        for case, array in maps.items():
            volume(tmp_path / name / f"{case}.nii.gz", array, affine)
    places = tmp_path / "found", tmp_path / "truth"
    out = hga(*folders(places, "--dataset", "brats", "-o", tmp_path / "out")).out
    lines = {line.split("  ")[0].strip(): line.split() for line in out.splitlines() if line.strip()}
    assert lines["masks"][1] == "33.3"
    assert lines["where present"][-4:] == ["0.0"] * 4
    assert lines["missed"][1:] == ["1/1"] * 4
    assert lines["false alarms"][2:5] == ["1/2"] * 3


def test_values_are_regions_without_dataset(hga, masks, tmp_path):
    outcome = hga(*folders(masks, "-o", tmp_path / "out", "--json"))
    assert "each value is a region of its own: 1, 2, 4" in outcome.err
    assert list(outcome.document["mean"]) == ["1", "2", "4"]


def test_table_of_problems(hga, masks, tmp_path):
    (masks[0] / "Phantom-00002-000-seg.nii.gz").rename(masks[0] / "Phantom-2-seg.nii.gz")
    arguments = folders(masks, "--dataset", "brats", "-o", tmp_path / "out")
    told = hga.refuses(*arguments, code=3, says=["2 masks have no partner", "no reference of this case"])
    assert "Phantom-2 " in told
    assert not (tmp_path / "out").exists()
    outcome = hga(*arguments, "--set", "evaluation.unpaired=skip", "--json")
    assert "left out for want of a partner: Phantom-00002-000, Phantom-2" in outcome.err
    assert len(outcome.document["unpaired"]) == 2


def test_latex(hga, masks, tmp_path):
    outcome = hga(*folders(masks, "--dataset", "brats", "-o", tmp_path, "--set", "evaluation.latex=true"))
    assert "metrics.tex" in outcome.out
    lines = (tmp_path / "metrics.tex").read_text().splitlines()
    assert r"masks & 100.0 & 100.0 & 100.0" in "\n".join(lines)
    (caption,) = [line for line in lines if line.startswith(r"\caption")]
    assert "Convention 'hga'" in caption
    assert r"Dice in \%" in caption
    rows = [line for line in lines if line.endswith(r"\\")]
    assert {line.count("&") for line in rows} == {8}
    firsts = [line.split(" & ")[0] for line in rows]
    assert firsts[1:] == [
        "masks",
        "mean",
        r"95 \% interval",
        "sd over cases",
        "worst combination",
        "mean where present",
    ]


def test_both_definitions_of_hd95(hga, tmp_path, volume):
    """The larger of the two directions (MONAI) is another number, and every file says which one it shows."""
    for name, length in (("found", 12), ("truth", 3)):
        bar = np.zeros((16, 4, 4), np.uint8)
        bar[1 : 1 + length, 2, 2] = 1
        volume(tmp_path / name / "a.nii.gz", bar, np.eye(4))
    both, definition = (tmp_path / "found", tmp_path / "truth"), "evaluation.hd95=maximum"
    pooled = hga(*folders(both, "-o", tmp_path / "pooled", "--json")).document
    larger = hga(*folders(both, "-o", tmp_path / "larger", "--set", definition, "--set", "evaluation.latex=true"))
    there = [*[0] * 3, *range(1, 10)]  # mm from each voxel of the long bar; none from those of the short one
    assert pooled["mean"]["1"]["hd95"] == pytest.approx(np.percentile(there + [0] * 3, 95))
    document = json.loads((tmp_path / "larger" / "metrics.json").read_text())
    assert document["mean"]["1"]["hd95"] == pytest.approx(np.percentile(there, 95))
    assert document["conventions"]["hd95"] == "maximum, mm"
    assert "HD95 (maximum, mm)" in larger.out
    assert "HD95 (maximum, mm)" in (tmp_path / "larger" / "metrics.tex").read_text()
    heading, line = (tmp_path / "larger" / "metrics.csv").read_text().splitlines()
    assert dict(zip(heading.split(","), line.split(","), strict=True))["hd95_definition"] == "maximum"
    words = ["evaluate", tmp_path / "pooled", "--compare", tmp_path / "larger"]
    hga.refuses(*words, code=3, says=["hd95: pooled, mm and maximum, mm", "evaluation.hd95"])


def test_table_for_a_paper_does_not_grow_old(hga, masks, tmp_path):
    """Our metrics.tex follows metrics.json; one of somebody else stays."""
    arguments = folders(masks, "--dataset", "brats", "-o", tmp_path)
    hga(*arguments, "--set", "evaluation.latex=true")
    hga(*arguments, "--convention", "brats")
    assert "Convention 'brats'" in (tmp_path / "metrics.tex").read_text()
    (tmp_path / "metrics.tex").write_text("mine")
    hga(*arguments)
    assert (tmp_path / "metrics.tex").read_text() == "mine"


def test_maps_beside_predicted_masks_are_no_masks(hga, road, masks, sample_data, tmp_path):
    case = "Phantom-00003-000"
    more = ["--set", "prediction.probabilities=true", "--set", "prediction.uncertainty=true", "--device", "cpu"]
    hga("predict", sample_data / case, "--runs-dir", road.runs_dir, "-o", tmp_path / "out", "--overlay", *more)
    for path in masks[1].glob("*"):
        path.rename(path.with_name(path.name.replace("-seg", ""))) if case in path.name else path.unlink()
    outcome = hga(*folders((tmp_path / "out", masks[1]), "--dataset", "brats", "-o", tmp_path / "scores", "--json"))
    assert {row["case"] for row in outcome.document["cases"]} == {case}
    assert "disagreement, entropy, probabilities" in outcome.err
    (tmp_path / "out" / f"{case}.json").unlink()
    hga.refuses(*folders((tmp_path / "out", masks[1]), "-o", tmp_path / "more"), code=3, says="3 masks have no partner")


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (["--references"], "--references needs --predictions"),
        (["--predictions"], "--predictions needs --references"),
        (["--predictions", "--references", "some-run"], "RUN has no meaning"),
        (["--predictions", "--references", "--compare=other"], "--compare has no meaning"),
        (["--predictions", "--references", "--shard=1/2"], "--shard has no meaning"),
        (["--predictions", "--references", "--split=val"], "--split has no meaning"),
        (["--predictions", "--references", "--combinations=t2"], "--combinations has no meaning"),
        (["--compare=other", "--shard=1/2"], "--shard has no meaning"),
        (["--compare=other", "--device=cpu"], "--device has no meaning"),
    ],
)
def test_contradictions(hga, masks, more, says):
    places = {"--predictions": masks[0], "--references": masks[1]}
    words = [part for word in more for part in ([word, places[word]] if word in places else [word])]
    hga.refuses("evaluate", *words, code=2, says=says)
