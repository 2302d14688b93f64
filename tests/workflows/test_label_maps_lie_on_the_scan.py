"""The proof of geometry [P01, P03]: with a model that thresholds one image, the label map is the threshold of its file.

Voxel by voxel, in the order of the file, for every orientation, odd shapes, oblique grids and files turned against each
other. The network is replaced; reading, turning, cropping, resampling and writing are real.
"""

from dataclasses import replace
from itertools import permutations, product

import nibabel
import numpy as np
import pytest
import torch

from hga_cli.engine.inference import load_model
from hga_cli.workflows.inputs import find_inputs
from hga_cli.workflows.predict import predict

CODES = ["".join(codes) for axes in permutations(("LR", "PA", "IS")) for codes in product(*axes)]
SHAPES = [(7, 9, 5), (1, 1, 4), (6, 1, 1), (64, 3, 1), (20, 24, 28), (33, 47, 29), (16, 16, 16), (17, 16, 15)]
DARK, BRIGHT = 100, 900


@pytest.fixture(scope="module")
def model(tiny_folder):
    """A model that works on the grid of each case."""
    loaded = load_model(tiny_folder / "runs" / "start" / "checkpoints" / "last.safetensors", torch.device("cpu"))
    assert loaded.spacing is None
    return loaded


@pytest.fixture
def threshold(monkeypatch):
    """The function that makes ``predict`` say "oedema" (value 2) wherever one modality is above a z-score."""

    def use(modality, above=0.0):
        def one_hot(model, images, backgrounds, combinations, **windows):
            bright = images[modality] > above
            probabilities = np.zeros((model.description.classes, *bright.shape), np.float32)
            probabilities[0], probabilities[2] = ~bright, bright
            return dict.fromkeys(combinations, probabilities)

        monkeypatch.setattr("hga_cli.workflows.predict.predict_combinations", one_hot)

    return use


