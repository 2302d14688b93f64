"""A drafted description can be used at once: it loads, finds every case, and preprocessing works with it."""

import json
import os
import re
from pathlib import Path

import pytest
from _raw import image, label, write

from hga_cli.core.errors import DataError
from hga_cli.data.raw.description import load_description
from hga_cli.data.raw.discovery import discover
from hga_cli.data.raw.draft import draft
from hga_cli.data.store import Store

LABELS = {
    "mask1",
    "mask2",
    "gtvt",
    "seg",
    "consensus",
    "dseg",
    "mask",
    "segm",
    "lesion",
    "truth",
    "gd",
    "roi",
    "gt",
    "labels",
}


def named(pattern, **values):
    """Every file name that the pattern gives: ``{case}_{word}`` with lists of cases and words."""
    names = [pattern]
    for key, options in values.items():
        names = [name.replace(f"{{{key}}}", option) for name in names for option in options]
    return names


WORDS = ["flair", "t1", "seg"]
PATIENTS = ["p01", "p02", "p03"]
CENTRES = named("Center_{c}/Patient_{p}", c=["01", "07"], p=["01", "02"])
LAYOUTS = {
    "case folders": (named("{p}/{p}_{w}", p=PATIENTS, w=WORDS), PATIENTS, ["flair", "t1"]),
    "bare words": (named("{p}/{w}", p=PATIENTS, w=["T2", "FLAIR", "seg"]), PATIENTS, ["flair", "t2"]),
    "one flat folder": (named("{p}-{w}", p=PATIENTS, w=["t1n", "t1c", "t2w", "seg"]), PATIENTS, ["t1c", "t1n", "t2w"]),
    "common tail": (
        named("{p}/{w}_preprocessed", p=PATIENTS, w=["T1", "FLAIR", "GADO"]) + named("{p}/Consensus", p=PATIENTS),
        PATIENTS,
        ["flair", "gado", "t1"],
    ),
    "word first": (named("{w}_{p}", w=["FLAIR", "T1", "mask"], p=PATIENTS), PATIENTS, ["flair", "t1"]),
    "BIDS": (
        named("sub-{s}/ses-{v}/anat/sub-{s}_ses-{v}_{w}", s=["01", "02"], v=["1", "2"], w=["T1w", "FLAIR", "dseg"]),
        named("sub-{s}_ses-{v}", s=["01", "02"], v=["1", "2"]),
        ["flair", "t1w"],
    ),
    "BIDS with derivatives": (
        named("sub-{s}/anat/sub-{s}_{w}", s=["01", "02"], w=["T1w", "ce-gad_T1w", "FLAIR"])
        + named("derivatives/masks/sub-{s}/anat/sub-{s}_label-lesion_mask", s=["01", "02"]),
        ["sub-01", "sub-02"],
        ["flair", "t1w", "ce-gad-t1w"],
    ),
    "images and labels in two folders": (
        named("images/{p}_{w}", p=PATIENTS, w=["t1", "t2"]) + named("labels/{p}", p=PATIENTS),
        PATIENTS,
        ["t1", "t2"],
    ),
    "labels called like an image": (
        named("images/{p}_{w}", p=PATIENTS, w=["flair", "t2"]) + named("labels/{p}_flair", p=PATIENTS),
        PATIENTS,
        ["flair", "t2"],
    ),
    "labels called like an image, in a folder of a short name": (
        named("images/{p}_{w}", p=PATIENTS, w=["flair", "t1"]) + named("gt/{p}_flair", p=PATIENTS),
        PATIENTS,
        ["flair", "t1"],
    ),
    "one modality without a name": (
        named("images/{p}", p=PATIENTS) + named("labels/{p}", p=PATIENTS),
        PATIENTS,
        ["image"],
    ),
    "numbered channels": (
        named("images/{p}_{w}", p=PATIENTS, w=["0000", "0001"]) + named("labels/{p}", p=PATIENTS),
        PATIENTS,
        ["image-0000", "image-0001"],
    ),
    "folders called like modalities": (
        named("{w}/{p}", w=["FLAIR", "T1", "seg"], p=PATIENTS),
        PATIENTS,
        ["flair", "t1"],
    ),
    "folders called in two words": (
        named("{w}/{p}", w=["FLAIR", "T1", "T1_GD", "mask"], p=["sub0", "sub1", "sub2"]),
        ["sub0", "sub1", "sub2"],
        ["flair", "t1", "t1_gd"],
    ),
    "a folder of a name that says nothing beside others": (
        named("{w}/sub-{p}", w=["FLAIR", "mask"], p=["1", "2"]) + named("angio/sub-{p}", p=["1", "2"]),
        ["sub-1", "sub-2"],
        ["flair"],
    ),
    "numbered masks": (
        named("{p}/{p}_{w}", p=PATIENTS, w=["flair", "t1", "mask1", "mask2"]),
        PATIENTS,
        ["flair", "t1"],
    ),
    "tumour volumes": (named("{p}/{p}_{w}", p=PATIENTS, w=["ct", "pet", "gtvt"]), PATIENTS, ["ct", "pet"]),
    "visits in folders": (
        named("{p}/{v}/{w}", p=PATIENTS, v=["visit1", "visit2"], w=WORDS),
        named("{p}_{v}", p=PATIENTS, v=["visit1", "visit2"]),
        ["flair", "t1"],
    ),
    "a folder that says nothing": (named("{p}/anat/{w}", p=PATIENTS, w=WORDS), PATIENTS, ["flair", "t1"]),
    "masks in a folder of their own": (
        named("{c}/Preprocessed_Data/{w}_preprocessed", c=CENTRES, w=["T1", "FLAIR"])
        + named("{c}/Raw_Data/{w}", c=CENTRES, w=["T1", "FLAIR"])
        + named("{c}/Masks/{w}", c=CENTRES, w=["Consensus", "Brain_Mask", "ManualSegmentation_1"]),
        [case.replace("/", "_") for case in CENTRES],
        ["flair", "t1"],
    ),
    "time points called like a modality": (
        named("P{p}/T{t}/P{p}_T{t}_{w}", p=["1", "2"], t=["1", "2"], w=["FLAIR", "T1", "T2", "MASK"]),
        named("P{p}_T{t}", p=["1", "2"], t=["1", "2"]),
        ["flair", "t1", "t2"],
    ),
    "labels above the images": (
        named("{p}/pre/{w}", p=PATIENTS, w=["FLAIR", "T1"]) + named("{p}/seg", p=PATIENTS),
        PATIENTS,
        ["flair", "t1"],
    ),
    "raw images beside prepared ones": (
        named("{p}/{f}/{p}_{w}", p=PATIENTS, f=["raw", "preprocessed"], w=["FLAIR", "T1"])
        + named("{p}/{p}_{w}", p=PATIENTS, w=["consensus_gt", "brainmask"]),
        PATIENTS,
        ["flair", "t1"],
    ),
    "contrast in a second word": (
        named("{p}/{p}_{w}", p=PATIENTS, w=["T1", "T1_GD", "T2_FLAIR", "T2", "roi"]),
        PATIENTS,
        ["t1", "t2", "t1_gd", "t2-flair"],
    ),
    "an unusual word": (named("{p}/{p}_{w}", p=PATIENTS, w=["flair", "angio", "seg"]), PATIENTS, ["flair", "angio"]),
    "one case": (named("{w}", w=["FLAIR", "T1", "seg"]), ["raw"], ["flair", "t1"]),
    "spaces": (named("{p}/{p} {w}", p=["Jane Doe", "John Roe"], w=WORDS), ["Jane Doe", "John Roe"], ["flair", "t1"]),
}


