"""From files to arrays on one grid. What is wrong is said; what is right does not depend on how it was stored."""

import nibabel
import numpy as np
import pytest
from _prepared import moved, problems_of, same_content
from _raw import BRATS, INSIDE, MODALITIES, SHAPE, found, image, label, prepared, write, write_raw

from hga_cli.core.errors import ProblemsError
from hga_cli.data.raw.discovery import RawCase
from hga_cli.data.raw.prepare import Preparation, prepare
from hga_cli.imaging.volume import file_digest

BOX = tuple(part.start for part in INSIDE), tuple(part.stop for part in INSIDE)


def test_one_case(tmp_path):
    case = prepared(write_raw(tmp_path, "p1"))
    assert (case.case, case.subject, case.warnings) == ("p1", "p1", [])
    assert case.combination(MODALITIES) == tuple(case.images) == MODALITIES
    assert (case.trail.start, case.trail.stop, case.trail.grid) == (*BOX, (9, 12, 7))
    for role, one in case.images.items():
        raw = image(f"p1 {role}")
        np.testing.assert_array_equal(one.raw, raw[INSIDE])
        mean, std = raw[raw != 0].mean(), raw[raw != 0].std()
        np.testing.assert_allclose(one.z, (raw[INSIDE] - mean) / std, atol=1e-5)
    expected = np.select([label() == 1, label() == 2, label() == 4], [1, 2, 3])
    np.testing.assert_array_equal(case.reference, expected)
    np.testing.assert_array_equal(case.label, expected[INSIDE])
    assert case.label_values == {"necrosis": 1, "oedema": 2, "enhancing": 4}
    path = tmp_path / "p1" / "p1_t1ce.nii"
    about = path.stat()
    assert case.sources["t1ce"] == ("p1_t1ce.nii", file_digest(path), about.st_size, about.st_mtime_ns)
    assert case.label_voxels == {"necrosis": 60, "oedema": 60, "enhancing": 60}
    assert set(case.sources) == {*MODALITIES, "label"}


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf], ids=str)
def test_voxels_that_are_no_numbers_count_as_empty(tmp_path, bad):
    """Case G01: said with file and number of voxels, and the result is that of the twin with zeros there."""
    clean, broken = (image("p1 t1").astype(np.float32) for _ in range(2))
    clean[3:5, 3, 3], broken[3:5, 3, 3] = 0, bad
    good = prepared(write_raw(tmp_path / "clean", "p1", arrays={"t1": clean}))
    mended = prepared(write_raw(tmp_path / "broken", "p1", arrays={"t1": broken}))
    assert mended.warnings == ["t1: 2 voxels are NaN or infinite in 'p1_t1.nii', set to 0"]
    assert good.warnings == []
    same_content(mended, good)
    assert np.isfinite(mended.images["t1"].z).all()


@pytest.mark.parametrize("kind", ["zeros", "all 7", "one voxel", "NaN only"])
def test_constant_image_counts_as_absent(tmp_path, kind):
    """Case G15."""
    array = np.zeros(SHAPE, np.float32)
    if kind == "all 7":
        array[:] = 7
    if kind == "one voxel":
        array[5, 5, 5] = 3
    if kind == "NaN only":
        array[:] = np.nan
    case = prepared(write_raw(tmp_path, "p1", arrays={"t1ce": array}))
    assert case.combination(MODALITIES) == ("flair", "t1", "t2")
    assert case.warnings[-1] == "t1ce: 'p1_t1ce.nii' is constant, it counts as absent"
    assert (case.trail.start, case.trail.stop) == BOX


def test_case_in_which_every_image_is_constant(tmp_path):
    folder = write_raw(tmp_path, "p1", ["t1", "t2"], arrays=dict.fromkeys(["t1", "t2"], np.zeros(SHAPE, np.int16)))
    (problem,) = problems_of(folder)
    assert problem.problem == "every image is constant"
    assert "p1_t1.nii" in problem.file
    assert "p1_t2.nii" in problem.file


