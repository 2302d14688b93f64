"""Files on one grid, on grids that lie apart - and brought together, where that is asked for."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from _prepared import moved, problems_of, rotated, same_content
from _raw import BRATS, MODALITIES, SHAPE, found, image, label, prepared, write_raw

from hga_cli.core.errors import ProblemsError
from hga_cli.data.raw.grids import unusable_affines
from hga_cli.data.raw.prepare import Preparation, prepare
from hga_cli.imaging.trail import to_canonical
from hga_cli.imaging.volume import Volume, read_volume

ALIGN = Preparation(align=True)
FINE = tuple(2 * size for size in SHAPE)


def aligned(folder):
    return prepare(found(folder), BRATS, ALIGN)


def half_voxels(shape=SHAPE):
    """Twice as many voxels over the same box: affine of the finer grid where the coarse one has eye(4)."""
    affine = np.diag([0.5, 0.5, 0.5, 1])
    affine[:3, 3] = -0.25
    return affine


def ramp(affine, shape=SHAPE, slope=(7, -3, 11)):
    """A linear image in world coordinates: its value says where it is."""
    voxels = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), -1)
    world = voxels @ affine[:3, :3].T + affine[:3, 3]
    return (500 + world @ np.array(slope)).astype(np.float32)


@pytest.mark.parametrize("affine", [moved(1e-4), moved(-3e-4, 2), np.eye(4) + 1e-6, rotated(1e-3)])
@pytest.mark.parametrize("role", ["t1", "seg"])
def test_grids_that_differ_by_less_than_a_hundredth_of_a_voxel_are_one(tmp_path, role, affine):
    """Case G04."""
    affine = np.vstack([affine[:3], [0, 0, 0, 1]])
    plain = prepared(write_raw(tmp_path / "plain", "p1"))
    same_content(prepared(write_raw(tmp_path / "other", "p1", affines={role: affine})), plain)


@pytest.mark.parametrize(
    ("affine", "distance"), [(moved(0.5), "0.5 mm"), (moved(5, 1), "5 mm"), (moved(0.02), "0.02 mm")], ids=str
)
@pytest.mark.parametrize("role", ["t2", "seg"])
def test_grids_that_lie_apart_are_refused_with_the_distance(tmp_path, role, affine, distance):
    """Cases G04 and G05."""
    (problem,) = problems_of(write_raw(tmp_path, "p1", affines={role: affine}))
    assert problem.file.endswith(f"p1_{role}.nii")
    assert f"lies up to {distance} away from flair" in problem.problem


def test_tolerance_is_a_share_of_the_voxel(tmp_path):
    """A hundredth of a 0.1 mm voxel is 0.001 mm."""
    small = np.diag([0.1, 0.1, 0.1, 1])
    far = small + moved(0.005) - np.eye(4)
    affines = {role: small for role in (*MODALITIES, "seg")}
    (problem,) = problems_of(write_raw(tmp_path, "p1", affines=affines | {"t2": far}))
    assert "0.005 mm" in problem.problem


def test_rotated_grid_is_refused(tmp_path):
    (problem,) = problems_of(write_raw(tmp_path, "p1", affines={"t2": rotated(3)}))
    assert "mm away from flair" in problem.problem


def test_other_shape_is_refused_with_both_shapes(tmp_path):
    (problem,) = problems_of(write_raw(tmp_path, "p1", arrays={"t2": image("p1 t2", (12, 14, 11))}))
    assert problem.problem.startswith("t2 is 12x14x11 but flair is 12x14x10 (canonical order)")
    assert "1 mm away from flair ('p1_flair.nii')" in problem.problem


def test_aligning_what_lies_on_one_grid_changes_nothing(tmp_path):
    folder = write_raw(tmp_path, "p1")
    plain, case = prepared(folder), aligned(folder)
    same_content(case, plain)
    assert case.warnings == []


@pytest.mark.parametrize("move", [moved(0.5), moved(-1.3, 2), rotated(4)], ids=["x", "z", "turned"])
def test_images_are_aligned_through_their_affines(tmp_path, move):
    """Case G05: what is at one place of the patient is in one voxel afterwards."""
    arrays = {"t1": ramp(move), "t2": ramp(np.eye(4))}
    case = aligned(write_raw(tmp_path, "p1", ["flair", "t1", "t2"], arrays=arrays, affines={"t1": move}))
    assert case.warnings == ["t1: resampled onto the grid of 'p1_seg.nii'"]
    inner = (slice(3, -3),) * 3
    one, other = (case.images[role].raw for role in ("t1", "t2"))
    assert one.shape == other.shape
    np.testing.assert_allclose(one[inner], other[inner], atol=0.5)
    assert np.ptp(other[inner]) > 50


def test_mirrored_file_needs_no_alignment_and_a_turned_one_keeps_its_direction(tmp_path):
    mirror = np.diag([-1.0, 1, 1, 1])
    mirror[0, 3] = SHAPE[0] - 1
    affine = half_voxels() @ np.diag([1.0, 1, -1, 1])
    affine[2, 3] += (FINE[2] - 1) * 0.5
    arrays = {"t1": image("p1 t1")[::-1], "t2": ramp(affine, FINE)}
    case = aligned(write_raw(tmp_path, "p1", arrays=arrays, affines={"t1": mirror, "t2": affine}))
    plain = prepared(write_raw(tmp_path / "plain", "p1"))
    np.testing.assert_array_equal(case.trail.crop(to_canonical(image("p1 t1"), np.eye(4))), case.images["t1"].raw)
    np.testing.assert_allclose(case.images["t2"].raw, case.trail.crop(ramp(np.eye(4))), atol=1)
    assert plain.images["t1"].statistics == case.images["t1"].statistics


def test_the_label_keeps_its_grid(tmp_path):
    """So it is scored as the expert drew it, and no lesion is lost (case L09)."""
    fine = np.kron(label((1, 2)), np.ones((2, 2, 2), np.int16))
    fine[20, 20, 15] = 1
    arrays = {"seg": fine, "t1": ramp(np.eye(4))}
    case = aligned(write_raw(tmp_path, "p1", arrays=arrays, affines={"seg": half_voxels()}))
    assert case.warnings == [f"{role}: resampled onto the grid of 'p1_seg.nii'" for role in MODALITIES]
    assert case.trail.shape == FINE
    np.testing.assert_array_equal(case.reference, fine)
    inner = (slice(3, -3),) * 3
    expected = case.trail.crop(ramp(half_voxels(), FINE))
    np.testing.assert_allclose(case.images["t1"].raw[inner], expected[inner], atol=0.5)


def test_without_label_the_first_modality_keeps_its_grid(tmp_path):
    folder = write_raw(tmp_path, "p1", arrays={"t1": ramp(half_voxels(), FINE)}, affines={"t1": half_voxels()})
    (folder / "p1_seg.nii").unlink()
    case = aligned(folder)
    assert case.trail.shape == SHAPE
    assert case.warnings == ["t1: resampled onto the grid of 'p1_flair.nii'"]
    assert case.like.path.name == "p1_flair.nii"


def test_beyond_an_image_is_background_and_little_overlap_is_told(tmp_path):
    case = aligned(write_raw(tmp_path, "p1", arrays={"t1": ramp(np.eye(4))}, affines={"t1": moved(8)}))
    assert "t1: covers only 35% of the grid of 'p1_seg.nii'" in case.warnings
    assert (case.images["t1"].raw[case.trail.start[0] - 2 :][:4] == 0).all()


def test_images_without_common_ground_are_refused(tmp_path):
    folder = write_raw(tmp_path, "p1", affines={"t1": moved(500), "t2": moved(-90, 1)})
    with pytest.raises(ProblemsError) as caught:
        aligned(folder)
    assert [one.file[-6:] for one in caught.value.problems] == ["t1.nii", "t2.nii"]
    assert all("shares no ground with 'p1_seg.nii'" in one.problem for one in caught.value.problems)


@pytest.mark.parametrize("slices", [2, 3])
@pytest.mark.parametrize("start", [40.0, 44.0, 51.0])
def test_slab_that_a_coarse_look_misses_is_aligned(tmp_path, start, slices):
    """Of 120 slices two or three are in the slab; each of them is found again."""
    shape = (6, 6, 120)
    grid, slab = np.eye(4), moved(start, 2)
    arrays = {"flair": image("f", shape) + 1, "t1": ramp(slab, (6, 6, slices)), "seg": np.ones(shape, np.int16)}
    case = aligned(write_raw(tmp_path, "p1", ["flair", "t1"], arrays=arrays, affines={"flair": grid, "t1": slab}))
    share = 100 * slices / 120
    assert f"t1: covers only {share:.2g}% of the grid of 'p1_seg.nii'" in case.warnings
    raw = case.images["t1"].raw
    inside = slice(int(start), int(start) + slices)
    np.testing.assert_allclose(raw[..., inside], ramp(grid, shape)[..., inside], atol=0.01)
    assert np.count_nonzero(raw) == 36 * slices


def test_slab_between_two_slices_is_refused_for_what_it_is(tmp_path):
    """It shares ground with the label, but no voxel of its grid lies in it: nothing would be left."""
    coarse, slab = np.diag([1.0, 1, 3, 1]), np.diag([1.0, 1, 0.5, 1])
    slab[2, 3] = 4
    affines = dict.fromkeys(("flair", "seg"), coarse) | {"t1": slab}
    arrays = {"t1": image("t1", (12, 14, 2)) + 1}
    with pytest.raises(ProblemsError) as caught:
        aligned(write_raw(tmp_path, "p1", ["flair", "t1"], arrays=arrays, affines=affines))
    (problem,) = caught.value.problems
    assert problem.problem.startswith("is thinner than the voxels of 'p1_seg.nii', or empty there")


@pytest.mark.parametrize("how", [Preparation(), ALIGN, Preparation(spacing=(2, 2, 2))], ids=["plain", "align", "2 mm"])
def test_grids_near_45_degrees_are_one(tmp_path, how):
    """Differences of 1e-6 make other axes canonical; what lies alike in its files is turned alike."""
    angles = {"flair": 1e-4, "t1ce": -1e-4, "t1": 0, "t2": -1e-4, "seg": 1e-4}
    far = {role: rotated(45 + angle) for role, angle in angles.items()}
    folder = write_raw(tmp_path / "near", "p1", affines=far)
    volumes = [read_volume(folder / f"p1_{role}.nii") for role in angles]
    assert len({to_canonical(one.data, one.affine).shape for one in volumes}) == 2
    case = prepare(found(folder), BRATS, how)
    same = dict.fromkeys(angles, far["flair"])
    same_content(case, prepare(found(write_raw(tmp_path / "same", "p1", affines=same)), BRATS, how))
    assert case.warnings == []


def test_grid_near_45_degrees_that_lies_apart_is_refused_with_the_distance(tmp_path):
    affines = dict.fromkeys((*MODALITIES, "seg"), rotated(45 + 1e-4))
    affines["t1"] = rotated(45 - 1e-4) + moved(0.5, 2) - np.eye(4)
    (problem,) = problems_of(write_raw(tmp_path, "p1", affines=affines))
    assert problem.problem.startswith("t1 lies up to 0.5 mm away from flair")


@pytest.mark.parametrize("size", [1e-5, 5e-4, 1e4])
def test_size_of_a_voxel_does_not_make_an_affine_useless(tmp_path, size):
    affine = rotated(20) @ np.diag([size, size, size, 1])
    case = prepared(write_raw(tmp_path, "p1", affines=dict.fromkeys((*MODALITIES, "seg"), affine)))
    assert case.trail.original_spacing == pytest.approx((size,) * 3, rel=1e-5)


@pytest.mark.parametrize("size", [1e-3, 1, 1e3])
def test_grid_without_depth_is_refused_at_any_size(size):
    flat = np.diag([size, size, size, 1.0])
    flat[:3, 2] = flat[:3, 0] + flat[:3, 1]
    volume = Volume(path=Path("x.nii"), data=np.empty(SHAPE), affine=flat, header=None, digest="")
    (problem,) = unusable_affines("p1", {"t1": volume})
    assert "affine is not invertible" in problem.problem
    assert unusable_affines("p1", {"t1": replace(volume, affine=np.diag([size, size, size, 1.0]))}) == []


def test_alignment_of_a_modality_does_not_depend_on_the_others(tmp_path):
    arrays, affines = {"t1": ramp(moved(0.5))}, {"t1": moved(0.5), "t2": moved(1.5)}
    whole = aligned(write_raw(tmp_path / "whole", "p1", arrays=arrays, affines=affines))
    rest = aligned(write_raw(tmp_path / "rest", "p1", ["flair", "t1"], arrays=arrays, affines=affines))
    assert whole.images["t1"].statistics == rest.images["t1"].statistics
    assert set(MODALITIES) - set(rest.images) == {"t1ce", "t2"}
