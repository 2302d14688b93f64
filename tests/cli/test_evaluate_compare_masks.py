"""``hga evaluate DIR --compare DIR``: two evaluations of masks, named by their folders or by their metrics.json."""

import json
import shutil

import pytest

CASES = ["Phantom-00001-000", "Phantom-00002-000", "Phantom-00003-000", "Phantom-00005-000"]


@pytest.fixture(scope="module")
def masks(hga, sample_data, tmp_path_factory):
    """Three evaluations: ``good`` (copies of the references), ``bad`` (half of each), ``fewer`` (a case less)."""
    top = tmp_path_factory.mktemp("masks")
    for name in ("labels", "good", "bad", "fewer"):
        (top / name).mkdir()
    for case in CASES:
        truth = sample_data / case / f"{case}-seg.nii.gz"
        for name in ("labels", "good", *(["fewer"] if case != CASES[1] else [])):
            shutil.copy(truth, top / name / f"{case}.nii.gz")
        wrong = top / "bad" / f"{case}.nii.gz"
        shutil.copy(truth, wrong)
        darken(wrong)
    for name in ("good", "bad", "fewer"):
        words = ["--predictions", top / name, "--references", top / "labels", "--dataset", "brats"]
        skip = ["--set", "evaluation.unpaired=skip"] if name == "fewer" else []
        hga("evaluate", *words, *skip, "-o", top / "scores" / name)
    return top / "scores"


def darken(path):
    """Remove half of a mask, so that the Dice of the whole tumour falls by a known amount."""
    import nibabel
    import numpy as np

    image = nibabel.load(path)
    data = np.asarray(image.dataobj).copy()
    places = np.argwhere(data)
    data[tuple(places[: len(places) // 2].T)] = 0
    nibabel.save(nibabel.Nifti1Image(data, image.affine, image.header), path)


@pytest.mark.parametrize("by", [".", "metrics.json"])
def test_differences(hga, masks, tmp_path, by):
    names = masks / "good" / by, masks / "bad" / by
    document = hga("evaluate", names[0], "--compare", names[1], "-o", tmp_path, "--json").document
    assert (document["first"], document["second"], document["split"]) == (str(names[0]), str(names[1]), None)
    assert document["cases"] == CASES
    assert document["combinations"] == [None]
    dice = document["regions"]["WT"]["dice"]
    assert dice["n"] == len(CASES)
    assert dice["first"] == 1
    assert dice["second"] == pytest.approx(2 / 3, abs=1e-3)  # half of the voxels: 2 * 0.5 / (1 + 0.5)
    assert (dice["effect_size"], dice["p_value"]) == (1.0, pytest.approx(2 / 2 ** len(CASES)))
    (path,) = tmp_path.iterdir()
    assert path.name.startswith("comparison-with-")
    assert json.loads(path.read_text()) == document


def test_for_people(hga, masks):
    out = hga("evaluate", masks / "good", "--compare", masks / "bad").out
    assert "4 cases, 1 combinations; difference:" in out
    assert "None" not in out
    assert len(list((masks / "good").glob("comparison-with-*.json"))) == 1


def test_run_beside_a_folder(hga, road, masks, tmp_path):
    """A run is asked as usual; scores of combinations are not those of masks."""
    runs = ["--runs-dir", tmp_path / "runs"]
    road.copy_of_run(tmp_path / "runs")
    hga("evaluate", "road", *runs, "--device", "cpu")
    hga.refuses("evaluate", "road", "--compare", masks / "good", *runs, code=3, says="share no case")
    document = hga("evaluate", "road", "--compare", tmp_path / "runs" / "road", *runs, "--json").document
    assert (document["first"], document["second"], document["split"]) == ("road", "road", "test")


def test_evaluation_in_a_folder_of_its_own(hga, road, tmp_path):
    """What ``-o`` wrote of a run is an evaluation like any other; a run beside it means its usual answer."""
    runs = ["--runs-dir", tmp_path / "runs", "--device", "cpu"]
    road.copy_of_run(tmp_path / "runs")
    hga("evaluate", "road", *runs)
    hga("evaluate", "road", *runs, "-o", tmp_path / "again")
    document = hga("evaluate", "--compare", tmp_path / "again", *runs[:2], "--json").document
    assert document["first"] == "road"
    assert all(row["dice"]["mean_difference"] == 0 for row in document["regions"].values() if row["dice"]["n"])


def test_other_cases(hga, masks):
    outcome = hga("evaluate", masks / "good", "--compare", masks / "fewer", "--json", code=3)
    assert [one["case"] for one in outcome.document["problems"]] == [CASES[1]]
    assert "only the first evaluation has it with masks" in outcome.err
    skip = ["--set", "evaluation.unpaired=skip"]
    document = hga("evaluate", masks / "good", "--compare", masks / "fewer", *skip, "--json").document
    assert (document["only_first"], document["regions"]["WT"]["dice"]["n"]) == ([CASES[1]], 3)


def test_other_rules(hga, masks, tmp_path):
    document = json.loads((masks / "bad" / "metrics.json").read_text())
    rules = {**document["conventions"], "name": "brats"}
    (tmp_path / "metrics.json").write_text(json.dumps({**document, "conventions": rules}))
    says = ["different rules", "name: hga and brats"]
    hga.refuses("evaluate", masks / "good", "--compare", tmp_path, code=3, says=says)


@pytest.mark.parametrize("text", ["{", "[]", '{"overall": 1}'])
def test_damaged(hga, masks, tmp_path, text):
    (tmp_path / "metrics.json").write_text(text)
    hga.refuses("evaluate", masks / "good", "--compare", tmp_path, code=3, says=["damaged", "evaluate it again"])


@pytest.mark.parametrize(
    "more",
    [
        ("--split", "val"),
        ("--combinations", "flair"),
        ("--convention", "brats"),
        ("--dataset", "brats"),
        ("--shard", "1/2"),
    ],
    ids=lambda more: more[0],
)
def test_what_cannot_be_asked_any_more(hga, masks, more):
    says = [f"so {more[0]} has no meaning"]
    hga.refuses("evaluate", masks / "good", "--compare", masks / "bad", *more, code=2, says=says)


def test_neither_run_nor_evaluation(hga, masks, tmp_path):
    hga.refuses("evaluate", masks / "good", "--compare", "nothing", "--runs-dir", tmp_path, code=3, says="no run")
