"""The record beside a label map: what is in it, when it lets a case be skipped, and when it makes ``hga`` refuse."""

import json
import shutil
from datetime import datetime

import nibabel
import numpy as np
import pytest
from _patients import CASE, folder_with, on_road

from hga_cli import __version__
from hga_cli.imaging.volume import file_digest


@pytest.fixture
def folder(files, tmp_path):
    return folder_with(tmp_path / "in" / "p", files, ["t2", "flair"])


@pytest.fixture
def record(tmp_path):
    """The function that reads the record of case p."""
    return lambda: json.loads((tmp_path / "masks" / "p.json").read_text(encoding="utf-8"))


@pytest.fixture
def old(tmp_path):
    return tmp_path / "masks" / "p.nii.gz"


class TestContents:
    """Where a label map comes from can be read beside it."""

    def test_all_of_it(self, predict, road, folder, record):
        (result,) = predict(folder, "--json")[0].document["results"]
        told = record()
        assert (told["format"], told["version"]) == ("hga-prediction", 1)
        assert told["case"] == "p"
        assert told["combination"] == "flair+t2"
        assert told["modalities"] == {name: str(folder / f"p_{name}.nii.gz") for name in ("flair", "t2")}
        assert told["inputs"] == {name: file_digest(folder / f"p_{name}.nii.gz") for name in ("flair", "t2")}
        assert told["model"].keys() == {"name", "digest", "steps"}
        assert (told["model"]["name"], told["model"]["steps"]) == ("road", 40)
        assert told["settings"]["overlap"] == 0.5
        assert told["settings"]["align"] is False
        assert told["hga"] == __version__
        assert abs((datetime.now().astimezone() - datetime.fromisoformat(told["date"])).total_seconds()) < 600
        assert told["outputs"] == {"labels": "p.nii.gz"}
        assert told["volumes_ml"] == result["volumes_ml"]
        assert all(result[key] == value for key, value in told.items() if key not in ("format", "version"))

    def test_constant_image_is_an_input_that_was_not_used(self, predict, files, folder, record):
        image = nibabel.load(files["t1"])
        constant = np.full(image.shape, 7, np.int16)
        nibabel.save(nibabel.Nifti1Image(constant, image.affine, image.header), folder / "p_t1.nii.gz")
        predict(folder)
        assert (list(record()["inputs"]), list(record()["modalities"])) == (["flair", "t1", "t2"], ["flair", "t2"])
        assert "constant" in record()["warnings"][0]
        assert "skipped" in predict(folder)[0].out

    def test_same_image_twice(self, predict, files, tmp_path):
        """[P05]"""
        folder = folder_with(tmp_path / "in" / "p", files, ["flair"])
        shutil.copy(files["flair"], folder / "p_t2.nii.gz")
        assert "warning: p: flair and t2 are the same image" in predict(folder)[0].err


class TestSkipped:
    """The same model, scans and settings: nothing to do, which is said."""

    def test_all_the_same(self, predict, folder, record, old):
        (first,) = predict(folder, "--json")[0].document["results"]
        before, told = old.read_bytes(), record()
        outcome = predict(folder)[0]
        assert "skipped: is there already" in outcome.out
        assert " flair+t2 " in outcome.out
        (again,) = predict(folder, "--json")[0].document["results"]
        assert (first["skipped"], again["skipped"]) == (False, True)
        assert {**again, "skipped": False} == first
        assert (old.read_bytes(), record()) == (before, told)

    def test_new_case_beside_it(self, predict, files, tmp_path):
        folder_with(tmp_path / "in" / "p", files, ["flair"])
        predict(tmp_path / "in")
        folder_with(tmp_path / "in" / "q", files, ["t2"], "q")
        results = predict(tmp_path / "in", "--json")[0].document["results"]
        assert [(result["case"], result["skipped"]) for result in results] == [("p", True), ("q", False)]

    def test_record_without_label_map_is_an_interrupted_prediction(self, predict, folder, expected, old):
        predict(folder)
        old.unlink()
        assert np.array_equal(predict(folder)[1]["p"], expected["flair", "t2"])