def is_label(name):
    words = set(re.split(r"[-_/. ]", name.lower()))
    return bool(words & LABELS) and "brain" not in words


def raw_folder(top, names):
    for name in names:
        write(top / f"{name}.nii", label((1, 2)).astype("u1") if is_label(name) else image(name))
    return top


def described(tmp_path, raw):
    """Draft, write, load."""
    file = tmp_path / "mine.toml"
    made = draft(raw)
    file.write_text(made.text, encoding="utf-8")
    return made, file, load_description(str(file), raw)


@pytest.mark.parametrize(("names", "cases", "modalities"), LAYOUTS.values(), ids=LAYOUTS)
def test_draft_can_be_used_at_once(hga, tmp_path, names, cases, modalities):
    raw = raw_folder(tmp_path / "raw", names)
    made, file, description = described(tmp_path, raw)
    assert made.hints == []
    assert sorted(description.modalities) == sorted(modalities)
    findings = discover(raw, description, need_label=True)
    assert findings.problems == []
    assert sorted(case.case for case in findings.cases) == sorted(cases)
    for case in findings.cases:
        assert set(case.images) == set(description.modalities)
        assert is_label(str(case.label.relative_to(raw)))
    hga("preprocess", raw, "--dataset", file, "-o", tmp_path / "store", "--workers", 1)
    store = Store(tmp_path / "store")
    assert sorted(store.cases) == sorted(cases)
    assert all(entry.label_values == {"label-1": 1, "label-2": 2} for entry in store.cases.values())


