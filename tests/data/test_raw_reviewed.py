"""Faults in names, descriptions and recognition of raw folders that a review found once, kept from coming back."""

import json
from dataclasses import replace

import pytest
from _raw import BRATS, image, label, look, touch, write, write_raw
from test_description import TREE
from test_preprocess_checks import Ears

from hga_cli.core.errors import ConfigError, DataError, ProblemsError
from hga_cli.core.settings import Preprocess
from hga_cli.data.raw.description import load_description, parse_description
from hga_cli.data.raw.discovery import require_clean
from hga_cli.data.raw.recognise import recognise
from hga_cli.data.store import Store
from hga_cli.workflows.preprocess import preprocess


def toy(files, **changes):
    roles = [role for role in files if role not in ("label", "channels")]
    return parse_description(TREE | {"modalities": roles, "files": files} | changes, "toy")


@pytest.mark.parametrize("written", ["_t1", "t1.nii.gz", "-T1.NII", "_t1.nii.gz"])
def test_ending_may_be_written_with_separator_and_suffix(tmp_path, written):
    description = toy({"t1": [written], "label": ["_seg.nii"]})
    assert [ending.lower() for ending in description.files["t1"]] == ["t1"]
    touch(tmp_path, "p1/p1_t1.nii.gz", "p1/p1_seg.nii.gz")
    assert [list(case.images) for case in look(tmp_path, description).cases] == [["t1"]]


def test_path_may_be_written_with_suffix(tmp_path):
    files = {"t1": ["images/*_0000.nii.gz"], "label": ["labels/*.nii.gz"]}
    layout = {"ignore": ["old/*.nii.gz"], "case": "/(?:images/([^/]+)_0000|labels/([^/]+))$"}
    description = toy(files, layout=layout)
    assert (description.files["t1"], description.layout.ignore) == (("images/*_0000",), ("old/*",))
    touch(tmp_path, "images/p1_0000.nii.gz", "labels/p1.nii.gz", "old/p1.nii.gz")
    findings = look(tmp_path, description)
    assert ([case.case for case in findings.cases], findings.left, findings.problems) == (["p1"], [], [])


@pytest.mark.parametrize("ending", ["", "_", ".nii.gz", "_.nii"])
def test_ending_of_nothing_is_refused(ending):
    with pytest.raises(ConfigError, match=r"files\.t1\.0: .*names no file"):
        toy({"t1": [ending], "label": ["seg"]})


def test_an_ending_with_a_separator_is_the_one_without():
    with pytest.raises(ConfigError, match="an ending stands for two modalities"):
        toy({"a": ["_t1"], "b": ["t1"], "label": ["seg"]})


def write_msd(root, modalities, volumes):
    root.mkdir()
    tree = {"name": "Spleen", "modality": modalities, "labels": {"0": "background", "1": "spleen"}}
    (root / "dataset.json").write_text(json.dumps(tree))
    write(root / "imagesTr" / "s_1.nii.gz", volumes)
    write(root / "labelsTr" / "s_1.nii.gz", label((1,)))
    return root


def test_decathlon_of_one_modality_has_three_axes(tmp_path):
    raw = write_msd(tmp_path / "raw", {"0": "CT"}, image("x"))
    preprocess(raw, recognise(raw), tmp_path / "store", Preprocess(workers=1))
    assert {case: entry.modalities for case, entry in Store(tmp_path / "store").cases.items()} == {"s_1": ("CT",)}


def test_three_axes_are_not_two_modalities(tmp_path):
    raw = write_msd(tmp_path / "raw", {"0": "CT", "1": "PET"}, image("x"))
    with pytest.raises(ProblemsError) as caught:
        preprocess(raw, recognise(raw), tmp_path / "store", Preprocess(workers=1))
    assert caught.value.problems[0].problem.startswith("holds 1 volumes but 2 modalities are named: CT, PET")


