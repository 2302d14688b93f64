"""Data sets of this field as they are published, each by its own description - and recognised without being named."""

import json
from pathlib import Path

import numpy as np
import pytest
from _raw import BRATS, image, label, write, write_raw

from hga_cli.core.errors import ConfigError, DataError
from hga_cli.core.settings import Preprocess
from hga_cli.data.raw.description import load_description
from hga_cli.data.raw.discovery import discover
from hga_cli.data.raw.prepare import Preparation, prepare
from hga_cli.data.raw.recognise import recognise
from hga_cli.data.store import Store
from hga_cli.workflows.preprocess import preprocess

MYOPS_VALUES = (200, 500, 600, 1220, 2221)


def store_of(raw, tmp_path, dataset=None, **settings):
    """Preprocess a raw folder, named or recognised, and return the store."""
    description = load_description(dataset, raw) if dataset else recognise(raw)
    preprocess(raw, description, tmp_path / "store", Preprocess(workers=1, **settings))
    return Store(tmp_path / "store")


def modalities_of(store):
    return {case: entry.modalities for case, entry in store.cases.items()}


def write_npy(root, case, *, absent=()):
    """Write a case as RFNet's script does: z-scores over what is not empty, label 4 as 3."""
    stack = np.stack([image(f"{case} {role}") for role in BRATS.modalities], -1).astype(np.float32)
    inside = stack.sum(-1) > 0
    scores = (stack - stack[inside].mean(0)) / stack[inside].std(0)
    for role in absent:
        scores[..., BRATS.modalities.index(role)] = 0
    for folder, name, array in (("vol", "vol", scores), ("seg", "seg", label((1, 2, 3)).astype(np.uint8))):
        (root / folder).mkdir(parents=True, exist_ok=True)
        np.save(root / folder / f"{case}_{name}.npy", array)


def write_dataset_json(root, **tree):
    root.mkdir(parents=True, exist_ok=True)
    (root / "dataset.json").write_text(json.dumps(tree))


@pytest.fixture
def nnunet(tmp_path):
    """Two channels; the second case lacks the second one."""
    root = tmp_path / "Dataset042_Toy"
    write_dataset_json(
        root,
        channel_names={"0": "T1 Gd", "1": "FLAIR"},
        labels={"background": 0, "whole tumour": [1, 2], "core": 2},
        file_ending=".nii.gz",
    )
    for name in ("toy_0001_0000", "toy_0001_0001", "toy_0002_0000"):
        write(root / "imagesTr" / f"{name}.nii.gz", image(name))
    write(root / "imagesTs" / "toy_0003_0000.nii.gz", image("test"))
    for name in ("toy_0001", "toy_0002"):
        write(root / "labelsTr" / f"{name}.nii.gz", label((1, 2)))
    return root


@pytest.fixture
def decathlon(tmp_path):
    """4D files; the second volume of the second case is empty. The third is for testing."""
    root = tmp_path / "Task01"
    write_dataset_json(
        root,
        name="BRATS",
        modality={"0": "FLAIR", "1": "T1w"},
        labels={"0": "background", "1": "edema", "2": "enhancing tumour"},
    )
    empty = np.zeros((12, 14, 10), np.int16)
    for name, second in (("BRATS_001", image("b")), ("BRATS_002", empty)):
        write(root / "imagesTr" / f"{name}.nii.gz", np.stack([image(name), second], -1))
        write(root / "labelsTr" / f"{name}.nii.gz", label((1, 2)))
    write(root / "imagesTs" / "BRATS_003.nii.gz", np.stack([image("c"), image("d")], -1))
    return root


@pytest.fixture
def myops(tmp_path):
    """Images and labels in two folders; the second case lacks T2."""
    for case, present in (("myops_training_101", ("C0", "DE", "T2")), ("myops_training_102", ("C0", "DE"))):
        for role in present:
            write(tmp_path / "raw" / "train25" / f"{case}_{role}.nii.gz", image(f"{case} {role}"))
        values = np.zeros((12, 14, 10), np.int16)
        for place, value in enumerate(MYOPS_VALUES):
            values[2 + place, 3:8, 4:6] = value
        write(tmp_path / "raw" / "train25_myops_gd" / f"{case}_gd.nii.gz", values)
    return tmp_path / "raw"


