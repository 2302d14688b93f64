"""``hga predict``: whatever modalities come in, a label map on their grid goes out, or a refusal that leaves none."""

import os
import shutil
import subprocess

import nibabel
import numpy as np
import pytest

CASE = "Phantom-00003-000"
SUFFIXES = {"flair": "t2f", "t1ce": "t1c", "t1": "t1n", "t2": "t2w"}
STRANGE = "Größe 测试 #1 (a)"


@pytest.fixture(scope="session")
def files(sample_data):
    """modality -> its file, of a case that has all."""
    return {name: sample_data / CASE / f"{CASE}-{suffix}.nii.gz" for name, suffix in SUFFIXES.items()}


@pytest.fixture
def predict(hga, road, tmp_path):
    """The function that predicts into ``masks`` and returns (outcome, case -> label map)."""

    def run(*arguments, code=0, output=tmp_path / "masks"):
        outcome = hga("predict", *arguments, *on_road(road), "-o", output, code=code)
        return outcome, {path.name.removesuffix(".nii.gz"): mask(path) for path in sorted(output.glob("*.nii.gz"))}

    return run


def on_road(road):
    return ["--runs-dir", road.runs_dir, "--device", "cpu"]


def mask(path):
    return np.asarray(nibabel.load(path).dataobj)


def folder_with(folder, files, modalities, case="p"):
    """Copy some files of a case into a folder, in BraTS 2020 style."""
    folder.mkdir(parents=True)
    for name in modalities:
        shutil.copy(files[name], folder / f"{case}_{name}.nii.gz")
    return folder


def stacked(path, files, modalities):
    """Write a 4D file with one volume for each modality."""
    images = [nibabel.load(files[name]) for name in modalities]
    data = np.stack([np.asarray(image.dataobj) for image in images], -1)
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(data, images[0].affine, images[0].header), path)
    return path


@pytest.fixture(scope="module")
def expected(hga, road, files, tmp_path_factory):
    """combination -> label map, predicted from folders that hold just these modalities."""
    top = tmp_path_factory.mktemp("expected")
    made = {}
    for names in (("flair",), ("t2",), ("flair", "t2"), tuple(SUFFIXES)):
        folder = folder_with(top / "+".join(names) / "p", files, names)
        hga("predict", folder, *on_road(road), "-o", top / "masks" / "+".join(names))
        made[names] = mask(top / "masks" / "+".join(names) / "p.nii.gz")
    assert len({array.tobytes() for array in made.values()}) == 4  # or comparing them would prove nothing
    return made


class TestInputs:
    """Case folders, folders of cases, single files, 4D files."""

    def test_case_folder(self, predict, expected, sample_data):
        outcome, masks = predict(sample_data / CASE)
        assert list(masks) == [CASE]
        assert np.array_equal(masks[CASE], expected[tuple(SUFFIXES)])
        assert "flair+t1ce+t1+t2" in outcome.out

    def test_label_of_the_folder_does_not_matter(self, predict, files, expected, tmp_path, sample_data):
        folder = folder_with(tmp_path / "in" / "p", files, SUFFIXES)
        (folder / "p_seg.nii.gz").write_bytes(b"not even a NIfTI file")
        assert np.array_equal(predict(folder)[1]["p"], expected[tuple(SUFFIXES)])

    def test_folder_of_cases(self, predict, tmp_path, sample_data):
        for case in (CASE, "Phantom-00006-000"):
            shutil.copytree(sample_data / case, tmp_path / "in" / case)
        outcome, masks = predict(tmp_path / "in", "--json")
        assert list(masks) == [CASE, "Phantom-00006-000"]
        assert [list(result["modalities"]) for result in outcome.document["results"]] == [
            list(SUFFIXES),
            ["flair", "t1ce"],
        ]

    def test_several_inputs(self, predict, sample_data):
        assert list(predict(sample_data / CASE, sample_data / "Phantom-00006-000")[1]) == [CASE, "Phantom-00006-000"]

    @pytest.mark.parametrize("name", ["x_flair.nii.gz", "x-t2f.nii.gz", "x_FLAIR.nii.gz", "flair.nii.gz"])
    def test_single_file(self, predict, files, expected, tmp_path, name):
        (tmp_path / "x").mkdir()
        shutil.copy(files["flair"], tmp_path / "x" / name)
        outcome, masks = predict(tmp_path / "x" / name, "--json")
        assert list(outcome.document["results"][0]["modalities"]) == ["flair"]
        assert list(masks) == ["x"]
        assert np.array_equal(masks["x"], expected["flair",])

    def test_files_of_one_patient(self, predict, expected, files, tmp_path):
        folder = folder_with(tmp_path / "x", files, ["flair", "t2"])
        outcome, masks = predict(folder / "p_t2.nii.gz", folder / "p_flair.nii.gz")
        assert "flair+t2" in outcome.out
        assert (masks["p"] == expected["flair", "t2"]).all()

    def test_uncompressed_file(self, predict, files, expected, tmp_path):
        nibabel.save(nibabel.load(files["t2"]), tmp_path / "x_t2.nii")
        assert np.array_equal(predict(tmp_path / "x_t2.nii")[1]["x"], expected["t2",])

    @pytest.mark.parametrize("word", ["flair.nii.gz", "."])
    def test_from_inside_the_folder(self, predict, files, tmp_path, monkeypatch, word):
        (tmp_path / "patient").mkdir()
        shutil.copy(files["flair"], tmp_path / "patient" / "flair.nii.gz")
        monkeypatch.chdir(tmp_path / "patient")
        assert list(predict(word)[1]) == ["patient"]

    def test_from_below_the_folder(self, predict, files, tmp_path, monkeypatch):
        (tmp_path / "patient" / "notes").mkdir(parents=True)
        shutil.copy(files["flair"], tmp_path / "patient" / "flair.nii.gz")
        monkeypatch.chdir(tmp_path / "patient" / "notes")
        assert list(predict("../flair.nii.gz")[1]) == ["patient"]

    def test_names_not_positions(self, predict, files, expected, tmp_path):
        """Files named in any order on the disk give the same mask [P05]."""
        for number, order in enumerate((("t2", "flair"), ("flair", "t2"))):
            folder = folder_with(tmp_path / str(number) / "p", files, order)
            masks = predict(folder, output=tmp_path / f"masks-{number}")[1]
            assert np.array_equal(masks["p"], expected["flair", "t2"])

    @pytest.mark.parametrize("order", ["flair,t2", "t2,flair", "t2, flair"])
    def test_volumes_of_one_file(self, predict, files, expected, tmp_path, order):
        path = stacked(tmp_path / "p.nii.gz", files, [name.strip() for name in order.split(",")])
        outcome, masks = predict(path, "--modalities", order, "--json")
        assert np.array_equal(masks["p"], expected["flair", "t2"])
        assert outcome.document["results"][0]["modalities"] == {"flair": str(path), "t2": str(path)}

    def test_volumes_of_one_file_in_the_wrong_order(self, predict, files, expected, tmp_path):
        """What the names say is believed: exchanged names give another mask."""
        path = stacked(tmp_path / "p.nii.gz", files, ["flair", "t2"])
        masks = predict(path, "--modalities", "t2,flair")[1]
        assert masks["p"].shape == expected["flair", "t2"].shape
        assert not np.array_equal(masks["p"], expected["flair", "t2"])

    def test_all_volumes_in_another_order(self, predict, files, expected, tmp_path):
        order = ["t2", "t1", "t1ce", "flair"]
        path = stacked(tmp_path / "p.nii.gz", files, order)
        assert np.array_equal(predict(path, "--modalities", ",".join(order))[1]["p"], expected[tuple(SUFFIXES)])