class TestRefused:
    """Something else is in the way: nothing is predicted or touched, until ``--overwrite`` says so."""

    @pytest.fixture
    def refuses(self, hga, road, folder, tmp_path, expected):
        def run(*more, says, source=folder):
            masks = tmp_path / "masks"
            before = {path.name: path.read_bytes() for path in masks.iterdir()}
            arguments = ["predict", source, *on_road(road), "-o", masks, *more]
            err = hga.refuses(*arguments, code=3, says=["nothing was predicted", "--overwrite", says])
            assert {path.name: path.read_bytes() for path in masks.iterdir()} == before
            assert hga(*arguments, "--overwrite", "--json").document["results"][0]["skipped"] is False
            assert hga(*arguments, "--json").document["results"][0]["skipped"] is True
            return err

        return run

    def test_label_map_of_somebody_else(self, refuses, files, old):
        old.parent.mkdir()
        shutil.copy(files["t1"], old)
        refuses(says="no record 'p.json' of 'hga predict' says what it was made from")

    def test_json_of_somebody_else(self, refuses, old):
        old.parent.mkdir()
        old.with_name("p.json").write_text('{"mine": 1}')
        refuses(says="no record 'p.json'")

    def test_further_file_of_somebody_else(self, predict, hga, road, files, folder, old):
        predict(folder)
        mine = old.with_name("p_entropy.nii.gz")
        shutil.copy(files["t1"], mine)
        predict(folder, "--overwrite")  # writes no such file, so it is not touched
        more = ["--set", "prediction.uncertainty=true"]
        hga.refuses("predict", folder, *on_road(road), "-o", old.parent, *more, code=3, says=[str(mine), "no record"])
        assert mine.read_bytes() == files["t1"].read_bytes()
        predict(folder, "--overwrite", *more)
        assert mine.read_bytes() != files["t1"].read_bytes()

    def test_other_scan(self, predict, refuses, files, folder):
        predict(folder)
        shutil.copy(files["t1"], folder / "p_t2.nii.gz")
        refuses(says="the file of t2 was another")

    def test_other_modalities(self, predict, refuses, files, folder):
        predict(folder)
        shutil.copy(files["t1"], folder / "p_t1.nii.gz")
        refuses(says="it was made from flair+t2, not flair+t1+t2")

    def test_other_settings(self, predict, refuses, folder):
        predict(folder)
        err = refuses("--set", "evaluation.overlap=0.25", "--align", says="overlap was 0.5, is 0.25")
        assert "align was False, is True" in err

    def test_label_map_that_was_edited(self, predict, refuses, folder, old):
        predict(folder)
        image = nibabel.load(old)
        labels = np.asarray(image.dataobj).copy()
        labels[0, 0, 0] = 4
        nibabel.save(nibabel.Nifti1Image(labels, image.affine, image.header), old)
        refuses(says="somebody changed it since")

    def test_label_map_that_was_cut_off(self, predict, refuses, folder, old):
        predict(folder)
        old.write_bytes(old.read_bytes()[:100])
        refuses(says="is not a whole NIfTI file")

    def test_label_map_of_another_type_is_the_same(self, predict, folder, old):
        """Programs store label maps as they like."""
        predict(folder)
        image = nibabel.load(old)
        labels = np.asarray(image.dataobj).astype(np.float64)
        nibabel.save(nibabel.Nifti1Image(labels, image.affine), old)
        assert "skipped" in predict(folder)[0].out

    def test_other_model(self, predict, road, hga, folder, old, tmp_path):
        predict(folder)
        training = ["train", "--dataset", "brats", "-c", road.run / "config.toml", "--data-dir", road.data_dir]
        hga(*training, "--epochs", 0, "--device", "cpu", "--run", "other", "--runs-dir", tmp_path / "runs")
        before = old.read_bytes()
        arguments = ["predict", folder, "--runs-dir", tmp_path / "runs", "--device", "cpu", "-o", old.parent]
        hga.refuses(*arguments, code=3, says=["it was made by model 'road' (", "not 'other' ("])
        assert old.read_bytes() == before


