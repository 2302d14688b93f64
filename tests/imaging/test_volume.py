"""Reading every kind of NIfTI file by value, and writing a label map exactly where the scan lies."""

import gzip
import math
import re

import nibabel
import numpy as np
import pytest

from hga_cli.core.errors import DataError
from hga_cli.imaging.volume import (
    describe_grid,
    file_digest,
    integers,
    is_volume,
    read_channels,
    read_volume,
    stem,
    write_label_map,
)

SHAPE = (7, 6, 5)
IMAGE = np.random.default_rng(0).integers(0, 250, SHAPE)
MASK = np.random.default_rng(1).choice([0, 1, 2, 4], SHAPE)
ANGLE = math.radians(20)
OBLIQUE = np.array(
    [
        [-0.9 * math.cos(ANGLE), 1.1 * math.sin(ANGLE), 0, 87.5],
        [0.9 * math.sin(ANGLE), 1.1 * math.cos(ANGLE), 0, -120.25],
        [0, 0, 3.0, -33],
        [0, 0, 0, 1],
    ]
)


def save(path, array, affine=OBLIQUE, header=None, kind=nibabel.Nifti1Image):
    nibabel.save(kind(array, affine, header), path)
    return path


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a.nii.gz", "a"),
        ("a.nii", "a"),
        ("A.NII.GZ", "A"),
        ("pat_zini.nii.gz", "pat_zini"),
        ("sub-nig.nii", "sub-nig"),
        ("1.2.840.1.nii.gz", "1.2.840.1"),
        ("x.nii.nii.gz", "x.nii"),
        ("x.gz", "x.gz"),
        ("x.mgz", "x.mgz"),
    ],
)
def test_only_the_suffix_is_removed(tmp_path, name, expected):
    assert stem(tmp_path / name) == expected


def test_volumes_by_name(tmp_path):
    names = ["a.nii", "a.nii.gz", "A.NII.GZ", "._a.nii.gz", ".a.nii", "a.gz", "a.mgz", "a.nii.txt"]
    assert [name for name in names if is_volume(tmp_path / name)] == ["a.nii", "a.nii.gz", "A.NII.GZ"]


def test_values_affine_and_digest(tmp_path):
    path = save(tmp_path / "a.nii.gz", IMAGE.astype(np.int16))
    volume = read_volume(path)
    assert volume.data.dtype == np.int16
    np.testing.assert_array_equal(volume.data, IMAGE)
    np.testing.assert_allclose(volume.affine, OBLIQUE, atol=1e-6)
    assert volume.digest == file_digest(path)
    path.write_bytes(path.read_bytes() + b"\0")
    assert file_digest(path) != volume.digest


def test_slope_and_intercept_are_applied(tmp_path):
    header = nibabel.Nifti1Header()
    header.set_data_dtype(np.int16)
    save(tmp_path / "a.nii", IMAGE * 0.5 - 3, header=header)
    assert nibabel.load(tmp_path / "a.nii").dataobj.slope != 1
    np.testing.assert_allclose(read_volume(tmp_path / "a.nii").data, IMAGE * 0.5 - 3, atol=0.005)


def test_compression_is_seen_in_the_bytes(tmp_path):
    """Case G09."""
    plain = save(tmp_path / "plain.nii", IMAGE.astype(np.int16)).read_bytes()
    (tmp_path / "not_packed.nii.gz").write_bytes(plain)
    (tmp_path / "packed.nii").write_bytes(gzip.compress(plain))
    for name in ("not_packed.nii.gz", "packed.nii"):
        np.testing.assert_array_equal(read_volume(tmp_path / name).data, IMAGE)


@pytest.mark.parametrize("extra", [(1,), (1, 1), (1, 1, 1)], ids=str)
def test_trailing_axes_of_one_are_dropped(tmp_path, extra):
    """Case G07: pixdim[4] does not enter the geometry, and a label map of three axes is written."""
    header = nibabel.Nifti1Header()
    header.set_data_shape((*SHAPE, *extra))
    header["pixdim"][4] = 2.5
    volume = read_volume(save(tmp_path / "a.nii", IMAGE.reshape(*SHAPE, *extra).astype(np.int16), header=header))
    np.testing.assert_array_equal(volume.data, IMAGE)
    np.testing.assert_allclose(volume.affine, OBLIQUE, atol=1e-6)
    write_label_map(tmp_path / "label.nii.gz", MASK, volume)
    written = nibabel.load(tmp_path / "label.nii.gz")
    assert written.shape == SHAPE
    np.testing.assert_allclose(written.affine, OBLIQUE, atol=1e-6)