def test_only_the_affine_says_where_a_voxel_lies(tmp_path):
    """A mirrored array with the affine of a mirror is the same image; with the old affine it is another one."""
    flipped = image("p1 t1")[::-1]
    mirror = np.diag([-1.0, 1, 1, 1])
    mirror[0, 3] = SHAPE[0] - 1
    plain = prepared(write_raw(tmp_path / "a", "p1"))
    right = prepared(write_raw(tmp_path / "b", "p1", arrays={"t1": flipped}, affines={"t1": mirror}))
    wrong = prepared(write_raw(tmp_path / "c", "p1", arrays={"t1": flipped}))
    same_content(right, plain)
    assert not np.array_equal(wrong.images["t1"].raw, plain.images["t1"].raw)


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1), (1, 0, 2)], ids=str)
@pytest.mark.parametrize("axes", [(0,), (1, 2), (0, 1, 2)], ids=str)
@pytest.mark.parametrize("spacing", [None, (1.5, 1.5, 1.5)], ids=["own spacing", "1.5 mm"])
def test_order_of_axes_in_the_file_does_not_matter(tmp_path, order, axes, spacing):
    """Case G05: same anatomy, stored mirrored or with axes exchanged in any of the files, gives the same arrays."""

    def stored(array):
        return np.transpose(np.flip(array, axes), order)

    affine = np.eye(4)
    for axis in axes:
        affine[axis, axis], affine[axis, 3] = -1, SHAPE[axis] - 1
    affine = affine[:, [*order, 3]]
    plain = prepared(write_raw(tmp_path / "plain", "p1"), spacing)
    for roles in (["t1"], ["flair", "seg"], [*MODALITIES, "seg"]):
        arrays = {role: stored(label() if role == "seg" else image(f"p1 {role}")) for role in roles}
        folder = write_raw(tmp_path / "-".join(roles), "p1", arrays=arrays, affines=dict.fromkeys(roles, affine))
        same_content(prepared(folder, spacing), plain)


@pytest.mark.parametrize("kind", ["flat", "NaN"])
def test_affine_that_leads_nowhere_is_refused(tmp_path, kind):
    folder = write_raw(tmp_path, "p1")
    header = nibabel.Nifti1Header()
    header.set_sform(np.diag([1, 1, 0 if kind == "flat" else np.nan, 1]), code=1)
    header["sform_code"], header["qform_code"] = 1, 0
    data = image("p1 t1")
    header.set_data_shape(data.shape)
    header.set_data_dtype(np.int16)
    path = folder / "p1_t1.nii"
    raw = bytearray(path.read_bytes())
    raw[: header.sizeof_hdr] = header.binaryblock
    raw[108:112] = np.float32(352).tobytes()
    path.write_bytes(raw)
    (problem,) = problems_of(folder)
    assert problem.file == str(path)
    assert "affine is not invertible" in problem.problem


def test_resampling_changes_the_grid_and_not_the_statistics(tmp_path):
    folder = write_raw(tmp_path, "p1")
    fine, coarse = prepared(folder), prepared(folder, (2.0, 3.0, 1.0))
    assert coarse.trail.grid == (4, 4, 7)
    for role in MODALITIES:
        assert coarse.images[role].statistics == fine.images[role].statistics
        assert coarse.images[role].raw.shape == (4, 4, 7)
        assert coarse.images[role].raw.mean() == pytest.approx(fine.images[role].raw.mean(), rel=0.1)
    assert coarse.label.shape == (4, 4, 7)
    np.testing.assert_array_equal(coarse.reference, fine.reference)