def test_folder_without_labels_is_recognised_and_the_labels_are_missed(tmp_path):
    for case in ("p1", "p2"):
        (write_raw(tmp_path, case) / f"{case}_seg.nii").unlink()
    assert recognise(tmp_path).name == "brats"
    with pytest.raises(ProblemsError, match="2 problems") as caught:
        require_clean(look(tmp_path), tmp_path)
    assert {one.problem for one in caught.value.problems} == {"has no label"}
    assert "--on-problem skip" not in caught.value.hint
    assert "hga info --describe" in caught.value.hint


def test_nnunet_without_labels_is_not_taken_for_the_decathlon(tmp_path):
    tree = {"channel_names": {"0": "T1", "1": "T2"}, "labels": {"background": 0, "x": 1}, "file_ending": ".nii.gz"}
    (tmp_path / "dataset.json").write_text(json.dumps(tree))
    touch(tmp_path, *(f"imagesTr/p_{case}_000{channel}.nii.gz" for case in (1, 2) for channel in (0, 1)))
    description = recognise(tmp_path)
    assert "channels" not in description.files
    assert {one.case for one in look(tmp_path, description).problems} == {"p_1", "p_2"}


def test_a_clean_case_counts_more_than_many_with_problems(tmp_path):
    touch(tmp_path, *(f"p{n}/p{n}_{role}.nii.gz" for n in range(5) for role in ("flair", "t1ce", "t1", "t2")))
    touch(tmp_path, *(f"Center_01/Patient_01/{name}.nii.gz" for name in ("FLAIR_preprocessed", "Masks/Consensus")))
    assert recognise(tmp_path).name == "msseg"


def test_what_fits_two_descriptions_is_not_chosen_silently(tmp_path):
    touch(tmp_path, "p1/p1_flair.nii.gz")
    with pytest.raises(DataError, match="could be one of brats, msseg") as caught:
        recognise(tmp_path)
    assert "hga info --describe" in caught.value.hint


def test_dataset_json_that_cannot_be_used_is_said_by_recognition(tmp_path):
    tree = {"channel_names": {"0": "CT"}, "labels": {"background": 0, "x": 1}, "file_ending": ".png"}
    (tmp_path / "dataset.json").write_text(json.dumps(tree))
    touch(tmp_path, "imagesTr/p1_0000.png")
    with pytest.raises(DataError, match=r"says that files end with '\.png'"):
        recognise(tmp_path)


def write_nnunet(root, values):
    root.mkdir()
    tree = {"channel_names": {"0": "CT"}, "labels": {"background": 0, "x": 1, "ignore": 2}, "file_ending": ".nii.gz"}
    (root / "dataset.json").write_text(json.dumps(tree))
    write(root / "imagesTr" / "p1_0000.nii.gz", image("x"))
    write(root / "labelsTr" / "p1.nii.gz", label(values))
    return root


def test_ignore_label_of_nnunet_is_said_to_be_one(tmp_path):
    raw = write_nnunet(tmp_path / "raw", (1, 2))
    with pytest.raises(ProblemsError) as caught:
        preprocess(raw, recognise(raw), tmp_path / "store", Preprocess(workers=1))
    (problem,) = caught.value.problems
    assert problem.problem.startswith("holds the value 2, 'ignore': voxels that nobody labelled; ")
    assert "set them to 0" in problem.problem


def test_ignore_label_that_no_file_holds_is_no_hindrance(tmp_path):
    raw = write_nnunet(tmp_path / "raw", (1,))
    preprocess(raw, recognise(raw), tmp_path / "store", Preprocess(workers=1))
    assert Store(tmp_path / "store").description.ignore_label == 2
    assert list(Store(tmp_path / "store").cases) == ["p1"]


@pytest.mark.parametrize("value", [0, 1])
def test_ignore_label_is_no_other_label(value):
    with pytest.raises(ConfigError, match="ignore_label is the value of a label, or 0"):
        parse_description(TREE | {"ignore_label": value}, "toy")