def test_single_slice_keeps_its_axis(tmp_path):
    assert read_volume(save(tmp_path / "a.nii", np.ones((8, 9, 1), np.int16))).data.shape == (8, 9, 1)


@pytest.mark.parametrize("shape", [(4, 5, 6, 2), (4, 5, 1, 3), (4, 5, 6, 1, 3), (4, 5)], ids=str)
def test_other_numbers_of_axes_are_refused_with_file_and_shape(tmp_path, shape):
    path = save(tmp_path / "a.nii", np.ones(shape, np.int16))
    with pytest.raises(DataError, match="expected three axes") as caught:
        read_volume(path)
    assert "x".join(map(str, shape)) in caught.value.message
    assert str(path) in caught.value.message


@pytest.mark.parametrize("dtype", ["int64", "uint16", ">i2", ">f4", "float64", "uint8", ">u2", "int32", "float32"])
def test_stored_type_does_not_matter(tmp_path, dtype):
    """Case G19: the same mask by value, in native byte order."""
    header = nibabel.Nifti1Header(endianness=">" if dtype.startswith(">") else "<")
    header.set_data_dtype(np.dtype(dtype))
    array = MASK.astype(dtype)
    image = nibabel.Nifti1Image(array, OBLIQUE, header, dtype=np.dtype(dtype))
    nibabel.save(image, tmp_path / "a.nii")
    volume = read_volume(tmp_path / "a.nii")
    assert volume.data.dtype == np.dtype(dtype).newbyteorder("=")
    assert volume.data.dtype.isnative
    assert np.issubdtype(integers(volume).dtype, np.integer)
    np.testing.assert_array_equal(integers(volume), MASK)


def test_second_version_of_the_format(tmp_path):
    volume = read_volume(save(tmp_path / "a.nii.gz", IMAGE.astype(np.int16), kind=nibabel.Nifti2Image))
    np.testing.assert_array_equal(volume.data, IMAGE)
    write_label_map(tmp_path / "label.nii.gz", MASK, volume)
    written = nibabel.load(tmp_path / "label.nii.gz")
    assert isinstance(written, nibabel.Nifti2Image)
    np.testing.assert_array_equal(written.get_fdata(), MASK)


@pytest.mark.parametrize("kind", ["RGB", "complex"])
def test_colours_and_complex_numbers_are_refused(tmp_path, kind):
    rgb = np.zeros(SHAPE, np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")]))
    save(tmp_path / "a.nii", rgb if kind == "RGB" else np.ones(SHAPE, np.complex64))
    shown = r"colours \(R, G, B\)" if kind == "RGB" else "complex64"
    with pytest.raises(DataError, match=f"holds {shown}, expected one number per voxel") as caught:
        read_volume(tmp_path / "a.nii")
    assert "one number per voxel" in caught.value.hint


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.99])
def test_cut_off_file_is_refused(tmp_path, name, share):
    path = save(tmp_path / name, np.random.default_rng(2).integers(0, 9999, SHAPE).astype(np.int16))
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(DataError, match=r"whole NIfTI file|damaged") as caught:
        read_volume(path)
    assert str(path) in caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize("content", [b"hello" * 300, bytes(400), b"\x1f\x8bhello", b"\x1f\x8b"], ids=repr)
def test_what_is_no_nifti_file_is_refused(tmp_path, content):
    (tmp_path / "a.nii.gz").write_bytes(content)
    with pytest.raises(DataError, match="is not a whole NIfTI file"):
        read_volume(tmp_path / "a.nii.gz")


def test_file_that_cannot_be_read(tmp_path):
    with pytest.raises(DataError, match="cannot be read: No such file"):
        read_volume(tmp_path / "absent.nii")
    with pytest.raises(DataError, match="cannot be read: Is a directory"):
        read_volume(tmp_path)


