"""Folders of masks: paired by id, on one grid whatever the order of axes, in mm, with nothing left out unsaid."""

import nibabel
import numpy as np
import pytest

from hga_cli.core.errors import DataError, ProblemsError
from hga_cli.core.settings import Evaluation
from hga_cli.data.raw.description import load_description
from hga_cli.metrics.conventions import CONVENTIONS
from hga_cli.workflows.evaluate import write_metrics
from hga_cli.workflows.score_folders import score_folders

STRANGE_IDS = ["p1", "p1-2", "case_1", "case_2", "case_10", "0123", "nan"]
BRATS = load_description("brats")


def ball(seed=0, shape=(12, 14, 10)):
    """A label map with classes 1, 2 and 4 that no other seed gives."""
    centre = np.random.default_rng(seed).uniform(4, 6, 3)
    radius = np.sqrt(sum((axis - at) ** 2 for axis, at in zip(np.indices(shape), centre, strict=True)))
    return np.select([radius < 1.5, radius < 2.5, radius < 4], [4, 1, 2]).astype(np.uint8)


@pytest.fixture
def folders(tmp_path, volume):
    """The function that writes both folders: name -> array, or (array, affine)."""

    def write(predictions, references):
        for folder, masks in (("predictions", predictions), ("references", references)):
            (tmp_path / folder).mkdir(exist_ok=True)
            for name, mask in masks.items():
                array, affine = mask if isinstance(mask, tuple) else (mask, np.eye(4))
                volume(tmp_path / folder / f"{name}.nii.gz", array, affine)
        return tmp_path / "predictions", tmp_path / "references"

    return write


def score(folders, description=None, convention="hga", **settings):
    return score_folders(*folders, description, CONVENTIONS[convention], settings=Evaluation(**settings))


@pytest.mark.parametrize("description", [None, BRATS], ids=["values", "brats"])
def test_copies_score_one(folders, description):
    """[M09] Ids that sort differently as names and as file names, and ids that look like numbers."""
    masks = {case: ball(seed) for seed, case in enumerate(STRANGE_IDS)}
    made = score(folders(masks, masks), description)
    assert {row["case"] for row in made["cases"]} == set(STRANGE_IDS)
    assert {row["dice"] for row in made["cases"] if row["region"] != "ETpp"} == {1.0}
    assert {row["combination"] for row in made["cases"]} == {None}
    assert list(made["mean"]) == (["WT", "TC", "ET", "ETpp"] if description else ["1", "2", "4"])
    assert made["combinations"]["masks"]["WT" if description else "1"]["n"] == len(STRANGE_IDS)


def test_wrong_partners_would_be_seen(folders):
    masks = {case: ball(seed) for seed, case in enumerate(STRANGE_IDS)}
    shifted = dict(zip(STRANGE_IDS, [*list(masks.values())[1:], masks["p1"]], strict=True))
    assert score(folders(shifted, masks))["mean"]["2"]["dice"] < 1


def test_endings_count_only_where_they_are_stated(folders):
    masks = {case: ball(seed) for seed, case in enumerate(["case_1", "case_2", "case_10"])}
    both = folders({f"{case}_seg": mask for case, mask in masks.items()}, masks)
    assert [row["dice"] for row in score(both, BRATS)["cases"] if row["region"] == "WT"] == [1.0] * 3
    with pytest.raises(ProblemsError, match="6 masks have no partner; 0 cases") as raised:
        score(both)
    assert {problem.case for problem in raised.value.problems} == {*masks, *(f"{case}_seg" for case in masks)}
    assert "dataset" in raised.value.hint


def test_masks_without_partner_are_listed(folders):
    both = folders({"a": ball(), "b": ball()}, {"b": ball(), "c": ball()})
    with pytest.raises(ProblemsError, match="2 masks have no partner; 1 cases") as raised:
        score(both)
    assert [(one.case, one.problem) for one in raised.value.problems] == [
        ("a", "no reference of this case"),
        ("c", "no prediction of it"),
    ]
    made = score(both, unpaired="skip")
    assert {row["case"] for row in made["cases"]} == {"b"}
    assert [one["case"] for one in made["unpaired"]] == ["a", "c"]


def test_two_masks_of_one_case(folders):
    both = folders({"a": ball(), "a_seg": ball()}, {"a": ball()})
    with pytest.raises(ProblemsError, match="more than one mask of 1 cases"):
        score(both, BRATS)


def test_distances_are_in_mm(folders, tmp_path):
    """[M02] Masks one slice of 5 mm apart: 5 mm, not 1; the heading of the column says mm."""
    affine = np.diag([0.5, 0.5, 5.0, 1])
    reference = np.zeros((10, 10, 8), np.uint8)
    reference[3:7, 3:7, 3] = 1
    both = folders({"a": (np.roll(reference, 1, 2), affine)}, {"a": (reference, affine)})
    made = score(both)
    assert made["mean"]["1"] == {"dice": 0.0, "hd95": pytest.approx(5.0)}
    heading, line = write_metrics(tmp_path / "out", made)[1].read_text().splitlines()
    assert float(dict(zip(heading.split(","), line.split(","), strict=True))["hd95_mm"]) == pytest.approx(5.0)
    assert "hd95" not in heading.split(",")