class TestOutput:
    """The label map and what is said about it."""

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

    def test_what_is_there_is_skipped_and_that_is_said(self, predict, files, tmp_path):
        folder = folder_with(tmp_path / "in" / "p", files, ["t2", "flair"])
        (tmp_path / "masks").mkdir()
        old = tmp_path / "masks" / "p.nii.gz"
        shutil.copy(files["t1"], old)
        before = old.read_bytes()
        outcome = predict(folder)[0]
        assert "skipped: is there already" in outcome.out
        assert " flair+t2 " in outcome.out
        assert predict(folder, "--json")[0].document["results"][0]["skipped"] is True
        assert old.read_bytes() == before

    def test_what_is_there_is_replaced_if_asked_for(self, predict, files, expected, tmp_path):
        folder = folder_with(tmp_path / "in" / "p", files, ["t2", "flair"])
        (tmp_path / "masks").mkdir()
        shutil.copy(files["t1"], tmp_path / "masks" / "p.nii.gz")
        outcome, masks = predict(folder, "--overwrite", "--json")
        assert outcome.document["results"][0]["skipped"] is False
        assert np.array_equal(masks["p"], expected["flair", "t2"])

    def test_only_the_label_map_is_left(self, predict, files, tmp_path):
        predict(files["flair"])
        assert [path.name for path in (tmp_path / "masks").iterdir()] == [f"{CASE}.nii.gz"]

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

    def test_folder_of_other_files(self, refuses, tmp_path):
        (tmp_path / "other").mkdir()
        (tmp_path / "other" / "brain.nrrd").touch()
        refuses(tmp_path / "other", code=3, says="it holds brain.nrrd")

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
        assert sorted(path.name for path in (tmp_path / "masks").iterdir()) == ["a.nii.gz", "c.nii.gz"]

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


class TestNames:
    """[C06] Umlauts, Chinese characters, spaces and long paths are as good as plain names."""

    @pytest.mark.parametrize("name", [STRANGE, "trailing ", "1.2.840.1", "00345", "pat_zini", "nan", "[bold]x"])
    def test_of_folders_and_cases(self, predict, files, expected, tmp_path, name):
        folder = folder_with(tmp_path / name / name, files, ["flair", "t2"], name)
        outcome, masks = predict(folder, "--json", output=tmp_path / name / "out")
        assert outcome.document["results"][0]["case"] == name.strip()
        assert np.array_equal(masks[name.strip()], expected["flair", "t2"])
        assert name.strip() in predict(folder, output=tmp_path / name / "out")[0].out

    def test_long_path(self, predict, files, expected, tmp_path):
        folder = tmp_path.joinpath(*["n" * 60] * 5)
        folder_with(folder, files, ["flair", "t2"])
        assert len(str(folder)) > 300
        assert np.array_equal(predict(folder)[1]["p"], expected["flair", "t2"])

    def test_in_a_plain_locale(self, program_path, road, files, expected, tmp_path):
        folder = folder_with(tmp_path / STRANGE / STRANGE, files, ["flair", "t2"], STRANGE)
        environment = {
            name: value for name, value in os.environ.items() if not name.startswith(("LC_", "LANG", "PYTHON"))
        }
        command = [program_path, "predict", folder, "-o", tmp_path / STRANGE / "out", *on_road(road)]
        result = subprocess.run(
            [str(word) for word in command],
            env={**environment, "LC_ALL": "C", "COLUMNS": "300"},
            capture_output=True,
            check=False,
        )
        assert result.returncode == 0, result.stderr.decode()
        assert STRANGE in result.stdout.decode()
        assert np.array_equal(mask(tmp_path / STRANGE / "out" / f"{STRANGE}.nii.gz"), expected["flair", "t2"])