def test_channels_are_volumes_in_their_order(tmp_path):
    stacked = np.stack([IMAGE, 2 * IMAGE, 3 * IMAGE], axis=-1).astype(np.int16)
    volumes = read_channels(save(tmp_path / "a.nii.gz", stacked))
    for factor, volume in enumerate(volumes, start=1):
        np.testing.assert_array_equal(volume.data, factor * IMAGE)
        np.testing.assert_allclose(volume.affine, OBLIQUE, atol=1e-6)
    write_label_map(tmp_path / "label.nii", MASK, volumes[1])
    np.testing.assert_array_equal(read_volume(tmp_path / "label.nii").data, MASK)


def test_three_axes_are_one_channel(tmp_path):
    """The Decathlon stores a data set of one modality so."""
    (volume,) = read_channels(save(tmp_path / "a.nii.gz", IMAGE.astype(np.int16)))
    np.testing.assert_array_equal(volume.data, IMAGE)
    np.testing.assert_allclose(volume.affine, OBLIQUE, atol=1e-6)
    assert volume.header.get_data_shape() == SHAPE
    with pytest.raises(DataError, match=r"has shape 4x5, expected three axes"):
        read_channels(save(tmp_path / "flat.nii", np.ones((4, 5), np.int16)))


@pytest.mark.parametrize(
    ("stored", "values"), [(np.int16, [0, 1, 2, 4]), (np.uint8, [0, 1, 4]), (np.int32, [0, 1, 2, 3])], ids=str
)
def test_scaled_labels_are_rounded_and_never_cut(tmp_path, stored, values):
    """Case L01: labels saved as float64 with the header of an integer scan come back as 3.99999."""
    mask = np.random.default_rng(3).choice(values, SHAPE)
    header = nibabel.Nifti1Header()
    header.set_data_dtype(stored)
    volume = read_volume(save(tmp_path / "a.nii", mask.astype(np.float64), header=header))
    assert volume.data.dtype.kind == "f"
    assert not np.array_equal(volume.data, mask)
    np.testing.assert_array_equal(integers(volume), mask)


@pytest.mark.parametrize("wrong", [0.5, 3.9, 1.06, np.nan, -np.inf], ids=str)
def test_labels_that_are_not_integers_are_refused(tmp_path, wrong):
    mask = MASK.astype(np.float32)
    mask[3, 3, 3:5] = wrong
    path = save(tmp_path / "a.nii", mask)
    finite = np.isfinite(wrong)
    says = "not integers (5 different ones)" if finite else "not integers: NaN or infinite in 2 voxels"
    with pytest.raises(DataError, match=re.escape(says)) as caught:
        integers(read_volume(path))
    assert str(path) in caught.value.message
    assert ("is this an image?" if finite else "set those voxels to 0") in caught.value.hint


def test_labels_close_to_integers_are_accepted(tmp_path):
    mask = MASK + np.random.default_rng(4).uniform(-0.049, 0.049, SHAPE)
    np.testing.assert_array_equal(integers(read_volume(save(tmp_path / "a.nii", mask))), MASK)


def test_negative_labels_never_wrap(tmp_path):
    mask = MASK.astype(np.int16)
    mask[0, 0, 0] = -1
    assert integers(read_volume(save(tmp_path / "a.nii", mask)))[0, 0, 0] == -1


def scan(tmp_path, *, sform=1, qform=1, kind=nibabel.Nifti1Image):
    """A scan whose qform differs slightly from its sform, with units, an extension, a description and scaling."""
    header = (nibabel.Nifti1Header if kind is nibabel.Nifti1Image else nibabel.Nifti2Header)()
    header.set_data_dtype(np.int16)
    header.set_xyzt_units("mm", "sec")
    header["cal_max"], header["descrip"], header["intent_code"] = 500, b"scanner", 0
    image = kind(IMAGE * 0.5, OBLIQUE, header)
    other = OBLIQUE.copy()
    other[:3, 3] += 0.25
    image.set_sform(OBLIQUE, code=sform)
    image.set_qform(other, code=qform)
    image.header.extensions.append(nibabel.nifti1.Nifti1Extension("comment", b"some words" * 20))
    nibabel.save(image, tmp_path / "scan.nii.gz")
    return tmp_path / "scan.nii.gz"


UNITS = [("micron", 1e-3), ("meter", 1e3), ("mm", 1), ("unknown", 1)]