def test_usual_modalities_come_first_in_the_usual_order(tmp_path):
    raw = raw_folder(tmp_path / "raw", named("{p}/{p}_{w}", p=PATIENTS, w=["zeta", "t2", "t1", "t1ce", "flair", "seg"]))
    assert described(tmp_path, raw)[2].modalities == ("flair", "t1ce", "t1", "t2", "zeta")


def test_cases_may_lack_modalities(tmp_path):
    names = [*named("p{n}/p{n}_{w}", n=["1", "2"], w=WORDS), "p3/p3_t1", "p3/p3_seg"]
    description = described(tmp_path, raw_folder(tmp_path / "raw", names))[2]
    findings = discover(tmp_path / "raw", description, need_label=True)
    assert {case.case: len(case.images) for case in findings.cases} == {"p1": 2, "p2": 2, "p3": 1}


@pytest.mark.parametrize(
    ("ids", "subject"),
    [
        (["patient07_study1", "patient07_study2", "patient08_study1"], "patient07"),
        (["sub-01_ses-1", "sub-01_ses-2"], "sub-01"),
        (["A-00001-000", "A-00001-001", "A-00002-000"], "A-00001"),
        (["ms12_1", "ms12_2", "ms13_1"], "ms12"),
    ],
)
def test_visits_of_a_subject_are_seen(tmp_path, ids, subject):
    description = described(tmp_path, raw_folder(tmp_path / "raw", named("{i}/{i}_{w}", i=ids, w=WORDS)))[2]
    assert description.subject_of(ids[0]) == description.subject_of(ids[1]) == subject


@pytest.mark.parametrize("ids", [["BraTS20_Training_001", "BraTS20_Training_002"], ["Center_01_Patient_02", "x"]])
def test_numbers_of_patients_are_not_visits(tmp_path, ids):
    description = described(tmp_path, raw_folder(tmp_path / "raw", named("{i}/{i}_{w}", i=ids, w=WORDS)))[2]
    assert description.subject is None
    assert "# subject = " in (tmp_path / "mine.toml").read_text()


def test_values_of_several_label_files_are_collected(tmp_path):
    raw = raw_folder(tmp_path / "raw", named("{p}/{p}_{w}", p=PATIENTS, w=WORDS))
    write(raw / "p02" / "p02_seg.nii", label((5,)).astype("u1"))
    description = described(tmp_path, raw)[2]
    assert [entry.values for entry in description.labels] == [(1,), (2,), (5,)]
    assert [(region.name, len(region.labels)) for region in description.regions][-1] == ("all", 3)


def test_one_label_needs_no_union(tmp_path):
    raw = raw_folder(tmp_path / "raw", named("{w}", w=WORDS))
    write(raw / "seg.nii", label((1,)).astype("u1"))
    assert [region.name for region in described(tmp_path, raw)[2].regions] == ["label-1"]


def test_without_labels_there_is_a_marked_gap(tmp_path):
    raw = raw_folder(tmp_path / "raw", named("{p}/{p}_{w}", p=PATIENTS, w=["t1", "t2"]))
    made, _, description = described(tmp_path, raw)
    assert "GAP" in made.text
    assert [hint for hint in made.hints if "GAP" in hint]
    assert len(discover(raw, description, need_label=False).cases) == 3


def test_label_that_is_an_image_is_told(tmp_path):
    raw = raw_folder(tmp_path / "raw", named("{w}", w=WORDS))
    write(raw / "seg.nii", image("not a label"))
    made, *_ = described(tmp_path, raw)
    assert any("different values" in hint and "seg.nii" in hint for hint in made.hints)
    assert any("no label value was seen" in hint for hint in made.hints)


def test_grids_that_differ_are_told(tmp_path):
    raw = raw_folder(tmp_path / "raw", named("{w}", w=WORDS))
    write(raw / "t1.nii", image("t1", (6, 7, 5)))
    assert any("t1" in hint and "6x7x5" in hint for hint in described(tmp_path, raw)[0].hints)


def test_what_the_draft_does_not_explain_is_told(tmp_path):
    raw = raw_folder(tmp_path / "raw", [*named("{p}/{p}_{w}", p=PATIENTS, w=WORDS), "p01/p01_t1_copy_flair"])
    (hint,) = described(tmp_path, raw)[0].hints
    assert "1 problems remain" in hint
    assert "p01_t1_copy" in hint