class TestExpectation:
    """What validation or an evaluation measured for just these modalities is shown beside the result."""

    def test_of_validation(self, predict, road, folder, record):
        outcome = predict(folder)[0]
        told = record()["expected"]
        assert told["measured_on"] == "validation"
        assert told["dice"].keys() <= {"WT", "TC", "ET", "ETpp"}
        (line,) = [line for line in outcome.out.splitlines() if line.startswith("flair+t2: ")]
        assert f"expect a Dice of WT {told['dice']['WT']:.2f}" in line
        assert "validation" in line

    def test_of_an_evaluation(self, hga, road, folder, record, tmp_path):
        run = road.copy_of_run(tmp_path / "runs")
        arguments = ["predict", folder, "--runs-dir", tmp_path / "runs", "--device", "cpu", "-o", tmp_path / "masks"]
        hga(*arguments)
        digest = record()["model"]["digest"]
        scores = {"flair+t2": {"ET": 0.35, "WT": 0.8}, "flair+t1ce+t2": {"ET": 0.78, "WT": 0.81}, "flair": {"WT": None}}
        table = {
            name: {region: {"dice": 1.0, "dice_with_structure": dice} for region, dice in row.items()}
            for name, row in scores.items()
        }
        cases = [
            {"case": "a", "combination": name, "region": region, "reference_voxels": 9, "raw_dice": dice}
            for name, row in scores.items()
            for region, dice in row.items()
            if dice is not None
        ]
        measured = {"split": "test", "modalities": ["flair", "t1ce", "t1", "t2"], "cases": cases, "combinations": table}

        def told(text):
            (run / "metrics.json").write_text(text)
            return hga(*arguments, "--overwrite").out

        metrics = {**measured, "origin": {"model": {"digest": digest}}}
        line = "flair+t2: expect a Dice of ET 0.35  WT 0.80 (mean in test); adding t1ce: ET Dice 0.35 -> 0.78 (n=1, "
        assert f"{line}the same cases in test)" in told(json.dumps(metrics))
        for other in ({"model": {"digest": "another"}}, {}):
            assert "(mean in validation)" in told(json.dumps({**metrics, "origin": other}))
        (run / "metrics.json").write_text('{"split"')
        hga.refuses(*arguments, code=3, says=["metrics.json' is damaged", "hga evaluate"])

    def test_of_what_evaluate_writes(self, hga, road, folder, record, tmp_path):
        run = road.copy_of_run(tmp_path / "runs")
        on_copy = ["--runs-dir", tmp_path / "runs", "--device", "cpu"]
        hga("evaluate", "road", *on_copy, "--data-dir", road.data_dir)
        hga("predict", folder, *on_copy, "-o", tmp_path / "masks")
        measured = json.loads((run / "metrics.json").read_text())["combinations"]["flair+t2"]
        assert record()["expected"]["measured_on"] == "test"
        assert record()["expected"]["dice"] == {region: row["dice_with_structure"] for region, row in measured.items()}

    def test_unknown(self, hga, tiny, tmp_path):
        words = ["predict", tiny.top / "raw" / "Tiny-00002-000", *tiny.runs, "--device", "cpu", "-o", tmp_path]
        told = hga(*tiny.training("--run", "blind", "--epochs", 1, "--set", "validation.every=0"))
        assert told.code == 0
        outcome = hga(*words, "--run", "blind")
        assert "was never measured" in outcome.out


