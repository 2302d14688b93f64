"""``hga predict``: whatever modalities come in, a label map on their grid goes out, or a refusal that leaves none."""

import os
import shutil
import subprocess

import nibabel
import numpy as np
import pytest
from _patients import CASE, STRANGE, SUFFIXES, folder_with, mask, on_road, stacked


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