@pytest.mark.parametrize("codes", ["LPS", "SAR", "PIR"])
def test_order_of_axes_does_not_matter(folders, codes):
    mask, affine = ball(), np.diag([1.0, 2.0, 3.0, 1])
    image = nibabel.Nifti1Image(mask, affine)
    to = nibabel.orientations.ornt_transform(nibabel.io_orientation(affine), nibabel.orientations.axcodes2ornt(codes))
    turned = image.as_reoriented(to)
    made = score(folders({"a": (np.asarray(turned.dataobj), turned.affine)}, {"a": (mask, affine)}))
    assert {row["dice"] for row in made["cases"]} == {1.0}
    assert made["mean"]["2"]["hd95"] == 0


@pytest.mark.parametrize(
    ("mask", "affine"),
    [(ball(), np.diag([1, 1, 1.1, 1])), (ball(shape=(12, 14, 11)), np.eye(4)), (np.roll(ball(), 1), None)],
    ids=["spacing", "shape", "origin"],
)
def test_other_grids_are_refused(folders, mask, affine):
    if affine is None:
        affine = np.eye(4)
        affine[0, 3] = -1
    both = folders({"a": (mask, affine), "b": ball()}, {"a": ball(), "b": ball()})
    with pytest.raises(ProblemsError, match="1 of 2 cases") as raised:
        score(both)
    assert "mm away" in raised.value.problems[0].problem
    assert raised.value.problems[0].case == "a"


@pytest.mark.parametrize("convention", CONVENTIONS)
def test_empty_sides(folders, convention):
    """[M05, M11] A miss and a false alarm cost the same, for structures and for lesions."""
    nothing = np.zeros((16, 16, 16), np.uint8)
    lesion = nothing.copy()
    lesion[4:7, 5, 5] = 1
    both = folders(
        {"miss": nothing, "alarm": lesion, "none": nothing}, {"miss": lesion, "alarm": nothing, "none": nothing}
    )
    made = score(both, convention=convention, extras=["lesions"])
    rows = {row["case"]: row for row in made["cases"]}
    penalty = {"hga": 1.0, "brats": 373.12866, "diagonal": np.hypot(np.hypot(16, 16), 16), "exclude": np.nan}
    for case in ("miss", "alarm"):
        assert (rows[case]["dice"], rows[case]["lesion_f1"]) == (0, 0)
        assert rows[case]["hd95"] == pytest.approx(penalty[convention], nan_ok=True)
    assert rows["none"]["dice"] == pytest.approx(rows["none"]["lesion_f1"], nan_ok=True)
    cell = made["combinations"]["masks"]["1"]
    assert (cell["misses"], cell["false_alarms"], cell["lesions"], cell["lesions_false"]) == (1, 1, 1, 1)


def test_unknown_values(folders):
    both = folders({"a": ball() * 7}, {"a": ball()})
    with pytest.raises(ProblemsError) as raised:
        score(both, BRATS)
    assert "holds the values 7, 14, 28" in raised.value.problems[0].problem


def test_the_file_with_the_problem_is_named(folders):
    both = folders({"a": ball(), "b": ball() * 7}, {"a": ball() * 5, "b": ball()})
    with pytest.raises(ProblemsError) as raised:
        score(both, BRATS)
    named = [(one.case, one.file) for one in raised.value.problems]
    assert named == [("a", str(both[1] / "a.nii.gz")), ("b", str(both[0] / "b.nii.gz"))]


def test_negative_values_name_file_and_value(folders):
    both = folders({"a": ball().astype(np.int16)}, {"a": ball().astype(np.int16) * -3})
    with pytest.raises(ProblemsError, match="1 files are no label maps") as raised:
        score(both)
    assert raised.value.problems[0].file == str(both[1] / "a.nii.gz")
    assert "from -12 to -3" in raised.value.problems[0].problem


@pytest.mark.parametrize(("convention", "dice"), [("hga", 1.0), ("exclude", np.nan)])
def test_all_empty_without_dataset(folders, convention, dice):
    """[M11] What the convention says, not an error."""
    nothing = np.zeros((6, 6, 6), np.uint8)
    made = score(folders({"a": nothing, "b": nothing}, {"a": nothing, "b": nothing}), convention=convention)
    assert made["mean"]["1"]["dice"] == pytest.approx(dice, nan_ok=True)
    assert made["structures"]["1"]["absent"] == 2


@pytest.mark.parametrize("gone", ["predictions", "references"])
def test_absent_and_empty_folders(folders, tmp_path, gone):
    both = folders({"a": ball()}, {"a": ball()})
    (tmp_path / gone / "a.nii.gz").unlink()
    with pytest.raises(DataError, match=f"{gone}' holds no label map"):
        score(both)
    (tmp_path / gone).rmdir()
    with pytest.raises(DataError, match="no folder"):
        score(both)


def test_images_and_probabilities(folders):
    both = folders({"a": np.arange(1680, dtype=np.int16).reshape(12, 14, 10)}, {"a": ball()})
    with pytest.raises(DataError, match="no label maps"):
        score(both)
    with pytest.raises(DataError, match="no probabilities"):
        score(both, extras=["calibration"])
