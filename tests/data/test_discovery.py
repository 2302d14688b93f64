from pathlib import Path

import numpy as np
import pytest
from _raw import BRATS, MODALITIES, look, touch, write

from hga_cli.core.errors import DataError, ProblemsError
from hga_cli.data.raw.discovery import group, require_clean
from hga_cli.data.raw.naming import read_name

ROLES = ("flair", "t1ce", "t1", "t2", "label")
STYLES = {
    "2018 to 2021": ("_flair", "_t1ce", "_t1", "_t2", "_seg"),
    "2023": ("-t2f", "-t1c", "-t1n", "-t2w", "-seg"),
    "upper case": ("_FLAIR", "_T1CE", "_T1", "_T2", "_SEG"),
    "older script": ("_flair", "_t1Gd", "_t1", "_t2", "_seg"),
    "blanks and dots": (" flair", ".t1ce", "- t1", "__t2", "_-seg"),
}
WEIRD = ["pat_zini", "pat_zin", "sub-nig", "1.2.840.1", "1.2.840.2", "a b", "x_seg_01", "t1_study_t2", "nan"]
WEIRD += ["Größe 测试 #1 (a)", "001", "1", "0123", "1e5", "no", "12:30", "flair", "x_flair", "p1_t1ce"]


def files_of(case):
    return {role: path.name for role, path in case.images.items()} | {"label": case.label and case.label.name}


@pytest.mark.parametrize("suffix", [".nii.gz", ".nii", ".NII.GZ"])
@pytest.mark.parametrize("style", STYLES.values(), ids=STYLES)
def test_every_style_of_names(tmp_path, style, suffix):
    """Case G13: each file belongs to one modality, and t1ce is never taken for t1."""
    touch(tmp_path, *(f"p1/p1{ending}{suffix}" for ending in style))
    (case,) = look(tmp_path).cases
    assert (case.case, case.subject) == ("p1", "p1")
    assert files_of(case) == {role: f"p1{ending}{suffix}" for role, ending in zip(ROLES, style, strict=True)}
    assert case.combination(MODALITIES) == MODALITIES


def test_contrast_alone_is_not_native_t1(tmp_path):
    """Case G13, variant C."""
    touch(tmp_path, "p1/p1_t1ce.nii.gz", "p1/p1_t2.nii.gz", "p1/p1_seg.nii.gz")
    (case,) = look(tmp_path).cases
    assert case.combination(MODALITIES) == ("t1ce", "t2")


def test_bare_names_belong_to_their_folder(tmp_path):
    touch(tmp_path, *(f"{case}/{name}.nii.gz" for case in ("p1", "p2") for name in ("flair", "t1", "seg")))
    assert {case.case: files_of(case)["t1"] for case in look(tmp_path).cases} == {
        "p1": "t1.nii.gz",
        "p2": "t1.nii.gz",
    }


def test_folder_given_as_a_dot_has_a_name(tmp_path, monkeypatch):
    touch(tmp_path, "p1/flair.nii.gz", "p1/seg.nii.gz", "p1/deep/x.txt")
    monkeypatch.chdir(tmp_path / "p1")
    assert [case.case for case in look(Path()).cases] == ["p1"]
    monkeypatch.chdir(tmp_path / "p1" / "deep")
    assert [case.case for case in look(Path("..")).cases] == ["p1"]


def test_flat_folder(tmp_path):
    touch(tmp_path, *(f"{case}_{name}.nii.gz" for case in ("p1", "p10", "p2") for name in ("flair", "seg")))
    cases = look(tmp_path).cases
    assert [case.case for case in cases] == ["p1", "p10", "p2"]
    assert files_of(cases[1]) == {"flair": "p10_flair.nii.gz", "label": "p10_seg.nii.gz"}


def test_folders_at_any_depth(tmp_path):
    touch(tmp_path, "HGG/p1/p1_t1.nii.gz", "HGG/p1/p1_seg.nii.gz", "LGG/x/y/p2-t1n.nii", "LGG/x/y/p2-seg.nii")
    assert [case.case for case in look(tmp_path).cases] == ["p1", "p2"]