@pytest.fixture
def msseg(tmp_path):
    """Raw and preprocessed data, seven raters and their consensus; the second patient lacks GADO."""
    for patient, present in (("Center_01/Patient_02", 5), ("Center_07/Patient_01", 4)):
        folder = tmp_path / "raw" / patient
        for role in ("FLAIR", "T1", "T2", "DP", "GADO")[:present]:
            write(folder / "Preprocessed_Data" / f"{role}_preprocessed.nii.gz", image(f"{patient} {role}"))
            write(folder / "Raw_Data" / f"{role}.nii.gz", image("raw", (6, 7, 5)))
        for name in ("Consensus", "Brain_Mask", *(f"ManualSegmentation_{rater}" for rater in range(1, 8))):
            write(folder / "Masks" / f"{name}.nii.gz", label((1,)))
    return tmp_path / "raw"


def test_nnunet_raw(nnunet, tmp_path):
    store = store_of(nnunet, tmp_path)
    assert modalities_of(store) == {"toy_0001": ("T1-Gd", "FLAIR"), "toy_0002": ("T1-Gd",)}
    assert store.description.name == "Dataset042_Toy"
    assert [(entry.name, entry.values) for entry in store.description.labels] == [("value-1", (1,)), ("core", (2,))]
    assert {one.name: one.classes for one in store.description.scored_regions()} == {
        "whole-tumour": (1, 2),
        "core": (2,),
    }
    assert store.cases["toy_0001"].label_voxels == {"value-1": 60, "core": 60}


def test_channel_names_of_nnunet_serve_prediction(nnunet):
    """A new patient has ``x_0001.nii.gz`` or ``x_FLAIR.nii.gz``, anywhere."""
    description = load_description("nnunet", nnunet)
    findings = discover(nnunet / "imagesTs", description, need_label=False)
    assert [(case.case, list(case.images)) for case in findings.cases] == [("toy_0003", ["T1-Gd"])]


def test_decathlon(decathlon, tmp_path):
    store = store_of(decathlon, tmp_path)
    assert modalities_of(store) == {"BRATS_001": ("FLAIR", "T1w"), "BRATS_002": ("FLAIR",)}
    assert [entry.name for entry in store.description.labels] == ["edema", "enhancing-tumour"]
    z = store.images("BRATS_001", ["T1w"])[0]
    raw = image("b")[2:11, 1:13, 2:9]
    np.testing.assert_allclose(z, (raw - raw[raw != 0].mean()) / raw[raw != 0].std(), atol=1e-5)


def test_myops(myops, tmp_path):
    """Case L07: values above 255 are told apart, and the blood pools and the myocardium have their sizes."""
    store = store_of(myops, tmp_path)
    assert modalities_of(store) == {
        "myops_training_101": ("C0", "DE", "T2"),
        "myops_training_102": ("C0", "DE"),
    }
    reference = store.reference("myops_training_101")
    sizes = {one.name: int(one.mask(reference).sum()) for one in store.description.scored_regions()}
    assert sizes == {"LVBP": 10, "RVBP": 10, "MYO": 30, "pathology": 20, "scar": 10}
    assert list(store.cases["myops_training_101"].label_values.values()) == list(MYOPS_VALUES)


def test_msseg(msseg, tmp_path):
    store = store_of(msseg, tmp_path)
    assert modalities_of(store) == {
        "Center_01_Patient_02": ("flair", "t1", "t2", "dp", "gado"),
        "Center_07_Patient_01": ("flair", "t1", "t2", "dp"),
    }
    assert store.cases["Center_01_Patient_02"].label_voxels == {"lesion": 60}


@pytest.mark.parametrize("inside", ["", "Center_01", "Center_01/Patient_02"])
def test_msseg_from_any_folder_downwards(msseg, inside):
    cases = discover(msseg / inside, load_description("msseg"), need_label=True).cases
    assert "Center_01_Patient_02" in [case.case for case in cases]


