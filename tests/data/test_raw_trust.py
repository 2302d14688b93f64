"""What must not be read into a raw folder: one of two patterns, another channel, another unit, another case's label."""

import json
import shutil

import nibabel
import numpy as np
import pytest
from _prepared import moved, same_content
from _raw import BRATS, MODALITIES, found, image, look, prepared, touch, write_raw
from test_draft import PATIENTS, WORDS, described, named, raw_folder
from test_raw_reviewed import toy

from hga_cli.core.config import resolve
from hga_cli.core.errors import ConfigError, DataError
from hga_cli.data.raw.clues import read_clues
from hga_cli.data.raw.description import load_description
from hga_cli.data.raw.discovery import discover
from hga_cli.data.raw.naming import read_name
from hga_cli.data.raw.prepare import Preparation, prepare
from hga_cli.data.raw.readings import best_reading
from hga_cli.data.raw.recognise import recognise

ALIGN = Preparation(align=True)
SUFFIXES = (".nii.gz", ".nii")


@pytest.mark.parametrize("order", [("t1", "gd"), ("gd", "t1")])
def test_file_that_patterns_of_two_modalities_match_is_a_problem(tmp_path, order):
    """Case G13: neither the length of a pattern nor its place in the file decides."""
    patterns = {"t1": ["*t1w*"], "gd": ["*gd*"]}
    description = toy({role: patterns[role] for role in order} | {"label": ["*seg*"]})
    touch(tmp_path, *(f"p{n}/p{n}_{word}.nii.gz" for n, word in [(1, "t1w"), (1, "seg"), (2, "t1w_gd"), (2, "seg")]))
    for need_label in (True, False):
        findings = look(tmp_path, description, need_label=need_label)
        assert [case.case for case in findings.cases] == ["p1"]
        problem = next(one for one in findings.problems if "t1w_gd" in one.file)
        assert problem.case == "p2"
        first, second = (f"{role} ({patterns[role][0]})" for role in order)
        assert problem.problem.startswith(f"the patterns of {first} and {second} match it")
        assert "narrow one in [files]" in problem.problem


@pytest.mark.parametrize(
    ("files", "path", "expected"),
    [
        ({"t1": ["*t1*"], "gd": ["*t1_gd*"]}, "p1_t1_gd_2", "gd"),
        ({"t1": ["anat/*T1w"], "gd": ["anat/*ce-gad_T1w"]}, "anat/s1_ce-gad_T1w", "gd"),
        ({"t1": ["anat/*"], "gd": ["*gd*"]}, "anat/p1_gd", None),
        ({"t1": ["*t1*"], "gd": ["t1ce"]}, "p1_t1ce", "gd"),
        ({"t1": ["*t1*"], "gd": ["gd"]}, "p1_t1_gd", None),
        ({"t1": ["*t1"], "gd": ["t1"]}, "p1_t1", None),
        ({"t1": ["p?_t1*"], "gd": ["p1_t1*"]}, "p1_t1", None),
        ({"t1": ["t1/*"], "gd": ["long_ending_gd"]}, "t1/p1_long_ending_gd", "t1"),
        ({"t1": ["t1w"], "gd": ["gd_t1w"]}, "p1_gd_t1w", "gd"),
        ({"t1": ["t1", "*t1*"], "gd": ["gd"]}, "p1_t1", "t1"),
    ],
)
@pytest.mark.parametrize("turn", [1, -1])
def test_the_narrower_entry_counts(tmp_path, files, path, expected, turn):
    description = toy(dict([*files.items()][::turn]) | {"label": ["seg"]})
    read = read_name(tmp_path / f"{path}.nii", description, SUFFIXES)
    assert read.role == expected
    assert set(read.claimed) == (set() if expected else {"t1", "gd"})