class TestUnlikeTraining:
    """A scan that looks like none of the training data is predicted with a warning."""

    def test_thick_slices(self, predict, files, tmp_path):
        image = nibabel.load(files["flair"])
        thick = nibabel.Nifti1Image(np.asarray(image.dataobj)[:, :, ::4], image.affine @ np.diag([1, 1, 4, 1]))
        nibabel.save(thick, tmp_path / "p_flair.nii.gz")
        assert "warning: p: unlike the training cases: voxel size is" in predict(tmp_path / "p_flair.nii.gz")[0].err

    def test_head_with_its_surroundings(self, predict, files, tmp_path):
        image = nibabel.load(files["flair"])
        data = np.asarray(image.dataobj) + 20
        nibabel.save(nibabel.Nifti1Image(data, image.affine), tmp_path / "p_flair.nii.gz")
        assert "was the brain extracted?" in predict(tmp_path / "p_flair.nii.gz")[0].err

    def test_usual_case(self, predict, sample_data):
        assert predict(sample_data / CASE, "--json")[0].document["results"][0]["warnings"] == []


class TestExtras:
    """Probabilities and maps of uncertainty, on request."""

    def test_they_lie_beside_the_label_map(self, predict, folder, record, tmp_path):
        more = ["--set", "prediction.probabilities=true", "--set", "prediction.uncertainty=true"]
        masks = predict(folder, *more)[1]
        names = ["disagreement", "entropy", "probabilities"]
        assert sorted(masks) == ["p", *(f"p_{name}" for name in names)]
        assert record()["outputs"] == {"labels": "p.nii.gz", **{name: f"p_{name}.nii.gz" for name in names}}
        values = np.array([0, 1, 2, 4])  # of the classes, in their order: necrosis 1, oedema 2, enhancing 4
        assert masks["p_probabilities"].shape == (*masks["p"].shape, 4)
        np.testing.assert_allclose(masks["p_probabilities"].sum(-1), 1, atol=1e-5)
        assert np.array_equal(values[masks["p_probabilities"].argmax(-1)], masks["p"])
        shares = masks["p_probabilities"].astype(float)
        entropy = -(shares * np.log(np.maximum(shares, 1e-12))).sum(-1) / np.log(4)
        assert masks["p_entropy"] == pytest.approx(entropy, abs=1e-3)
        for name in ("entropy", "disagreement"):
            assert masks[f"p_{name}"].shape == masks["p"].shape
            assert masks[f"p_{name}"].min() >= 0
            assert 0 < masks[f"p_{name}"].max() <= 1
            made, scan = nibabel.load(tmp_path / "masks" / f"p_{name}.nii.gz"), nibabel.load(folder / "p_t2.nii.gz")
            assert np.array_equal(made.affine, scan.affine)

    def test_one_modality_does_not_contradict_itself(self, predict, files):
        masks = predict(files["flair"], "--set", "prediction.uncertainty=true")[1]
        assert not masks[f"{CASE}_disagreement"].any()
        assert masks[f"{CASE}_entropy"].any()

    def test_old_ones_do_not_stay(self, predict, folder, tmp_path):
        predict(folder, "--set", "prediction.uncertainty=true")
        predict(folder, "--overwrite")
        assert sorted(path.name for path in (tmp_path / "masks").iterdir()) == ["p.json", "p.nii.gz"]

    def test_what_was_deleted_is_made_again(self, predict, folder, tmp_path):
        more = ["--overlay", "--set", "prediction.probabilities=true"]
        predict(folder, *more)
        for name in ("p_overlay.png", "p_probabilities.nii.gz"):
            (tmp_path / "masks" / name).unlink()
            assert "skipped" not in predict(folder, *more)[0].out
            assert (tmp_path / "masks" / name).exists()
        assert "skipped" in predict(folder, *more)[0].out

    def test_deleted_ones_do_not_let_other_masks_be_replaced(self, predict, folder, tmp_path):
        predict(folder, "--overlay")
        (tmp_path / "masks" / "p_overlay.png").unlink()
        outcome, _ = predict(folder, "--overlay", "--set", "evaluation.overlap=0.25", code=3)
        assert "overlap was 0.5, is 0.25" in outcome.err

    @pytest.mark.parametrize("setting", ["flips=true", "blending=gaussian"])
    def test_windows(self, predict, folder, expected, setting):
        masks = predict(folder, "--set", f"prediction.{setting}")[1]
        assert masks["p"].shape == expected["flair", "t2"].shape
        assert not np.array_equal(masks["p"], expected["flair", "t2"])