def test_arrays_give_the_z_scores_of_the_scans_they_were_made_from(tmp_path):
    """What RFNet's script wrote is as good as the NIfTI files: background, z-scores, orientation, label."""
    lps = np.diag([-1.0, -1, 1, 1])
    write_raw(tmp_path / "nifti", "p1", affines=dict.fromkeys((*BRATS.modalities, "seg"), lps))
    write_npy(tmp_path / "npy", "p1")
    (left,) = discover(tmp_path / "nifti", BRATS, need_label=True).cases
    arrays = recognise(tmp_path / "npy")
    (right,) = discover(tmp_path / "npy", arrays, need_label=True).cases
    scans, made = prepare(left, BRATS, Preparation()), prepare(right, arrays, Preparation())
    assert list(made.images) == list(BRATS.modalities)
    for role, one in scans.images.items():
        np.testing.assert_allclose(made.images[role].z, one.z, atol=2e-5)
        assert made.images[role].statistics.background == pytest.approx(one.statistics.background, abs=1e-5)
    np.testing.assert_array_equal(made.label, scans.label)
    assert (made.trail.start, made.trail.stop) == (scans.trail.start, scans.trail.stop)


def test_array_channel_that_is_constant_counts_as_absent(tmp_path):
    write_npy(tmp_path / "raw", "HG_p1", absent=("t1ce",))
    write_npy(tmp_path / "raw", "LG_p2")
    store = store_of(tmp_path / "raw", tmp_path)
    assert modalities_of(store) == {"HG_p1": ("flair", "t1", "t2"), "LG_p2": BRATS.modalities}