@pytest.mark.parametrize("axes", [3, 4])
@pytest.mark.parametrize(("unit", "factor"), UNITS)
def test_affine_is_in_mm_and_what_is_written_lies_where_the_scan_lies(tmp_path, unit, factor, axes):
    """A file in another unit keeps it: so its label map has the very numbers of its header."""
    header = nibabel.Nifti1Header()
    header.set_xyzt_units(unit, "sec")
    told = np.diag([1 / factor, 1 / factor, 1 / factor, 1]) @ OBLIQUE
    array = np.stack([IMAGE] * 2, -1) if axes == 4 else IMAGE
    path = save(tmp_path / "a.nii.gz", array.astype(np.int16), told, header)
    for volume in read_channels(path):
        np.testing.assert_allclose(volume.affine, OBLIQUE, rtol=1e-5)
        write_label_map(tmp_path / "label.nii.gz", MASK, volume)
        before, after = nibabel.load(path), nibabel.load(tmp_path / "label.nii.gz")
        for name in set(GEOMETRY) - {"dim", "pixdim"}:
            np.testing.assert_array_equal(after.header[name], before.header[name], err_msg=name)
        np.testing.assert_array_equal(after.header["pixdim"][:4], before.header["pixdim"][:4])
        np.testing.assert_allclose(read_volume(tmp_path / "label.nii.gz").affine, OBLIQUE, rtol=1e-5)
    assert describe_grid(path) == f"{'x'.join(map(str, array.shape))}, 0.9 x 1.1 x 3 mm"


def test_unit_that_nobody_defined_is_mm(tmp_path):
    path = save(tmp_path / "a.nii", IMAGE.astype(np.int16))
    content = bytearray(path.read_bytes())
    content[123] = 5
    path.write_bytes(content)
    np.testing.assert_allclose(read_volume(path).affine, OBLIQUE, atol=1e-6)


GEOMETRY = [
    *("sform_code", "qform_code", "srow_x", "srow_y", "srow_z", "quatern_b", "quatern_c", "quatern_d"),
    *("qoffset_x", "qoffset_y", "qoffset_z", "xyzt_units", "dim", "pixdim"),
]


@pytest.mark.parametrize("kind", [nibabel.Nifti1Image, nibabel.Nifti2Image], ids=["NIfTI-1", "NIfTI-2"])
@pytest.mark.parametrize(("sform", "qform"), [(1, 1), (2, 1), (4, 0), (0, 3), (0, 0)])
def test_label_map_has_the_geometry_of_the_scan(tmp_path, sform, qform, kind):
    """Case P01: both matrices, both codes and the units are those of the scan, whatever they are."""
    source = scan(tmp_path, sform=sform, qform=qform, kind=kind)
    write_label_map(tmp_path / "label.nii.gz", MASK, read_volume(source))
    before, after = nibabel.load(source), nibabel.load(tmp_path / "label.nii.gz")
    for name in GEOMETRY:
        np.testing.assert_array_equal(after.header[name], before.header[name], err_msg=name)
    np.testing.assert_array_equal(after.affine, before.affine)
    assert after.header["scl_slope"] == 1 or np.isnan(after.header["scl_slope"])
    assert after.header["cal_max"] == 0
    np.testing.assert_array_equal(np.asarray(after.dataobj), MASK)


@pytest.mark.parametrize(
    ("largest", "smallest", "dtype"), [(4, 0, "uint8"), (255, 0, "uint8"), (256, 0, "int16"), (2221, -1, "int16")]
)
def test_type_holds_the_values(tmp_path, largest, smallest, dtype):
    labels = MASK.astype(np.int64)
    labels[0, 0, :2] = largest, smallest
    write_label_map(tmp_path / "label.nii.gz", labels, read_volume(scan(tmp_path)))
    written = read_volume(tmp_path / "label.nii.gz")
    assert written.data.dtype == dtype
    np.testing.assert_array_equal(written.data, labels)


def test_other_shape_is_a_bug_of_the_caller(tmp_path):
    with pytest.raises(ValueError, match="labels have shape 5x6x7, expected 7x6x5"):
        write_label_map(tmp_path / "label.nii.gz", MASK.T, read_volume(scan(tmp_path)))
    assert not (tmp_path / "label.nii.gz").exists()


def test_writing_again_replaces_in_one_step(tmp_path):
    volume = read_volume(scan(tmp_path))
    for labels in (MASK, MASK // 2):
        write_label_map(tmp_path / "label.nii.gz", labels, volume)
    np.testing.assert_array_equal(read_volume(tmp_path / "label.nii.gz").data, MASK // 2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["label.nii.gz", "scan.nii.gz"]
