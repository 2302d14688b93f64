"""Scans of real patients, where they are at hand (``HGA_REAL_DATA``, or ``../shared/data``)."""

import os
from pathlib import Path

import nibabel
import numpy as np
import pytest
from _raw import BRATS, found

from hga_cli.core.errors import ProblemsError
from hga_cli.data.raw.description import as_tree, parse_description
from hga_cli.data.raw.discovery import discover
from hga_cli.data.raw.prepare import Preparation, prepare
from hga_cli.imaging.volume import read_volume, write_label_map

FOLDER = Path(os.environ.get("HGA_REAL_DATA", Path(__file__).parents[2].parent / "shared" / "data"))
pytestmark = pytest.mark.skipif(not (FOLDER / "brats21").is_dir(), reason=f"no scans of real patients in '{FOLDER}'")
LESIONS = parse_description(
    as_tree(BRATS)
    | {"labels": [{"name": "lesion", "values": [1]}], "regions": [{"name": "lesion", "labels": ["lesion"]}]},
    "lesions",
)


def test_every_case_of_brats_is_found():
    findings = discover(FOLDER / "brats21", BRATS, need_label=True)
    assert findings.problems == []
    assert len(findings.cases) == 8
    assert {case.combination(BRATS.modalities) for case in findings.cases} == {BRATS.modalities}
    assert {case.case for case in findings.cases} == {case.subject for case in findings.cases}


def test_way_there_and_back(tmp_path):
    """LPS in the file, RAS in between, and the label map that is written is the expert's, voxel by voxel."""
    raw = found(FOLDER / "brats21" / "BraTS2021_00006")
    case = prepare(raw, BRATS, Preparation())
    assert case.warnings == []
    assert nibabel.aff2axcodes(case.like.affine) == ("L", "P", "S")
    assert case.trail.original_spacing == (1, 1, 1)
    assert max(case.trail.grid) < 200
    values = np.array([0, *(case.label_values.get(entry.name, 0) for entry in BRATS.labels)], np.uint8)
    whole = case.trail.to_file(case.trail.uncrop(case.label))
    write_label_map(tmp_path / "label.nii.gz", values[whole], case.like)
    expert, written = nibabel.load(raw.label), nibabel.load(tmp_path / "label.nii.gz")
    np.testing.assert_array_equal(np.asarray(written.dataobj), np.asarray(expert.dataobj))
    np.testing.assert_array_equal(written.affine, expert.affine)
    z = case.images["t1ce"].z
    assert z[case.images["t1ce"].raw != 0].std(dtype=np.float64) == pytest.approx(1, abs=1e-3)


def test_float_images_with_negative_values():
    """LAS in the file; the lesion mask of multiple sclerosis has one class."""
    raw = found(FOLDER / "ms" / "patient07", LESIONS)
    assert read_volume(raw.images["flair"]).data.dtype.kind == "f"
    case = prepare(raw, LESIONS, Preparation(spacing=(2.0, 2.0, 2.0)))
    assert case.combination(LESIONS.modalities) == LESIONS.modalities
    assert case.trail.spacing == pytest.approx((2, 2, 2), abs=0.05)
    for one in case.images.values():
        assert np.isfinite(one.z).all()
    assert set(np.unique(case.label)) == {0, 1}
    share = (case.label == 1).mean() / (case.trail.crop(case.reference) == 1).mean()
    assert 0.6 < share < 1.1


def test_sequences_on_grids_of_their_own_are_refused():
    raw = found(FOLDER / "native" / "patient20_study2", LESIONS)
    with pytest.raises(ProblemsError) as caught:
        prepare(raw, LESIONS, Preparation())
    assert len(caught.value.problems) >= 1
    assert all("canonical order" in one.problem or " mm away from " in one.problem for one in caught.value.problems)


def test_sequences_on_grids_of_their_own_are_aligned():
    """The label lies on a grid that no sequence has: it stays as the expert drew it."""
    raw = found(FOLDER / "native" / "patient20_study2", LESIONS)
    case = prepare(raw, LESIONS, Preparation(align=True))
    expert = nibabel.load(raw.label)
    assert case.trail.shape == expert.shape
    assert {warning.split(":")[0] for warning in case.warnings} == set(case.images)
    assert case.label_voxels == {"lesion": int((np.asarray(expert.dataobj) == 1).sum())}
    for role, one in case.images.items():
        scan = np.asarray(nibabel.load(raw.images[role]).dataobj)
        assert one.statistics.mean == pytest.approx(scan[scan != 0].mean(), rel=0.15)