def test_base_with_fewer_modalities(tmp_path):
    mine = tmp_path / "mine.toml"
    mine.write_text('base = "brats"\nname = "mine"\nmodalities = ["t1", "flair"]\n')
    description = load_description(str(mine))
    assert (description.modalities, description.digits) == (("t1", "flair"), ("t1", "flair"))
    assert set(description.files) == {"t1", "flair", "label"}
    assert [len(one) for one in description.numbered] == [1, 1, 2]
    assert description.regions == BRATS.regions
    mine.write_text(mine.read_text() + '[layout]\nignore = ["*_t1ce", "*_t2"]\n')
    write_raw(tmp_path / "raw", "p1")
    assert [list(case.images) for case in look(tmp_path / "raw", load_description(str(mine))).cases] == [
        ["t1", "flair"]
    ]


def test_base_with_another_modality(tmp_path):
    mine = tmp_path / "mine.toml"
    mine.write_text('base = "brats"\nname = "mine"\nmodalities = ["flair", "swi"]\n[files]\nswi = ["swi"]\n')
    assert set(load_description(str(mine)).files) == {"flair", "swi", "label"}
    assert load_description(str(mine)).imbalance.patterns == ()


def test_base_with_the_same_modalities_keeps_what_digits_mean(tmp_path):
    """Numbers of combinations go by the order, and are dropped with it."""
    mine = tmp_path / "mine.toml"
    mine.write_text('base = "brats"\nname = "mine"\nmodalities = ["t1", "t2", "t1ce", "flair"]\n')
    assert load_description(str(mine)).imbalance == replace(BRATS.imbalance, ids=())
    mine.write_text('base = "brats"\nname = "mine"\nmodalities = ["flair", "t1ce", "t1", "t2"]\n')
    assert load_description(str(mine)).imbalance == BRATS.imbalance


@pytest.mark.parametrize("modalities", ['"t1"', "3", '["t1", 3]', '[["t1"]]'])
def test_base_with_modalities_that_are_no_names(tmp_path, modalities):
    mine = tmp_path / "mine.toml"
    mine.write_text(f'base = "brats"\nmodalities = {modalities}\n')
    with pytest.raises(ConfigError, match="modalities"):
        load_description(str(mine))


@pytest.mark.parametrize("ending", ["t1ce", "t1c", "t1_gd", "t1_t2", "t1map", "t1_late"])
def test_another_image_is_no_second_version(tmp_path, ending):
    touch(tmp_path, "p1/p1_t1.nii", f"p1/p1_{ending}.nii", "p1/p1_seg.nii")
    (problem,) = look(tmp_path, toy({"t1": ["t1"], "label": ["seg"]})).problems
    assert problem.problem.startswith("belongs to no modality; names should end in one of: t1, seg; ")
    assert problem.problem.endswith(f'[layout] ignore = ["*_{ending}"]')


@pytest.mark.parametrize("ending", ["t1a", "t12", "t1_Eq_1", "t1_1", "seg2"])
def test_second_version_is_refused_with_both(tmp_path, ending):
    touch(tmp_path, "p1/p1_t1.nii", f"p1/p1_{ending}.nii", "p1/p1_seg.nii")
    for need_label in (True, False):
        (problem,) = look(tmp_path, toy({"t1": ["t1"], "label": ["seg"]}), need_label=need_label).problems
        first, role = ("p1_seg.nii", "label") if "seg" in ending else ("p1_t1.nii", "t1")
        assert problem.problem.startswith(f"two files could be {role}: '{first}' (")
        assert f"'p1_{ending}.nii' (" in problem.problem


def test_hint_fits_who_looks(tmp_path):
    touch(tmp_path, "scan.nii.gz")
    with pytest.raises(DataError) as caught:
        look(tmp_path)
    assert "--dataset" in caught.value.hint
    with pytest.raises(DataError) as caught:
        look(tmp_path, need_label=False)
    assert "--dataset" not in caught.value.hint
    assert "--image flair=FILE" in caught.value.hint


def test_nothing_is_said_of_labels_where_no_case_could_be_read(tmp_path):
    write_raw(tmp_path / "raw", "p1", arrays={"seg": label((9,))})
    ears = Ears()
    with pytest.raises(ProblemsError):
        preprocess(tmp_path / "raw", BRATS, tmp_path / "store", Preprocess(workers=1), progress=ears)
    assert ears.warned == []