def write_nnunet(root, channels, numbers):
    root.mkdir()
    tree = {"channel_names": channels, "labels": {"background": 0, "x": 1}, "file_ending": ".nii.gz"}
    (root / "dataset.json").write_text(json.dumps(tree))
    touch(root, *(f"imagesTr/c_{case}_000{number}.nii.gz" for case in (1, 2) for number in numbers))
    touch(root, *(f"labelsTr/c_{case}.nii.gz" for case in (1, 2)))
    return root


@pytest.mark.parametrize(("channels", "numbers"), [({"1": "T1", "2": "T2"}, (1, 2)), ({"3": "T2", "0": "T1"}, (0, 3))])
def test_key_of_a_channel_is_the_number_files_end_in(tmp_path, channels, numbers):
    raw = write_nnunet(tmp_path / "raw", channels, numbers)
    description = recognise(raw)
    assert description.modalities == ("T1", "T2")
    for case in look(raw, description).cases:
        assert {role: path.name for role, path in case.images.items()} == {
            name: f"{case.case}_000{number}.nii.gz" for name, number in zip(("T1", "T2"), numbers, strict=True)
        }


def test_lone_second_channel_is_not_the_first(tmp_path):
    raw = write_nnunet(tmp_path / "raw", {"1": "FLAIR", "2": "T1w"}, (1,))
    assert [list(case.images) for case in look(raw, recognise(raw)).cases] == [["FLAIR"], ["FLAIR"]]


@pytest.mark.parametrize(
    "channels", [{"red": "T1"}, {"0": "T1", "-1": "T2"}, {"1": "T1", "01": "T2"}, {"": "T1"}, {"0": "T1", "red": "T2"}]
)
def test_key_of_a_channel_that_is_no_number_is_refused(tmp_path, channels):
    raw = write_nnunet(tmp_path / "raw", channels, (0,))
    key = next(key for key in channels if key != "0")
    with pytest.raises(DataError, match=f"the channel '{key}' has a key that is no number of its own") as caught:
        load_description("nnunet", raw)
    assert "dataset.json" in caught.value.message
    assert '"0" for _0000' in caught.value.hint


def test_numbers_that_do_not_fit_lead_to_dataset_json(tmp_path):
    """It is nnU-Net, wrongly numbered, and not the Decathlon with cases of odd names."""
    raw = write_nnunet(tmp_path / "raw", {"0": "T1", "1": "T2"}, (1, 2))
    description = recognise(raw)
    assert "channels" not in description.files
    problems = look(raw, description).problems
    assert [one.case for one in problems] == ["c_1", "c_2"]
    words = "dataset.json numbers the channels (keys of channel_names): _0000 is T1, _0001 is T2"
    assert all(words in one.problem and "_0002" in one.file for one in problems)


@pytest.mark.parametrize(("low", "high"), [(0.01, 0.99), (0.5, 1), (0, 0.5)])
def test_shares_are_no_percentiles(low, high):
    with pytest.raises(ConfigError, match=f"clip ends at the percentile {high}; .* 0 to 100: 1 for 1 %"):
        resolve(assignments=[f"preprocess.clip=[{low},{high}]"])
    assert resolve(assignments=["preprocess.clip=[0.01,99.9]"]).preprocess.clip == (0.01, 99.9)


def in_units(path, unit, factor):
    """Rewrite a file so that its lengths are told in another unit."""
    old = nibabel.load(path)
    affine = np.diag([1 / factor, 1 / factor, 1 / factor, 1]) @ old.affine
    new = nibabel.Nifti1Image(np.asarray(old.dataobj).copy(), affine, dtype=old.get_data_dtype())
    new.header.set_xyzt_units(unit)
    nibabel.save(new, path)


