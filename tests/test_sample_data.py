"""The committed sample cases are those that their script makes, and are what their README promises."""

import gzip
import importlib.util
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from scipy.ndimage import binary_dilation, label

FOLDER = Path(__file__).parents[1] / "sample_data"
CASES = sorted(path.name for path in FOLDER.glob("Phantom-*"))
MODALITIES = {"t2f", "t1c", "t1n", "t2w"}
LACKING = {
    "Phantom-00005-000": {"t2w"},
    "Phantom-00006-000": {"t1n", "t2w"},
    "Phantom-00007-000": {"t1c"},
}
OBLIQUE = "Phantom-00004-000"
NOT_ENHANCING = "Phantom-00008-000"


def load_script():
    spec = importlib.util.spec_from_file_location("make_sample_data", FOLDER / "make.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def image_files(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*.nii.gz")}


def read_image(case, suffix):
    return nib.load(FOLDER / case / f"{case}-{suffix}.nii.gz")


def read_array(case, suffix):
    return np.asarray(read_image(case, suffix).dataobj)


def suffixes(case):
    return {path.name.removeprefix(f"{case}-").removesuffix(".nii.gz") for path in (FOLDER / case).iterdir()}


@pytest.fixture(scope="module")
def script():
    return load_script()


def test_script_makes_the_committed_files(script, tmp_path):
    for case in script.CASES:
        script.make_case(case, tmp_path)
    made, committed = image_files(tmp_path), image_files(FOLDER)
    assert made.keys() == committed.keys()
    # Unpacked, because another build of zlib may pack the same bytes differently.
    differing = [name for name in made if gzip.decompress(made[name]) != gzip.decompress(committed[name])]
    assert differing == []


def test_files_are_the_same_each_time(script, tmp_path):
    for run in ("first", "second"):
        script.make_case(script.CASES[0], tmp_path / run)
    assert image_files(tmp_path / "first") == image_files(tmp_path / "second")


def test_gzip_headers_hold_no_time_and_no_name():
    for name, packed in image_files(FOLDER).items():
        assert packed[3:8] == bytes(5), name


def test_folder_stays_small():
    assert sum(path.stat().st_size for path in FOLDER.rglob("*") if path.is_file()) < 5_000_000


def test_twelve_cases_of_eleven_subjects():
    assert len(CASES) == 12
    assert len({case.rsplit("-", 1)[0] for case in CASES}) == 11


@pytest.mark.parametrize("case", CASES)
def test_case_has_all_files_but_those_it_lacks(case):
    assert suffixes(case) == (MODALITIES | {"seg"}) - LACKING.get(case, set())


@pytest.mark.parametrize("case", CASES)
def test_images_share_grid_and_brain(case):
    reference = read_image(case, "seg")
    brain = read_array(case, "t2f") > 0
    assert len(set(reference.shape)) > 1
    assert any(size != 1 for size in reference.header.get_zooms())
    for modality in suffixes(case) - {"seg"}:
        image, voxels = read_image(case, modality), read_array(case, modality)
        assert image.shape == reference.shape
        assert np.array_equal(image.affine, reference.affine)
        assert voxels.dtype == np.int16
        assert 300 <= voxels.max() <= 3000
        assert voxels.min() == 0
        assert np.array_equal(voxels > 0, brain)


@pytest.mark.parametrize("case", CASES)
def test_both_transforms_agree_and_are_in_millimetres(case):
    for suffix in suffixes(case):
        header = read_image(case, suffix).header
        assert (int(header["sform_code"]), int(header["qform_code"])) == (1, 1)
        np.testing.assert_allclose(header.get_sform(), header.get_qform(), atol=1e-4)
        assert header.get_xyzt_units()[0] == "mm"


@pytest.mark.parametrize("case", CASES)
def test_labels_are_nested(case):
    labels = read_array(case, "seg")
    assert labels.dtype == np.uint8
    assert set(np.unique(labels)) == {0, 1, 2} | (set() if case == NOT_ENHANCING else {4})
    core, whole, brain = (labels == 1) | (labels == 4), labels > 0, read_array(case, "t2f") > 0
    for region in (labels == 1, core, whole):
        assert label(region)[1] == 1  # in one piece
    if case != NOT_ENHANCING:
        assert core[binary_dilation(labels == 1)].all()  # the ring is closed
    assert brain[whole].all()
    assert 0.03 <= whole.sum() / brain.sum() <= 0.08


@pytest.mark.parametrize("case", sorted(set(CASES) - set(LACKING) - {NOT_ENHANCING}))
def test_each_modality_shows_its_regions(case):
    labels = read_array(case, "seg")
    brain = read_array(case, "t2f") > 0

    def brightness(modality):
        voxels = read_array(case, modality)
        healthy = voxels[brain & (labels == 0)].mean()
        return {value: voxels[labels == value].mean() / healthy for value in (1, 2, 4)}

    flair, contrast, plain, t2 = (brightness(modality) for modality in ("t2f", "t1c", "t1n", "t2w"))
    assert flair[2] > flair[1] > 1.3
    assert t2[1] > t2[2] > 1.3
    assert contrast[4] > 1.5
    assert contrast[1] < 0.8
    assert abs(contrast[2] - 1) < 0.2
    assert plain[1] < 0.7
    assert max(abs(plain[2] - 1), abs(plain[4] - 1)) < 0.2


def test_orientations():
    codes = {case: "".join(nib.aff2axcodes(read_image(case, "seg").affine)) for case in CASES}
    assert {"RAS", "LPS", "LAS"} == set(codes.values())
    assert codes["Phantom-00002-000"] == "LPS"


@pytest.mark.parametrize("case", CASES)
def test_only_one_case_is_oblique(case):
    tilt = np.degrees(nib.affines.obliquity(read_image(case, "seg").affine))
    expected = [12, 12, np.degrees(np.arccos(np.cos(np.radians(12)) ** 2))]
    np.testing.assert_allclose(sorted(tilt), expected if case == OBLIQUE else 0, atol=0.01)


def test_second_visit_has_the_same_brain_and_a_grown_tumour():
    def volumes(case):
        size = np.prod(read_image(case, "seg").header.get_zooms())  # mm^3 of a voxel
        return size * (read_array(case, "t2f") > 0).sum(), size * (read_array(case, "seg") > 0).sum()

    first, second = volumes("Phantom-00002-000"), volumes("Phantom-00002-001")
    assert second[0] == pytest.approx(first[0], rel=0.01)
    assert second[1] > 1.5 * first[1]
