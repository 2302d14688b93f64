"""MetaImage and NRRD mean the same place in the patient as the NIfTI file they were made from."""

import nibabel
import numpy as np
import pytest
import SimpleITK

from hga_cli.core.errors import DataError
from hga_cli.imaging.volume import describe_grid, read_volume, write_floats, write_label_map

CASES = ["Phantom-00003-000", "Phantom-00002-000", "Phantom-00004-000"]


def scan_of(sample_data, case):
    return sample_data / case / f"{case}-t2f.nii.gz"


def converted(scan, path):
    """Let ITK itself convert a NIfTI file."""
    SimpleITK.WriteImage(SimpleITK.ReadImage(str(scan)), str(path), True)
    return path


@pytest.mark.parametrize("case", CASES, ids=["LAS", "LPS", "oblique"])
@pytest.mark.parametrize("suffix", [".mha", ".nrrd"])
def test_same_voxels_at_the_same_place(sample_data, tmp_path, case, suffix):
    scan = nibabel.load(scan_of(sample_data, case))
    path = converted(scan_of(sample_data, case), tmp_path / f"ü x{suffix}")
    read = read_volume(path)
    assert np.array_equal(read.data, np.asarray(scan.dataobj))
    np.testing.assert_allclose(read.affine, scan.affine, atol=2e-4)


@pytest.mark.parametrize("case", CASES, ids=["LAS", "LPS", "oblique"])
def test_what_is_written_lies_on_it(sample_data, tmp_path, case):
    read = read_volume(converted(scan_of(sample_data, case), tmp_path / "x.nrrd"))
    labels = (read.data > np.percentile(read.data, 90)).astype(np.uint8)
    write_label_map(tmp_path / "labels.nii.gz", labels, read)
    made, scan = SimpleITK.ReadImage(str(tmp_path / "labels.nii.gz")), SimpleITK.ReadImage(str(tmp_path / "x.nrrd"))
    assert np.array_equal(SimpleITK.GetArrayFromImage(made).transpose(), labels)
    np.testing.assert_allclose(made.GetOrigin(), scan.GetOrigin(), atol=1e-3)
    np.testing.assert_allclose(made.GetSpacing(), scan.GetSpacing(), atol=1e-5)
    np.testing.assert_allclose(made.GetDirection(), scan.GetDirection(), atol=1e-5)
    header = nibabel.load(tmp_path / "labels.nii.gz").header
    assert (int(header["sform_code"]), int(header["qform_code"])) == (1, 1)


def test_equal_files_have_equal_hashes(sample_data, tmp_path):
    first, second = (converted(scan_of(sample_data, CASES[0]), tmp_path / f"{name}.mha") for name in "ab")
    other = converted(scan_of(sample_data, CASES[1]), tmp_path / "c.mha")
    assert read_volume(first).digest == read_volume(second).digest != read_volume(other).digest


def test_grid_for_messages(sample_data, tmp_path):
    path = converted(scan_of(sample_data, CASES[0]), tmp_path / "x.mha")
    assert describe_grid(path) == describe_grid(scan_of(sample_data, CASES[0]))
    path.write_bytes(b"nothing")
    assert describe_grid(path) == "unreadable"


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda path: path.write_bytes(b"NRRD0004\ntype: short\n"), "is not a whole .nrrd file"),
        (
            lambda path: SimpleITK.WriteImage(SimpleITK.Image([4, 4, 4], SimpleITK.sitkVectorUInt8, 3), str(path)),
            "4x4x4x3, expected three axes",
        ),
        (
            lambda path: SimpleITK.WriteImage(SimpleITK.Image([4, 4], SimpleITK.sitkUInt8), str(path)),
            "shape 4x4, expected",
        ),
        (lambda path: None, "no such file"),
    ],
    ids=["damaged", "colours", "flat", "absent"],
)
def test_what_cannot_be_used(tmp_path, make, says):
    make(tmp_path / "x.nrrd")
    with pytest.raises(DataError, match=says) as caught:
        read_volume(tmp_path / "x.nrrd")
    assert str(tmp_path / "x.nrrd") in caught.value.message
    assert caught.value.hint


def test_numbers_for_each_voxel(sample_data, tmp_path):
    read = read_volume(scan_of(sample_data, CASES[0]))
    values = np.random.default_rng(0).random((*read.data.shape, 3), dtype=np.float32)
    write_floats(tmp_path / "x.nii.gz", values, read)
    made = nibabel.load(tmp_path / "x.nii.gz")
    assert np.array_equal(np.asarray(made.dataobj), values)
    assert np.array_equal(made.affine, read.affine)
    with pytest.raises(ValueError, match="expected"):
        write_floats(tmp_path / "y.nii.gz", values[1:], read)
    assert not (tmp_path / "y.nii.gz").exists()