@pytest.mark.parametrize("hidden", MODALITIES)
def test_modality_does_not_depend_on_the_others(tmp_path, hidden):
    """Statistics and scores stay when another modality is hidden or is something else entirely."""
    whole = prepared(write_raw(tmp_path / "whole", "p1"))
    rest = prepared(write_raw(tmp_path / "rest", "p1", [role for role in MODALITIES if role != hidden]))
    other = np.random.default_rng(9).normal(5000, 900, SHAPE).astype(np.float32)
    changed = prepared(write_raw(tmp_path / "changed", "p1", arrays={hidden: other}))
    assert set(rest.images) == set(MODALITIES) - {hidden}
    for role in rest.images:
        assert rest.images[role].statistics == whole.images[role].statistics == changed.images[role].statistics
        np.testing.assert_array_equal(rest.images[role].z, whole.images[role].z)
        np.testing.assert_array_equal(changed.trail.crop(changed.images[role].raw), changed.images[role].raw)


def test_negative_values_are_foreground(tmp_path):
    array = np.random.default_rng(0).normal(0, 50, SHAPE).astype(np.float32)
    array[image("p1 t1") == 0] = 0
    case = prepared(write_raw(tmp_path, "p1", ["t1"], arrays={"t1": array}))
    assert case.images["t1"].statistics.mean == pytest.approx(array[array != 0].mean(dtype=np.float64))
    assert case.trail.start == BOX[0]


def test_box_holds_the_whole_label(tmp_path):
    array = label()
    array[11, 13, 9] = array[0, 0, 0] = 1
    case = prepared(write_raw(tmp_path, "p1", arrays={"seg": array}))
    assert case.trail.grid == SHAPE
    assert (case.label == 1).sum() == 62


def test_every_problem_of_a_case_at_once(tmp_path):
    folder = write_raw(tmp_path, "p1", affines={"t2": moved(7)})
    (folder / "p1_flair.nii").write_bytes(b"")
    write(folder / "p1_t1.nii", np.ones((*SHAPE, 2), np.int16))
    problems = problems_of(folder)
    assert {problem.file.rsplit("_", 1)[1]: problem.problem.rsplit(":", 1)[0] for problem in problems}.keys() == {
        "flair.nii",
        "t1.nii",
        "t2.nii",
    }
    assert {problem.case for problem in problems} == {"p1"}