@pytest.mark.parametrize(("unit", "factor"), [("micron", 1e-3), ("meter", 1e3), ("unknown", 1)])
def test_files_in_other_units_are_the_same_case(tmp_path, unit, factor):
    """All files, or one of them: the case, its voxel size and what is resampled from it are as in mm."""
    affines = dict.fromkeys((*MODALITIES, "seg"), np.diag([0.9, 1, 1.5, 1]))
    plain = write_raw(tmp_path / "mm", "p1", affines=affines)
    for roles in ((*MODALITIES, "seg"), ("t1",), ("seg",)):
        folder = tmp_path / "-".join(roles) / "p1"
        shutil.copytree(plain, folder)
        for role in roles:
            in_units(folder / f"p1_{role}.nii", unit, factor)
        for spacing in (None, (2.0, 2.0, 2.0)):
            same, case = prepared(plain, spacing), prepared(folder, spacing)
            same_content(case, same)
            assert case.trail.original_spacing == pytest.approx((0.9, 1, 1.5), rel=1e-5)
            assert case.warnings == same.warnings


def test_label_that_is_called_like_another_case_is_not_adopted(tmp_path):
    folder = write_raw(tmp_path, "A")
    (folder / "A_seg.nii").unlink()
    shutil.copy(write_raw(tmp_path, "B") / "B_seg.nii", folder)
    findings = look(tmp_path)
    assert [(case.case, case.label.parent.name) for case in findings.cases] == [("B", "B")]
    (problem,) = findings.problems
    assert (problem.case, problem.file) == ("A", str(folder / "B_seg.nii"))
    assert problem.problem.startswith("its only label is called like the case 'B'; put it there, or rename it")


def test_label_of_an_unrelated_name_is_adopted_with_a_warning(tmp_path):
    write_raw(tmp_path, "B")
    folder = write_raw(tmp_path, "A")
    (folder / "A_seg.nii").rename(folder / "W39_1998.09.19_Segm.nii")
    first, _ = look(tmp_path).cases
    assert (first.case, first.label.name) == ("A", "W39_1998.09.19_Segm.nii")
    assert first.warnings == ("'W39_1998.09.19_Segm.nii' is taken for its label: there is no other in the folder",)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("apart", [True, False])
def test_voxels_that_are_no_numbers_are_said_when_aligning_too(tmp_path, bad, apart):
    """Case G01: how many the file holds, before it is resampled; the result is that of zeros."""
    affines = {"t1": moved(0.5)} if apart else {}
    clean, broken = (image("p1 t1").astype(np.float32) for _ in range(2))
    clean[3:5, 3, 3], broken[3:5, 3, 3] = 0, bad
    good, mended = (
        prepare(found(write_raw(tmp_path / name, "p1", arrays={"t1": one}, affines=affines)), BRATS, ALIGN)
        for name, one in (("clean", clean), ("broken", broken))
    )
    assert mended.warnings == ["t1: 2 voxels are NaN or infinite in 'p1_t1.nii', set to 0", *good.warnings]
    same_content(mended, good)


def test_file_called_like_the_start_of_others_is_passed_over_alone(tmp_path):
    raw = raw_folder(tmp_path / "raw", [*named("scan_{n}_{w}", n=["1", "2"], w=WORDS), "scan_1"])
    description = described(tmp_path, raw)[2]
    findings = discover(raw, description, need_label=True)
    assert (description.layout.ignore, findings.problems) == (("scan_1",), [])
    assert [case.case for case in findings.cases] == ["scan_1", "scan_2"]


def test_draft_that_reads_nothing_is_handed_over_with_a_gap(tmp_path, monkeypatch):
    """No folder is known that leads here; its user gets something to complete all the same."""
    raw = raw_folder(tmp_path / "raw", named("{p}_{w}", p=PATIENTS, w=WORDS))
    tree = best_reading(read_clues(sorted(raw.iterdir()), raw), raw) | {"layout": {"ignore": ["p*"]}}
    monkeypatch.setattr("hga_cli.data.raw.draft.best_reading", lambda *_: tree)
    made, _, description = described(tmp_path, raw)
    assert "# GAP: no case is read; complete [files] and [layout]" in made.text
    assert made.hints[0].startswith(f"the draft reads no case: '{raw}' holds no case of 'raw'")
    assert any(hint.startswith("9 files belong to no case: p01_flair.nii") for hint in made.hints)
    assert description.modalities == ("flair", "t1")