@pytest.mark.parametrize("layout", ["{case}/{case}_{role}.nii.gz", "{case}/{role}.nii.gz"], ids=["named", "bare"])
def test_ids_are_kept_letter_by_letter(tmp_path, layout):
    """Cases G11, C02 and C06."""
    touch(tmp_path, *(layout.format(case=case, role=role) for case in WEIRD for role in ("flair", "t1", "seg")))
    findings = look(tmp_path)
    assert findings.problems == []
    assert sorted(case.case for case in findings.cases) == sorted(WEIRD)
    assert all(case.combination(MODALITIES) == ("flair", "t1") for case in findings.cases)


def test_visits_share_a_subject(tmp_path):
    visits = ["BraTS-GLI-00001-000", "BraTS-GLI-00001-001", "BraTS-GLI-00002-000"]
    touch(tmp_path, *(f"{case}/{case}-{role}.nii.gz" for case in visits for role in ("t2w", "seg")))
    assert [case.subject[-5:] for case in look(tmp_path).cases] == ["00001", "00001", "00002"]


@pytest.mark.parametrize("twin", ["p1_t1.nii", "p1-t1.nii.gz", "p1_T1.nii.gz", "p1_t1n.nii.gz"])
def test_two_candidates_are_refused_and_both_named(tmp_path, twin):
    """Case D09: the same image packed and unpacked, or under two names."""
    touch(tmp_path, "p1/p1_t1.nii.gz", f"p1/{twin}", "p1/p1_seg.nii.gz", "p2/p2_t1.nii", "p2/p2_seg.nii")
    findings = look(tmp_path)
    assert [case.case for case in findings.cases] == ["p2"]
    (problem,) = findings.problems
    assert problem.case == "p1"
    assert problem.problem.startswith("2 files for t1, expected one")
    assert twin in problem.file
    assert "p1_t1.nii.gz" in problem.file


@pytest.mark.parametrize("name", ["p1_flair_Eq_1.nii.gz", "p1_flaira.nii.gz", "p1_flair2.nii"])
def test_second_version_of_a_series_is_refused_and_both_are_named(tmp_path, name):
    """Case G17: never silently the first of two; shape and voxel size tell which has all slices."""
    touch(tmp_path, "p1/p1_t2.nii.gz", "p1/p1_seg.nii.gz", "p2/p2_t2.nii", "p2/p2_seg.nii")
    write(tmp_path / "p1" / "p1_flair.nii.gz", np.ones((5, 6, 18), np.int16), np.diag([1, 1, 6, 1]))
    write(tmp_path / "p1" / name, np.ones((5, 6, 36), np.int16), np.diag([1, 1, 3, 1]))
    for need_label in (True, False):
        findings = look(tmp_path, need_label=need_label)
        assert [case.case for case in findings.cases] == ["p2"]
        (problem,) = findings.problems
        assert problem.case == "p1"
        for text in ("p1_flair.nii.gz", "5x6x18, 1 x 1 x 6 mm", name, "5x6x36, 1 x 1 x 3 mm"):
            assert text in problem.problem


@pytest.mark.parametrize("name", ["p1_flair_Eq_1.nii.gz", "p1_t1map.nii", "overlay.nii.gz"])
def test_leftover_file_is_refused_for_a_store_and_said_for_prediction(tmp_path, name):
    """Case G17: never silently none."""
    touch(tmp_path, f"p1/{name}", "p1/p1_t2.nii.gz", "p1/p1_seg.nii.gz", "p2/p2_t2.nii", "p2/p2_seg.nii")
    findings = look(tmp_path)
    assert [case.case for case in findings.cases] == ["p2"]
    (problem,) = findings.problems
    assert (problem.case, problem.file) == ("p1", str(tmp_path / "p1" / name))
    assert "flair, t2f, t1ce" in problem.problem
    findings = look(tmp_path, need_label=False)
    assert findings.problems == []
    assert [case.warnings for case in findings.cases] == [(f"'{name}' belongs to no modality and is not used",), ()]


def test_leftover_file_of_a_flat_folder_belongs_to_the_case_it_is_named_after(tmp_path):
    touch(tmp_path, "p1_t2.nii", "p1_seg.nii", "p2_t2.nii", "p2_seg.nii", "p2_t2_Eq_1.nii", "readme.txt")
    findings = look(tmp_path)
    assert [case.case for case in findings.cases] == ["p1"]
    assert [problem.case for problem in findings.problems] == ["p2"]