def test_what_to_do_is_part_of_each_problem(tmp_path):
    """The file stands beside it, so its path is not said again."""
    colours = np.zeros(SHAPE, np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")]))
    nan = np.where(label() == 1, np.nan, label()).astype(np.float32)
    folder = write_raw(tmp_path, "p1", arrays={"t1": colours, "seg": nan, "t2": np.ones((*SHAPE, 2), np.int16)})
    flair = folder / "p1_flair.nii"
    flair.write_bytes(flair.read_bytes()[:1000])
    assert {one.file.rsplit("_", 1)[1]: one.problem for one in problems_of(folder)} == {
        "flair.nii": "is damaged: Expected 3360 bytes, got 648 bytes from object; copy or convert it again",
        "t1.nii": "holds colours (R, G, B), expected one number per voxel; "
        "convert colour or complex images to one number per voxel",
        "t2.nii": "has shape 12x14x10x2, expected three axes; "
        "write one file per modality; hga predict takes 4D images with --modalities",
        "seg.nii": "holds values that are not integers: NaN or infinite in 60 voxels; "
        "a label map holds one integer per class; set those voxels to 0 or to their class",
    }


@pytest.mark.parametrize("background", [-1024, 7])
def test_background_that_is_not_0_is_said(tmp_path, background):
    shifted = image("p1 t1")
    shifted[shifted == 0] = background
    case = prepared(write_raw(tmp_path, "p1", arrays={"t1": shifted}))
    text = f"t1: background of 'p1_t1.nii' is {background}, not 0, so it counts as foreground; subtract it"
    assert case.warnings == [text]


def test_slice_of_a_png_is_refused(tmp_path):
    folder = write_raw(tmp_path, "p1", arrays={"t1": np.ones(SHAPE[:2], np.int16)})
    (problem,) = problems_of(folder)
    assert "shape 12x14, expected three axes" in problem.problem


def test_trailing_axis_of_one_is_no_difference(tmp_path):
    """Case G07."""
    arrays = {"t1": image("p1 t1")[..., None], "seg": label()[..., None, None]}
    same_content(prepared(write_raw(tmp_path / "4D", "p1", arrays=arrays)), prepared(write_raw(tmp_path, "p1")))


@pytest.mark.parametrize("dtype", ["int64", "uint16", "float64", "int32"])
def test_stored_type_is_no_difference(tmp_path, dtype):
    """Case G19."""
    arrays = {"t1": image("p1 t1").astype(dtype), "seg": label().astype(dtype)}
    same_content(prepared(write_raw(tmp_path / "other", "p1", arrays=arrays)), prepared(write_raw(tmp_path, "p1")))


def test_case_without_label(tmp_path):
    case = prepared(write_raw(tmp_path, "p1"))
    (tmp_path / "p1" / "p1_seg.nii").unlink()
    bare = prepared(tmp_path / "p1")
    assert (bare.label, bare.reference, bare.label_values) == (None, None, {})
    np.testing.assert_array_equal(bare.images["t2"].z, case.images["t2"].z)


def test_modalities_of_one_file(tmp_path):
    names = ("t2", "flair")
    path = write(tmp_path / "p1.nii", np.stack([image(f"p1 {name}") for name in names], axis=-1))
    raw = RawCase(case="p1", subject="p1", images=dict.fromkeys(names, path), label=None, channels=names)
    case = prepare(raw, BRATS, Preparation())
    assert list(case.images) == ["flair", "t2"]
    for name in names:
        np.testing.assert_array_equal(case.images[name].raw, image(f"p1 {name}")[INSIDE])
    short = RawCase(case="p1", subject="p1", images={"t2": path}, label=None, channels=("t2",))
    with pytest.raises(ProblemsError) as caught:
        prepare(short, BRATS, Preparation())
    assert caught.value.problems[0].problem == (
        "holds 2 volumes but 1 modalities are named: t2; "
        "name one modality for each volume along the fourth axis, in their order"
    )


def test_file_order_decides_nothing(tmp_path):
    raw = found(write_raw(tmp_path, "p1"))
    backwards = RawCase(
        case=raw.case, subject=raw.subject, images=dict(reversed(list(raw.images.items()))), label=raw.label
    )
    same_content(prepare(backwards, BRATS, Preparation()), prepare(raw, BRATS, Preparation()))


def test_values_are_clipped_to_percentiles_of_the_foreground(tmp_path):
    """Bright outliers lose their say in mean and standard deviation; background stays 0; the type stays whole."""
    bright = image("p1 t1")
    bright[5, 5, 5] = 30000
    folder = write_raw(tmp_path, "p1", arrays={"t1": bright})
    plain = prepared(folder)
    case = prepare(found(folder), BRATS, Preparation(clip=(1, 99)))
    for role in MODALITIES:
        raw = bright if role == "t1" else image(f"p1 {role}")
        low, high = np.percentile(raw[raw != 0], (1, 99), method="nearest")
        expected = np.where(raw != 0, raw.clip(low, high), 0)[INSIDE]
        np.testing.assert_array_equal(case.images[role].raw, expected)
        assert case.images[role].raw.dtype == raw.dtype
    assert plain.images["t1"].z.max() > 20
    assert case.images["t1"].z.max() < 3


def test_clipping_one_modality_does_not_depend_on_the_others(tmp_path):
    how = Preparation(clip=(2, 98))
    whole = prepare(found(write_raw(tmp_path / "whole", "p1")), BRATS, how)
    alone = prepare(found(write_raw(tmp_path / "alone", "p1", ["t2"])), BRATS, how)
    assert whole.images["t2"].statistics == alone.images["t2"].statistics