@pytest.mark.parametrize("damage", ["pickled", "cut", "three axes", "empty"])
def test_bad_array_is_a_problem_of_its_case(tmp_path, damage):
    """A pickle is never opened."""
    write_npy(tmp_path / "raw", "p1")
    path = tmp_path / "raw" / "vol" / "p1_vol.npy"
    if damage == "pickled":
        np.save(path, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    elif damage == "cut":
        path.write_bytes(path.read_bytes()[:500])
    else:
        np.save(path, np.zeros((4, 5, 6) if damage == "three axes" else (0, 5, 6, 4), np.float32))
    with pytest.raises(DataError) as caught:
        store_of(tmp_path / "raw", tmp_path, "brats-npy")
    (problem,) = caught.value.problems
    assert problem.case == "p1"
    assert "p1_vol.npy" in problem.file


@pytest.mark.parametrize("top", ["", "BraTS2020_TrainingData/MICCAI_BraTS2020_TrainingData", "HGG"])
def test_brats_in_folders_inside_folders_with_one_label_of_another_name(tmp_path, top):
    """BraTS 2020: case 355 has W39_1998.09.19_Segm.nii."""
    raw = tmp_path / "raw" / top
    write_raw(raw, "BraTS20_Training_354")
    folder = write_raw(raw, "BraTS20_Training_355")
    (folder / "BraTS20_Training_355_seg.nii").rename(folder / "W39_1998.09.19_Segm.nii")
    (tmp_path / "raw" / "name_mapping.csv").touch()
    first, second = discover(tmp_path / "raw", BRATS, need_label=True).cases
    assert (first.warnings, second.label.name) == ((), "W39_1998.09.19_Segm.nii")
    assert second.warnings == ("'W39_1998.09.19_Segm.nii' is taken for its label: there is no other in the folder",)


def test_lone_label_of_another_patient_is_not_adopted(tmp_path):
    raw = tmp_path / "raw"
    write(raw / "p1_t1.nii", image("p1"))
    write(raw / "p2_seg.nii", label())
    problems = {one.case: one.problem for one in discover(raw, BRATS, need_label=True).problems}
    assert problems == {"p1": "has no label", "p2": "has a label but no image"}


def test_archives_that_unpack_to_folders(tmp_path):
    """Some copies hold ``x_flair.nii/00000057_brain_flair.nii``: the name of the folder counts."""
    for role in ("flair", "t1", "seg"):
        write(tmp_path / f"x/x_{role}.nii" / f"00057_final_{role}.nii", label() if role == "seg" else image(role))
    (case,) = discover(tmp_path, BRATS, need_label=True).cases
    assert (case.case, list(case.images)) == ("x", ["flair", "t1"])


def test_2024_convention_has_a_cavity(tmp_path):
    """Case L05: 10, 20, 30, 40 voxels of 1 to 4 are ET 30, TC 40, WT 60, RC 40."""
    values = np.zeros((12, 14, 10), np.uint8)
    inside = np.argwhere(image("p1 t1") > 0)[:100].T
    values[tuple(inside)] = np.repeat([1, 2, 3, 4], [10, 20, 30, 40])
    raw = tmp_path / "raw"
    write_raw(raw, "p1", arrays={"seg": values})
    with pytest.raises(DataError) as caught:
        store_of(raw, tmp_path)
    (problem,) = caught.value.problems
    assert "both 3 and 4 could mean 'enhancing'" in problem.problem
    assert "--dataset brats2024" in problem.problem
    store = store_of(raw, tmp_path, "brats2024")
    reference = store.reference("p1")
    sizes = {one.name: int(one.mask(reference).sum()) for one in store.description.scored_regions()}
    assert sizes == {"WT": 60, "TC": 40, "ET": 30, "RC": 40}


def test_data_set_that_uses_3_here_and_4_there_is_refused(tmp_path):
    """Case L05: a cavity without enhancing tumour beside it looks like the old convention."""
    raw = tmp_path / "raw"
    write_raw(raw, "p1", arrays={"seg": label((1, 2, 4))})
    write_raw(raw, "p2", arrays={"seg": label((1, 2, 3))})
    write_raw(raw, "p3", arrays={"seg": label((1, 2, 3))})
    for _ in range(2):
        with pytest.raises(DataError, match="two conventions") as caught:
            store_of(raw, tmp_path)
        (problem,) = caught.value.problems
        assert problem.case == "p1"
        assert "3 in 2 cases (p2) but 4 in 1 cases (p1)" in problem.problem
        assert not (tmp_path / "store" / "store.h5").exists()
    assert len(store_of(raw, tmp_path, mixed_conventions=True).cases) == 3


@pytest.mark.parametrize("name", ["nnunet", "decathlon", "myops", "msseg"])
def test_layout_is_recognised(name, request):
    expected = {"nnunet": "Dataset042_Toy", "decathlon": "BRATS"}.get(name, name)
    assert recognise(request.getfixturevalue(name)).name == expected


@pytest.mark.parametrize("style", [("_flair", "_t1ce", "_seg"), ("-t2f", "-t1c", "-seg"), ("_FLAIR", "_T1Gd", "_seg")])
def test_brats_is_recognised(tmp_path, style):
    for ending in style:
        write(tmp_path / "p1" / f"p1{ending}.nii.gz", label() if "seg" in ending else image(ending))
    assert recognise(tmp_path).name == "brats"


def test_unknown_folder_is_not_recognised(tmp_path):
    write(tmp_path / "scan1.nii.gz", image("x"))
    with pytest.raises(DataError, match="fits none of the known data sets") as caught:
        recognise(tmp_path)
    assert "scan1.nii.gz" in caught.value.message
    assert "hga info --describe" in caught.value.hint


@pytest.mark.parametrize(
    ("tree", "says"),
    [
        ({"labels": {"background": 0, "x": 1}}, "modality"),
        ({"channel_names": {"0": "CT"}, "labels": {"background": 0, "x": "one"}}, "no description of a data set"),
        ({"channel_names": {"0": "CT"}, "labels": {"background": 0, "x": 1}, "file_ending": ".png"}, "'.png'"),
    ],
)
def test_dataset_json_that_cannot_be_used(tmp_path, tree, says):
    write_dataset_json(tmp_path, **tree)
    with pytest.raises(DataError, match=says) as caught:
        load_description("nnunet", tmp_path)
    assert "dataset.json" in caught.value.message


def test_dataset_json_is_needed(tmp_path):
    with pytest.raises(DataError, match=r"no dataset.json"):
        load_description("msd", tmp_path)
    with pytest.raises(ConfigError, match="raw folder"):
        load_description("msd")


def test_channels_of_equal_name_get_their_number(tmp_path):
    labels = {"background": 0, "a": 1, "ignore": 2}
    write_dataset_json(tmp_path, channel_names={"0": "MR", "1": "MR", "2": "1st"}, labels=labels)
    description = load_description("nnunet", tmp_path)
    assert description.modalities == ("MR-0", "MR-1", "channel-1st")
    assert [entry.values for entry in description.labels] == [(1,)]


def test_description_that_starts_from_another_one(tmp_path):
    mine = Path(tmp_path / "mine.toml")
    mine.write_text('base = "brats"\nname = "mine"\n[files]\nt1 = ["mprage"]\n')
    description = load_description(str(mine))
    assert (description.name, description.files["t1"], description.files["t2"]) == ("mine", ("mprage",), ("t2", "t2w"))
    assert description.regions == BRATS.regions
    mine.write_text('base = "bratz"\n')
    with pytest.raises(ConfigError, match="no shipped data set called 'bratz'") as caught:
        load_description(str(mine))
    assert "did you mean 'brats'" in caught.value.hint
