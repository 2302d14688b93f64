"""The label map of ``hga predict``, and what is said about it."""

import nibabel
import numpy as np
import pytest
from _patients import CASE, folder_with, on_road


class TestLabelMap:
    """Where it lies, and what is in it."""

    @pytest.mark.parametrize("case", [CASE, "Phantom-00002-000", "Phantom-00004-000"], ids=["LAS", "LPS", "oblique"])
    def test_lies_on_the_scan(self, predict, sample_data, tmp_path, case):
        predict(sample_data / case)
        scan = nibabel.load(sample_data / case / f"{case}-t2f.nii.gz")
        made = nibabel.load(tmp_path / "masks" / f"{case}.nii.gz")
        assert made.shape == scan.shape
        assert np.array_equal(made.affine, scan.affine)
        for field in ("dim", "pixdim", "sform_code", "qform_code", "srow_x", "srow_y", "srow_z", "xyzt_units"):
            assert np.array_equal(made.header[field], scan.header[field]), field
        for field in ("quatern_b", "quatern_c", "quatern_d", "qoffset_x", "qoffset_y", "qoffset_z"):
            assert made.header[field] == scan.header[field], field
        assert made.get_data_dtype() == np.uint8
        assert {int(value) for value in np.unique(made.dataobj)} <= {0, 1, 2, 4}

    def test_document(self, predict, files, tmp_path):
        folder = folder_with(tmp_path / "in" / "p", files, ["t2", "flair"])
        outcome, masks = predict(folder, "--json")
        (result,) = outcome.document["results"]
        assert result["case"] == "p"
        assert result["modalities"] == {name: str(folder / f"p_{name}.nii.gz") for name in ("flair", "t2")}
        assert result["output"] == str(tmp_path / "masks" / "p.nii.gz")
        assert result["warnings"] == []
        voxel_ml = float(np.prod(nibabel.load(files["flair"]).header.get_zooms())) / 1000
        for region, values in {"WT": [1, 2, 4], "TC": [1, 4], "ET": [4]}.items():
            volume = np.isin(masks["p"], values).sum() * voxel_ml
            assert result["volumes_ml"][region] == pytest.approx(volume, abs=1e-3)

    def test_table_names_what_was_found(self, predict, files, tmp_path):
        folder = folder_with(tmp_path / "in" / "p", files, ["t2", "flair"])
        outcome = predict(folder)[0]
        (row,) = [line for line in outcome.out.splitlines() if " p " in line]
        assert " flair+t2 " in row
        assert str(tmp_path / "masks" / "p.nii.gz") in row

    def test_default_folder(self, hga, road, files, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        hga("predict", files["flair"], *on_road(road))
        assert (tmp_path / "predictions" / f"{CASE}.nii.gz").exists()

    def test_constant_image_counts_as_absent(self, predict, files, expected, tmp_path):
        folder = folder_with(tmp_path / "in" / "p", files, ["flair", "t1"])
        image = nibabel.load(files["t1"])
        constant = np.full(image.shape, 7, np.int16)
        nibabel.save(nibabel.Nifti1Image(constant, image.affine, image.header), folder / "p_t1.nii.gz")
        outcome, masks = predict(folder, "--json")
        (result,) = outcome.document["results"]
        assert list(result["modalities"]) == ["flair"]
        assert "constant" in result["warnings"][0]
        assert f"warning: p: {result['warnings'][0]}" in outcome.err
        assert np.array_equal(masks["p"], expected["flair",])

    def test_handful_of_nan_voxels_changes_nothing_else(self, predict, files, expected, tmp_path):
        image = nibabel.load(files["flair"])
        data = np.asarray(image.dataobj).astype(np.float32)
        assert (data[:2, :2, :2] == 0).all()  # outside of the brain: 0 is what they are replaced by
        data[:2, :2, :2] = np.nan
        nibabel.save(nibabel.Nifti1Image(data, image.affine), tmp_path / "p_flair.nii.gz")
        outcome, masks = predict(tmp_path / "p_flair.nii.gz")
        assert "8 voxels are NaN or infinite in 'p_flair.nii.gz'" in outcome.err
        assert np.array_equal(masks["p"], expected["flair",])
