"""What ``hga predict`` refuses, and that a refusal leaves no label map that could pass for a new one."""

import shutil

import nibabel
import numpy as np
import pytest
from _patients import CASE, folder_with, on_road, stacked


class TestRefusals:
    """Nothing is guessed; what cannot be used is named, and no label map is left that could pass for a new one."""

    @pytest.fixture
    def refuses(self, hga, road, tmp_path):
        def run(*arguments, code, says):
            hga.refuses("predict", *arguments, *on_road(road), "-o", tmp_path / "masks", code=code, says=says)
            assert not (tmp_path / "masks").exists()

        return run

    def test_absent_input(self, hga, road, tmp_path):
        err = hga("predict", tmp_path / "absent", *on_road(road), code=3).err
        assert f"error: no file or folder '{tmp_path / 'absent'}'" in err

    def test_other_type(self, refuses, tmp_path):
        (tmp_path / "scan.dcm").touch()
        refuses(tmp_path / "scan.dcm", code=3, says=["is not a NIfTI file", "case folder"])

    def test_name_without_modality(self, refuses, files, tmp_path):
        shutil.copy(files["flair"], tmp_path / "scan.nii.gz")
        refuses(tmp_path / "scan.nii.gz", code=3, says=["'scan.nii.gz' does not say which modality", "x_flair.nii.gz"])

    def test_label_is_no_input(self, refuses, sample_data):
        refuses(sample_data / CASE / f"{CASE}-seg.nii.gz", code=3, says="does not say which modality")

    def test_empty_folder(self, refuses, tmp_path):
        (tmp_path / "empty").mkdir()
        refuses(tmp_path / "empty", code=3, says=["holds no case", "*flair.nii.gz", "it is empty"])

    @pytest.mark.parametrize("name", ["brain.mgz", "brain.nrrd"])
    def test_folder_of_other_files(self, refuses, tmp_path, name):
        (tmp_path / "other").mkdir()
        (tmp_path / "other" / name).touch()
        refuses(tmp_path / "other", code=3, says=["holds no case", f"it holds {name}"])

    @pytest.mark.parametrize("names", ["flair,t1cee", "flair,flair", "", "flair,t2,"])
    def test_names_of_volumes(self, refuses, files, tmp_path, names):
        path = stacked(tmp_path / "p.nii.gz", files, ["flair", "t2"])
        refuses(path, f"--modalities={names}", code=2, says="expected different ones of flair, t1ce, t1, t2")

    def test_number_of_volumes(self, refuses, files, tmp_path):
        path = stacked(tmp_path / "p.nii.gz", files, ["flair", "t2"])
        refuses(path, "--modalities", "flair", code=3, says="holds 2 volumes but 1 modalities are named")

    def test_names_of_volumes_for_a_folder(self, refuses, sample_data):
        refuses(sample_data / CASE, "--modalities", "flair,t2", code=3, says="--modalities goes with 4D files")

    def test_volumes_without_names(self, hga, road, files, tmp_path):
        path = stacked(tmp_path / "p_flair.nii.gz", files, ["flair", "t2"])
        err = hga("predict", path, *on_road(road), "-o", tmp_path / "masks", code=3).err
        assert "50x58x42x2, expected three axes" in err
        assert not list((tmp_path / "masks").glob("*"))

    def test_two_inputs_of_one_id(self, hga, road, files, tmp_path):
        folders = [folder_with(tmp_path / day / "p", files, ["flair"]) for day in ("monday", "tuesday")]
        outcome = hga("predict", *folders, *on_road(road), "-o", tmp_path / "masks", code=3)
        assert "two inputs have this id" in outcome.err
        assert not (tmp_path / "masks").exists()
        outcome = hga("predict", *folders, *on_road(road), "-o", tmp_path / "masks", "--json", code=3)
        assert [problem["case"] for problem in outcome.document["problems"]] == ["p"]

    def test_two_files_of_one_modality(self, hga, road, files, tmp_path):
        folder = folder_with(tmp_path / "p", files, ["flair"])
        shutil.copy(files["t1"], folder / "p-t2f.nii.gz")
        err = hga("predict", folder, *on_road(road), "-o", tmp_path / "masks", code=3).err
        assert "2 files for flair, expected one" in err
        assert "p-t2f.nii.gz" in err
        assert "p_flair.nii.gz" in err

    def test_images_that_do_not_lie_on_each_other(self, hga, road, files, tmp_path):
        folder = folder_with(tmp_path / "p", files, ["flair", "t2"])
        image = nibabel.load(files["t2"])
        moved = image.affine.copy()
        moved[0, 3] += 5
        nibabel.save(nibabel.Nifti1Image(np.asarray(image.dataobj), moved), folder / "p_t2.nii.gz")
        err = hga("predict", folder, *on_road(road), "-o", tmp_path / "masks", code=3).err
        assert "t2 lies up to 5 mm away from flair" in err
        assert not list((tmp_path / "masks").glob("*"))

    def test_sound_cases_are_predicted_beside_a_broken_one(self, hga, road, files, tmp_path):
        for case in ("a", "b", "c"):
            folder_with(tmp_path / "in" / case, files, ["flair"], case)
        broken = tmp_path / "in" / "b" / "b_flair.nii.gz"
        broken.write_bytes(broken.read_bytes()[:500])
        outcome = hga("predict", tmp_path / "in", *on_road(road), "-o", tmp_path / "masks", code=3)
        assert "1 of 3 cases could not be predicted" in outcome.err
        assert str(broken) in outcome.err
        left = sorted(path.name for path in (tmp_path / "masks").iterdir())
        assert left == ["a.json", "a.nii.gz", "c.json", "c.nii.gz"]
        document = hga("predict", tmp_path / "in", *on_road(road), "-o", tmp_path / "masks", "--json", code=3).document
        assert [result["case"] for result in document["results"]] == ["a", "c"]
        assert [(problem["case"], problem["file"]) for problem in document["problems"]] == [("b", str(broken))]

    def test_failure_leaves_no_old_mask(self, hga, road, files, tmp_path):
        """[P09] Last week's label map must not pass for one of the scans that failed."""
        folder = folder_with(tmp_path / "in" / "p", files, ["flair", "t2"])
        arguments = ["predict", folder, *on_road(road), "-o", tmp_path / "masks", "--overwrite"]
        hga(*arguments)
        (folder / "p_t2.nii.gz").write_bytes(b"cut off")
        hga(*arguments, code=3)
        assert list((tmp_path / "masks").iterdir()) == []

    def test_crash_leaves_no_old_mask(self, hga, road, files, tmp_path, monkeypatch):
        arguments = ["predict", files["flair"], *on_road(road), "-o", tmp_path / "masks", "--overwrite"]
        hga(*arguments)

        def crash(*_, **__):
            raise RuntimeError

        monkeypatch.setattr("hga_cli.workflows.predict.predict_combinations", crash)
        hga(*arguments, code=1)
        assert list((tmp_path / "masks").iterdir()) == []

    def test_full_disk_leaves_nothing(self, hga, road, files, tmp_path, monkeypatch):
        """[P09] Not even the record of a label map that could not be written."""

        def full(*_, **__):
            raise OSError(28, "No space left on device", "masks")

        monkeypatch.setattr("hga_cli.workflows.predict.write_label_map", full)
        more = ["--set", "prediction.uncertainty=true"]
        hga.refuses("predict", files["flair"], *on_road(road), "-o", tmp_path / "masks", *more, code=3, says="No space")
        assert list((tmp_path / "masks").iterdir()) == []

    def test_damaged_model_touches_nothing(self, hga, road, files, tmp_path):
        run = road.copy_of_run(tmp_path / "runs")
        arguments = ["predict", files["flair"], "--runs-dir", tmp_path / "runs", "-o", tmp_path / "masks"]
        hga(*arguments, "--device", "cpu")
        before = (tmp_path / "masks" / f"{CASE}.nii.gz").read_bytes()
        checkpoint = run / "checkpoints" / "last.safetensors"
        checkpoint.write_bytes(checkpoint.read_bytes()[:1000])
        hga.refuses(*arguments, "--device", "cpu", code=4, says=["damaged", str(checkpoint)])
        assert (tmp_path / "masks" / f"{CASE}.nii.gz").read_bytes() == before

    def test_no_run(self, hga, files, tmp_path):
        hga.refuses("predict", files["flair"], "--runs-dir", tmp_path, code=3, says=["no finished run", "hga train"])

    def test_output_that_is_a_file(self, hga, road, files, tmp_path):
        (tmp_path / "mask.nii.gz").write_text("mine")
        arguments = ["predict", files["flair"], *on_road(road), "-o", tmp_path / "mask.nii.gz"]
        hga.refuses(*arguments, code=3, says=str(tmp_path / "mask.nii.gz"))
        assert (tmp_path / "mask.nii.gz").read_text() == "mine"