@pytest.mark.parametrize("second", ["p1", "P1"])
def test_the_same_id_twice_is_refused(tmp_path, second):
    """Case D09: also where a file system that ignores case would let one overwrite the other."""
    touch(tmp_path, *(f"{place}_{role}.nii.gz" for place in ("a/p1", f"b/{second}", "b/p2") for role in ("t1", "seg")))
    findings = look(tmp_path)
    assert [case.case for case in findings.cases] == ["p2"]
    assert sorted((problem.case, problem.file[-1]) for problem in findings.problems) == sorted(
        [("p1", "a"), (second, "b")]
    )


def test_label_is_needed_for_a_store_and_not_for_prediction(tmp_path):
    touch(tmp_path, "p1/p1_t1.nii.gz", "p2/p2_seg.nii.gz", "p3/p3_t1.nii", "p3/p3_seg.nii")
    findings = look(tmp_path)
    assert [case.case for case in findings.cases] == ["p3"]
    assert {problem.case: problem.problem for problem in findings.problems} == {
        "p1": "has no label",
        "p2": "has a label but no image",
    }
    assert [case.case for case in look(tmp_path, need_label=False).cases] == ["p1", "p3"]


def test_all_problems_at_once(tmp_path):
    touch(
        tmp_path, "p1/p1_t1.nii", "p2/p2_t1.nii", "p2/p2_t1.nii.gz", "p2/p2_what.nii", "p3/p3_t1.nii", "p3/p3_seg.nii"
    )
    findings = look(tmp_path)
    with pytest.raises(ProblemsError, match="4 problems, nothing was written") as caught:
        require_clean(findings, tmp_path)
    assert sorted(problem.case for problem in caught.value.problems) == ["p1", "p2", "p2", "p2"]
    assert "--on-problem skip" in caught.value.hint


def test_sound_folder_is_clean(tmp_path):
    touch(tmp_path, "p1/p1_t1.nii", "p1/p1_seg.nii", "p1/notes.txt", "p1/._p1_t1.nii", "p1/.p1_t2.nii.gz")
    findings = look(tmp_path)
    require_clean(findings, tmp_path)
    assert files_of(findings.cases[0]) == {"t1": "p1_t1.nii", "label": "p1_seg.nii"}


@pytest.mark.parametrize(
    ("names", "shown"),
    [
        ([], "it is empty"),
        (["p1_t1.mgz", "p1_t1.nrrd"], "p1_t1.mgz, p1_t1.nrrd"),
        (["sub-1/anat/scan.nii.gz"], "sub-1"),
    ],
    ids=["empty", "other formats", "other names"],
)
def test_nothing_found_tells_what_was_looked_for_and_what_is_there(tmp_path, names, shown):
    """Case P08."""
    touch(tmp_path, *names)
    with pytest.raises(DataError, match="holds no case of 'brats'") as caught:
        look(tmp_path)
    assert "*flair.nii.gz (flair)" in caught.value.message
    assert "*seg.nii.gz (label)" in caught.value.message
    assert shown in caught.value.hint


def test_folder_that_does_not_exist(tmp_path):
    with pytest.raises(DataError, match="no folder"):
        look(tmp_path / "absent")
    touch(tmp_path, "p1_t1.nii")
    with pytest.raises(DataError, match="no folder"):
        look(tmp_path / "p1_t1.nii")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("x_t1.nii.gz", ("t1", "x")),
        ("t1.nii", ("t1", "here")),
        ("t1_t2.nii", ("t2", "t1")),
        ("xt1.nii", (None, "xt1")),
        ("x_t1_old.nii", (None, "x_t1_old")),
        ("x.nii", (None, "x")),
        ("seg_flair.nii", ("flair", "seg")),
    ],
)
def test_what_one_name_says(tmp_path, name, expected):
    read = read_name(tmp_path / "here" / name, BRATS, (".nii.gz", ".nii"))
    assert (read.role, read.case) == expected


def test_files_named_one_by_one(tmp_path):
    findings = group([tmp_path / "p1_t1.nii", tmp_path / "p1_t2.nii"], BRATS, need_label=False)
    assert [(case.case, sorted(case.images)) for case in findings.cases] == [("p1", ["t1", "t2"])]
