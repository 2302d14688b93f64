"""Several modalities in one MetaImage or NRRD file: the same volumes, at the same place, as in a 4D NIfTI file."""

import nibabel
import numpy as np
import pytest
import SimpleITK

from hga_cli.core.errors import DataError
from hga_cli.imaging.volume import read_channels, read_volume

CASES = ["Phantom-00003-000", "Phantom-00002-000", "Phantom-00004-000"]
ENDINGS = ["t2f", "t1c", "t1n"]


def scans_of(sample_data, case):
    return [sample_data / case / f"{case}-{ending}.nii.gz" for ending in ENDINGS]


def as_vectors(scans, path):
    """Let ITK write several numbers for each voxel."""
    SimpleITK.WriteImage(SimpleITK.Compose([SimpleITK.ReadImage(str(scan)) for scan in scans]), str(path), True)
    return path


def as_volumes(scans, path):
    """Let ITK write volumes along a fourth axis."""
    SimpleITK.WriteImage(SimpleITK.JoinSeries([SimpleITK.ReadImage(str(scan)) for scan in scans]), str(path), True)
    return path


def as_4d_nifti(scans, path):
    images = [nibabel.load(scan) for scan in scans]
    data = np.stack([np.asarray(image.dataobj) for image in images], -1)
    nibabel.save(nibabel.Nifti1Image(data, images[0].affine, images[0].header), path)
    return path


@pytest.mark.parametrize("case", CASES, ids=["LAS", "LPS", "oblique"])
@pytest.mark.parametrize("suffix", [".mha", ".nrrd"])
@pytest.mark.parametrize("write", [as_vectors, as_volumes])
def test_same_as_nifti(sample_data, tmp_path, case, suffix, write):
    scans = scans_of(sample_data, case)
    expected = read_channels(as_4d_nifti(scans, tmp_path / "x.nii.gz"))
    read = read_channels(write(scans, tmp_path / f"x{suffix}"))
    assert len(read) == len(expected) == 3
    for one, other in zip(read, expected, strict=True):
        assert np.array_equal(one.data, other.data)
        np.testing.assert_allclose(one.affine, other.affine, atol=2e-4)
        assert one.header.get_data_shape() == one.data.shape
        np.testing.assert_allclose(one.header.get_zooms(), other.header.get_zooms()[:3], atol=1e-5)
    assert len({one.digest for one in read}) == 1


@pytest.mark.parametrize("write", [as_vectors, as_volumes])
def test_nifti_as_itk_writes_it(sample_data, tmp_path, write):
    """ITK puts several numbers for each voxel along the fifth axis of NIfTI."""
    scans = scans_of(sample_data, CASES[2])
    read = read_channels(write(scans, tmp_path / "x.nii.gz"))
    assert [np.array_equal(one.data, read_volume(scan).data) for one, scan in zip(read, scans, strict=True)] == [
        True
    ] * 3


@pytest.mark.parametrize("place", ["first", "last"])
def test_list_axis_of_nrrd(tmp_path, place):
    """3D Slicer puts the axis of the list first; each voxel keeps its numbers wherever it stands."""
    values = np.arange(2 * 3 * 4 * 5, dtype="<i2").reshape(2, 3, 4, 5)  # list, then x, y, z
    directions, kinds, sizes = ["(1,0,0)", "(0,2,0)", "(0,0,3)"], ["domain"] * 3, ["3", "4", "5"]
    at = 0 if place == "first" else 3
    directions.insert(at, "none")
    kinds.insert(at, "list")
    sizes.insert(at, "2")
    lines = [
        "NRRD0005",
        "type: short",
        "dimension: 4",
        "space: left-posterior-superior",
        f"sizes: {' '.join(sizes)}",
        f"space directions: {' '.join(directions)}",
        f"kinds: {' '.join(kinds)}",
        "endian: little",
        "encoding: raw",
        "space origin: (1,2,3)",
    ]
    stored = values if place == "first" else np.moveaxis(values, 0, -1)
    (tmp_path / "x.nrrd").write_bytes("\n".join([*lines, "", ""]).encode() + stored.tobytes(order="F"))
    read = read_channels(tmp_path / "x.nrrd")
    assert [np.array_equal(one.data, values[number]) for number, one in enumerate(read)] == [True, True]
    np.testing.assert_array_equal(read[0].affine, [[-1, 0, 0, -1], [0, -2, 0, -2], [0, 0, 3, 3], [0, 0, 0, 1]])


def test_fourth_axis_of_length_one_is_no_axis(sample_data, tmp_path):
    """[G07]"""
    scan = scans_of(sample_data, CASES[2])[:1]
    path = as_volumes(scan, tmp_path / "x.mha")
    assert np.array_equal(read_volume(path).data, read_volume(scan[0]).data)
    np.testing.assert_allclose(read_volume(path).affine, read_volume(scan[0]).affine, atol=2e-4)
    assert len(read_channels(path)) == 1


def turned(path):
    image = SimpleITK.Image([4, 4, 4, 2], SimpleITK.sitkUInt8)
    corner = np.eye(4)
    corner[2:, 2:] = [[0.6, -0.8], [0.8, 0.6]]
    image.SetDirection(corner.ravel())
    SimpleITK.WriteImage(image, str(path))


def flat_colours(path):
    SimpleITK.WriteImage(SimpleITK.Image([4, 4], SimpleITK.sitkVectorUInt8, 3), str(path))


def complex_numbers(path):
    SimpleITK.WriteImage(SimpleITK.Image([4, 4, 4], SimpleITK.sitkComplexFloat32), str(path))


@pytest.mark.parametrize(
    ("name", "make", "says"),
    [
        ("x.mha", turned, "fourth axis of .* is turned"),
        ("x.mha", flat_colours, "4x4, 3 numbers each"),
        ("x.nrrd", complex_numbers, "complex"),
        ("x.mha", lambda path: path.write_bytes(b"ObjectType = Image\nNDims = 4\n"), "is not a whole .mha file"),
    ],
    ids=["turned", "flat", "complex", "damaged"],
)
def test_what_cannot_be_used(tmp_path, name, make, says):
    make(tmp_path / name)
    with pytest.raises(DataError, match=says) as caught:
        read_channels(tmp_path / name)
    assert str(tmp_path / name) in caught.value.message
    assert caught.value.hint
