"""What the values of a label file mean, and what is no label file."""

import nibabel
import numpy as np
import pytest
from _prepared import moved, problems_of, same_content
from _raw import SHAPE, label, prepared, write_raw


@pytest.mark.parametrize("values", [(1, 2, 4), (1, 2, 3), (1, 2), (4,), (3, 1)], ids=str)
def test_both_conventions_of_enhancing_tumour(tmp_path, values):
    """Case L05: 4 until 2021 and 3 from 2023 are the same class, and the value of the file is remembered."""
    case = prepared(write_raw(tmp_path, "p1", arrays={"seg": label(values)}))
    names = {1: "necrosis", 2: "oedema", 3: "enhancing", 4: "enhancing"}
    index = {"necrosis": 1, "oedema": 2, "enhancing": 3}
    assert case.label_values == {names[value]: value for value in values}
    for value in values:
        np.testing.assert_array_equal(case.reference == index[names[value]], label(values) == value)
    assert set(np.unique(case.label)) == {0} | {index[names[value]] for value in values}


def test_both_conventions_in_one_file_cannot_be_told_apart(tmp_path):
    array = label((1, 2, 3))
    array[9, 9, 6] = 4
    (problem,) = problems_of(write_raw(tmp_path, "p1", arrays={"seg": array}))
    assert "both 3 and 4 could mean 'enhancing'" in problem.problem


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ((1, 2, 5), "the values 5,"),
        ((255,), "the values 255,"),
        ((-1, 2), "the values -1,"),
        ((2221, 200), "200, 2221"),
    ],
    ids=str,
)
def test_undeclared_values_are_refused(tmp_path, values, words):
    """Cases L04 and L07: nothing wraps into a byte."""
    (problem,) = problems_of(write_raw(tmp_path, "p1", arrays={"seg": label(values)}))
    assert words in problem.problem
    assert "which no label of 'brats' declares" in problem.problem
    assert problem.file.endswith("p1_seg.nii")


@pytest.mark.parametrize("dtype", ["int16", "float32"])
def test_image_given_as_label(tmp_path, dtype):
    """Case L11: many values, and negative ones do not wrap into classes."""
    noise = np.random.default_rng(0).integers(-1024, 1024, SHAPE).astype(dtype)
    noise += np.float32(0.5).astype(dtype)
    (problem,) = problems_of(write_raw(tmp_path, "p1", arrays={"seg": noise}))
    if dtype == "float32":
        assert f"not integers ({len(np.unique(noise))} different ones)" in problem.problem
    else:
        assert "looks like an image" in problem.problem
        assert f"{len(np.unique(noise)) - 1} different values, minimum {noise.min()}" in problem.problem


def test_scaled_label_is_rounded(tmp_path):
    """Case L01: 3.99999 is 4, not 3."""
    folder = write_raw(tmp_path, "p1")
    header = nibabel.Nifti1Header()
    header.set_data_dtype(np.int16)
    nibabel.save(nibabel.Nifti1Image(label().astype(np.float64), np.eye(4), header), folder / "p1_seg.nii")
    assert nibabel.load(folder / "p1_seg.nii").get_fdata().max() != 4
    same_content(prepared(folder), prepared(write_raw(tmp_path / "plain", "p1")))


@pytest.mark.parametrize("far", [0.004, -0.03])
def test_rounding_is_told(tmp_path, far):
    array = label().astype(np.float32)
    array[array == 4] += far
    case = prepared(write_raw(tmp_path, "p1", arrays={"seg": array}))
    assert case.warnings == [f"label: values of 'p1_seg.nii' are up to {abs(far):.2g} away from integers, rounded"]
    assert case.label_values == {"necrosis": 1, "oedema": 2, "enhancing": 4}


def test_mask_of_a_drawing_program_gets_a_proposal(tmp_path):
    """Case L04: 0 and 255."""
    (problem,) = problems_of(write_raw(tmp_path, "p1", arrays={"seg": label((255,)).astype(np.uint8)}))
    assert "if 255 means 'necrosis', add it to that label's values in the description" in problem.problem


def test_grey_edges_are_no_class_map(tmp_path):
    """Case L04: 40 grey values."""
    array = np.zeros(SHAPE, np.uint8)
    array[3:11, 3:8, 3] = np.arange(40).reshape(8, 5) + 5
    (problem,) = problems_of(write_raw(tmp_path, "p1", arrays={"seg": array}))
    assert "is no class map: 40 different values" in problem.problem


def test_label_and_grid_problems_are_told_together(tmp_path):
    problems = problems_of(write_raw(tmp_path, "p1", arrays={"seg": label((1, 9))}, affines={"t2": moved(3)}))
    assert sorted(one.file[-7:] for one in problems) == ["_t2.nii", "seg.nii"]


def test_lesion_that_vanishes_when_resampled_is_told(tmp_path):
    """Case L09: the class stays, one of its structures does not; the reference keeps both."""
    array = label((1, 2))
    array[9, 9, 7] = 2
    case = prepared(write_raw(tmp_path, "p1", arrays={"seg": array}), (2.0, 2.0, 2.0))
    assert case.warnings == ["label: 1 separate structures of 'oedema' vanish when resampled"]
    assert case.label_voxels == {"necrosis": 60, "oedema": 61}


def test_nothing_is_told_where_nothing_vanishes(tmp_path):
    assert prepared(write_raw(tmp_path, "p1"), (1.3, 1.1, 1.4)).warnings == []


def test_class_that_vanishes_when_resampled_is_told(tmp_path):
    """Case L09: it stays in the reference that is scored against."""
    array = label((1, 2))
    array[9, 9, 7] = 4
    case = prepared(write_raw(tmp_path, "p1", arrays={"seg": array}), (2.0, 2.0, 2.0))
    assert case.warnings == ["label: 'enhancing' (1 voxels) vanishes when resampled"]
    assert set(np.unique(case.label)) == {0, 1, 2}
    assert (case.reference == 3).sum() == 1