def test_prepared_images_are_preferred(tmp_path):
    names = named("{p}/{f}/{p}_{w}", p=PATIENTS, f=["orig", "pre"], w=["FLAIR", "T1"])
    raw = raw_folder(tmp_path / "raw", [*names, *named("{p}/{p}_seg", p=PATIENTS)])
    findings = discover(raw, described(tmp_path, raw)[2], need_label=True)
    assert {path.parent.name for case in findings.cases for path in case.images.values()} == {"pre"}


def test_names_that_descriptions_do_not_allow(tmp_path):
    names = named("{p}/{p}_{w}", p=PATIENTS, w=["flair", "3d+x", "3d x", "channels", "seg"])
    modalities = described(tmp_path, raw_folder(tmp_path / "raw", names))[2].modalities
    assert len(modalities) == 4
    assert modalities[0] == "flair"
    assert "channels-2" in modalities


def test_two_spellings_of_one_modality_are_told(tmp_path):
    names = [*named("{p}/{p}_{w}", p=["a", "b"], w=["t1ce", "t1", "seg"]), *named("c/c_{w}", w=["t1c", "t1", "seg"])]
    (hint,) = described(tmp_path, raw_folder(tmp_path / "raw", names))[0].hints
    assert "both t1c and t1ce" in hint


@pytest.mark.parametrize(("name", "base"), [("x_0000", "nnunet"), ("x", "msd")])
def test_dataset_json_describes_itself(tmp_path, name, base):
    raw = raw_folder(tmp_path / "raw", [f"Task01/imagesTr/{name}", "Task01/labelsTr/x"])
    content = {"name": "heart", "channel_names": {"0": "mri"}, "labels": {"background": 0, "a": 1, "b": 2}}
    (raw / "Task01" / "dataset.json").write_text(json.dumps(content))
    made, _, description = described(tmp_path, raw)
    assert f'base = "{base}"' in made.text
    assert (description.name, description.modalities) == ("heart", ("mri",))
    assert f"--dataset {base}" in made.hints[0]


def test_dataset_json_that_does_not_fit_is_told(tmp_path):
    raw = raw_folder(tmp_path / "raw", ["imagesTr/x_0000", "labelsTr/x"])
    (raw / "dataset.json").write_text("{}")
    hints = draft(raw).hints
    assert any("channel_names" in hint or "modality" in hint for hint in hints[1:])


def test_folder_without_images_says_what_is_there(tmp_path):
    (tmp_path / "a").mkdir()
    for name in ("1.dcm", "2.dcm", "notes.txt"):
        (tmp_path / "a" / name).write_text("x")
    with pytest.raises(DataError, match=r"2 x \.dcm") as caught:
        draft(tmp_path)
    assert "dcm2niix" in caught.value.hint


def test_labels_alone_are_refused(tmp_path):
    with pytest.raises(DataError, match="only like label maps"):
        draft(raw_folder(tmp_path, ["p1/seg", "p2/seg"]))


def test_no_folder(tmp_path):
    with pytest.raises(DataError, match="no folder"):
        draft(tmp_path / "nowhere")


def test_quotes_in_names_are_written_safely(tmp_path):
    raw = raw_folder(tmp_path / 'O\'Brien "x"', named("{p}_{w}", p=["a'1", "b"], w=WORDS))
    assert len(discover(raw, described(tmp_path, raw)[2], need_label=True).cases) == 2


@pytest.mark.parametrize(
    ("folder", "modalities", "values"),
    [
        ("ms", ("flair", "t1ce", "t1", "t2"), [1]),
        ("brats21", ("flair", "t1ce", "t1", "t2"), [1, 2, 4]),
        ("native", ("flair", "t1"), [1]),
    ],
)
def test_real_folders(tmp_path, folder, modalities, values):
    raw = Path(os.environ.get("HGA_REAL_DATA", Path(__file__).parents[3] / "shared" / "data")) / folder
    if not raw.is_dir():
        pytest.skip(f"no real cases in '{raw}'")
    made, _, description = described(tmp_path, raw)
    assert description.modalities == modalities
    assert [value for entry in description.labels for value in entry.values] == values
    findings = discover(raw, description, need_label=True)
    assert findings.problems == []
    assert len(findings.cases) == len(list(raw.iterdir()))
    assert any("grid" in hint or "mm away" in hint for hint in made.hints) == (folder == "native")