def two_levels(shape, seed=0):
    """Voxels (int16) of nothing, dark and bright tissue, each anywhere, but nothing on the first planes."""
    generator = np.random.default_rng([seed, *shape])
    voxels = generator.choice(np.array([0, DARK, BRIGHT], np.int16), size=shape)
    voxels[: shape[0] // 4] = 0
    voxels[-1, -1, -1], voxels[-1, -1, 0] = DARK, BRIGHT
    return voxels


def predicted(model, path, folder):
    (result,) = predict(model, find_inputs([path], model), folder)
    return nibabel.load(result.output)


def oblique(affine, degrees=17.0):
    """Turn an affine about two axes."""
    angle = np.radians(degrees)
    cosine, sine = np.cos(angle), np.sin(angle)
    about_x = np.array([[1, 0, 0], [0, cosine, -sine], [0, sine, cosine]])
    about_z = np.array([[cosine, -sine, 0], [sine, cosine, 0], [0, 0, 1]])
    turned = affine.copy()
    turned[:3] = about_x @ about_z @ affine[:3]
    return turned


def test_all_orientations_are_tried():
    assert len(set(CODES)) == 48


@pytest.mark.parametrize("codes", CODES)
def test_orientation(model, threshold, affine, volume, tmp_path, codes):
    threshold("flair")
    shape = (7, 9, 5)
    grid = affine(codes, (0.9, 1.1, 3.0), shape)
    assert "".join(nibabel.aff2axcodes(grid)) == codes
    voxels = two_levels(shape)
    made = predicted(model, volume(tmp_path / "x_flair.nii.gz", voxels, grid), tmp_path / "masks")
    assert np.array_equal(np.asarray(made.dataobj), 2 * (voxels == BRIGHT))
    assert np.array_equal(made.affine, nibabel.load(tmp_path / "x_flair.nii.gz").affine)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("codes", ["RAS", "PIL"])
def test_shape(model, threshold, affine, volume, tmp_path, codes, shape):
    threshold("flair")
    voxels = two_levels(shape)
    path = volume(tmp_path / "x_flair.nii.gz", voxels, affine(codes, (0.9, 1.1, 3.0), shape))
    assert np.array_equal(np.asarray(predicted(model, path, tmp_path / "masks").dataobj), 2 * (voxels == BRIGHT))


@pytest.mark.parametrize("codes", ["RAS", "LPS", "SRA", "PIL", "IPR"])
def test_oblique(model, threshold, affine, volume, tmp_path, codes):
    threshold("flair")
    shape = (7, 9, 5)
    voxels, grid = two_levels(shape), oblique(affine(codes, (0.9, 1.1, 3.0), shape))
    made = predicted(model, volume(tmp_path / "x_flair.nii.gz", voxels, grid), tmp_path / "masks")
    assert np.array_equal(np.asarray(made.dataobj), 2 * (voxels == BRIGHT))
    np.testing.assert_allclose(made.affine, grid, atol=1e-5)


@pytest.mark.parametrize("codes", ["RAS", "LPS", "SRA", "PIL", "IPR", "AIR"])
def test_files_turned_against_each_other(model, threshold, affine, volume, tmp_path, codes):
    """FLAIR lies in RAS order, T2 on the same grid in another order; the map follows FLAIR and shows T2."""
    threshold("t2")
    shape = (7, 9, 5)
    grid = affine("RAS", (0.9, 1.1, 3.0), shape)
    flair, t2 = two_levels(shape, seed=1), two_levels(shape, seed=2)
    turn = nibabel.orientations.axcodes2ornt(codes)
    turned = nibabel.Nifti1Image(t2, grid).as_reoriented(
        nibabel.orientations.ornt_transform(nibabel.orientations.axcodes2ornt("RAS"), turn)
    )
    assert "".join(nibabel.aff2axcodes(turned.affine)) == codes
    volume(tmp_path / "x" / "x_flair.nii.gz", flair, grid)
    volume(tmp_path / "x" / "x_t2.nii.gz", np.asarray(turned.dataobj), turned.affine)
    made = predicted(model, tmp_path / "x", tmp_path / "masks")
    assert made.shape == shape
    assert np.array_equal(np.asarray(made.dataobj), 2 * (t2 == BRIGHT))


@pytest.mark.parametrize(
    ("codes", "sform", "qform", "kind"),
    [
        ("LAS", 1, 1, nibabel.Nifti1Image),
        ("LAS", 2, 1, nibabel.Nifti1Image),
        ("RPI", 0, 1, nibabel.Nifti1Image),
        ("RPI", 4, 0, nibabel.Nifti1Image),
        ("PSR", 1, 1, nibabel.Nifti2Image),
    ],
    ids=["both", "other codes", "qform only", "sform only", "NIfTI-2"],
)
def test_header_is_that_of_the_scan(model, threshold, affine, tmp_path, codes, sform, qform, kind):
    """Two matrices that differ a little, their codes and the units come back as they were, to the bit."""
    threshold("flair")
    shape = (7, 9, 5)
    grid = oblique(affine(codes, (0.9, 1.1, 3.0), shape))
    almost = grid.copy()
    almost[:3, 3] += 0.004
    image = kind(two_levels(shape), grid)
    image.set_sform(grid, sform)
    image.set_qform(almost, qform)
    image.header.set_xyzt_units("mm", "sec")
    image.header["pixdim"][4] = 2.5
    image.header["cal_max"] = 777
    nibabel.save(image, tmp_path / "x_flair.nii.gz")
    scan = nibabel.load(tmp_path / "x_flair.nii.gz").header
    made = predicted(model, tmp_path / "x_flair.nii.gz", tmp_path / "masks")
    assert isinstance(made, kind)
    exact = ["dim", "pixdim", "sform_code", "qform_code", "srow_x", "srow_y", "srow_z", "xyzt_units"]
    exact += ["quatern_b", "quatern_c", "quatern_d", "qoffset_x", "qoffset_y", "qoffset_z"]
    for field in exact:
        assert np.array_equal(made.header[field], scan[field]), field
    assert made.dataobj.slope == 1
    assert made.dataobj.inter == 0
    assert made.get_data_dtype() == np.uint8


def test_fourth_axis_of_length_one(model, threshold, affine, volume, tmp_path):
    threshold("flair")
    voxels = two_levels((7, 9, 5))
    path = volume(tmp_path / "x_flair.nii.gz", voxels[..., None], affine("LPS", (0.9, 1.1, 3.0), (7, 9, 5)))
    made = np.asarray(predicted(model, path, tmp_path / "masks").dataobj)
    assert np.array_equal(made.reshape(voxels.shape), 2 * (voxels == BRIGHT))


@pytest.mark.parametrize("codes", ["RAS", "LPI", "SAR"])
@pytest.mark.parametrize("spacing", [(2.0, 2.0, 2.0), (1.3, 0.7, 2.9)], ids=["coarser", "mixed"])
def test_resampling_does_not_shift(model, threshold, affine, volume, tmp_path, codes, spacing):
    """On a coarser grid an egg far from the centre comes back in its place, to a fraction of a voxel."""
    shape = (40, 36, 30)
    index = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), -1)
    egg = (((index - (12, 21, 11)) / (8, 6, 7)) ** 2).sum(-1) < 1
    voxels = np.where(egg, BRIGHT, DARK).astype(np.int16)
    voxels[0], voxels[:, -2:], voxels[..., :3] = 0, 0, 0
    tissue = voxels[voxels > 0]
    threshold("flair", above=((DARK + BRIGHT) / 2 - tissue.mean()) / tissue.std())
    path = volume(tmp_path / "x_flair.nii.gz", voxels, affine(codes, (1.0, 1.0, 1.5), shape))
    resampling = replace(model, preparation=replace(model.preparation, spacing=spacing))
    made = np.asarray(predicted(resampling, path, tmp_path / "masks").dataobj) == 2
    assert 2 * (made & egg).sum() / (made.sum() + egg.sum()) > 0.9
    shift = np.argwhere(made).mean(0) - np.argwhere(egg).mean(0)
    assert np.abs(shift).max() < 0.3
