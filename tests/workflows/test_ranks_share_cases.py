"""Two processes (gloo) that share the cases of ``evaluate`` and ``predict`` do what one does, and one of them tells."""

import json
import shutil

import numpy as np
import pytest
from _together import HGA, together

from hga_cli.imaging.volume import read_volume

TRAIN = ["--split", "train", "--combinations", "flair,t1ce+t2", "--set", "evaluation.extras=['calibration','lesions']"]


def on_cpu(road, *more):
    return [*more, "--runs-dir", road.runs_dir, "--device", "cpu"]


def one_document(outcomes, code=0):
    """The document on the stdout of the first process; the others have nothing to say."""
    assert [outcome[0] for outcome in outcomes] == [code] * len(outcomes), "".join(err for _, _, err in outcomes)
    assert not any("Traceback" in err for _, _, err in outcomes)
    assert not any(out for _, out, _ in outcomes[1:])
    return json.loads(outcomes[0][1])


@pytest.fixture(scope="module")
def alone(hga, road, tmp_path_factory):
    """What one process says of the training cases."""
    folder = tmp_path_factory.mktemp("alone")
    hga(*on_cpu(road, "evaluate", *TRAIN, "-o", folder))
    return folder


class TestEvaluate:
    """Scores."""

    def test_same_files_as_one_process(self, road, alone, tmp_path):
        outcomes = together(HGA, *on_cpu(road, "evaluate", *TRAIN, "-o", tmp_path, "--json"))
        assert one_document(outcomes) == json.loads((alone / "metrics.json").read_text())
        for name in ("metrics.json", "metrics.csv"):
            assert (tmp_path / name).read_bytes() == (alone / name).read_bytes()
        assert sorted(path.name for path in tmp_path.iterdir()) == ["metrics.csv", "metrics.json"]
        assert "evaluate 5/5" in outcomes[0][2]  # of 9 training cases
        assert outcomes[1][2] == ""

    def test_what_one_process_began_two_end(self, hga, road, alone, tmp_path):
        """A third of the cases is kept; the two share what is left, and nothing is scored twice."""
        hga(*on_cpu(road, "evaluate", *TRAIN, "-o", tmp_path, "--shard", "1/3"))
        kept = {path: path.stat().st_mtime_ns for path in tmp_path.rglob(".hga-scores/*/*.json")}
        assert kept
        outcomes = together(HGA, *on_cpu(road, "evaluate", *TRAIN, "-o", tmp_path, "--shard", "2/3", "--json"))
        document = one_document(outcomes)
        assert document["shard"] == [2, 3]
        assert {path: path.stat().st_mtime_ns for path in kept} == kept
        outcomes = together(HGA, *on_cpu(road, "evaluate", *TRAIN, "-o", tmp_path, "--json"))
        assert one_document(outcomes) == json.loads((alone / "metrics.json").read_text())

    def test_an_error_is_told_once(self, road, tmp_path):
        outcomes = together(HGA, *on_cpu(road, "evaluate", "--split", "tset", "-o", tmp_path))
        assert [code for code, _, _ in outcomes] == [2, 2]
        assert sum(err.count("error: no part of a split called 'tset'") for _, _, err in outcomes) == 1

    def test_masks_need_no_second_process(self, hga, tmp_path, monkeypatch):
        for name, value in {"WORLD_SIZE": 2, "RANK": 0, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": 1}.items():
            monkeypatch.setenv(name, str(value))
        words = ["--predictions", tmp_path, "--references", tmp_path]
        hga.refuses("evaluate", *words, code=2, says=["done by one process", "torchrun"])


class TestPredict:
    """Label maps."""

    CASES = ("a", "b", "c")

    @pytest.fixture
    def patients(self, sample_data, tmp_path):
        """A folder of three cases."""
        for case, number in zip(self.CASES, (1, 2, 3), strict=True):
            (tmp_path / "in" / case).mkdir(parents=True)
            phantom = f"Phantom-0000{number}-000"
            scan = sample_data / phantom / f"{phantom}-t2f.nii.gz"
            shutil.copy(scan, tmp_path / "in" / case / f"{case}_flair.nii.gz")
        return tmp_path / "in"

    def test_same_label_maps_as_one_process(self, hga, road, patients, tmp_path):
        alone = hga(*on_cpu(road, "predict", patients, "-o", tmp_path / "alone", "--json")).document
        outcomes = together(HGA, *on_cpu(road, "predict", patients, "-o", tmp_path / "masks", "--json"))
        document = one_document(outcomes)
        assert [one["case"] for one in document["results"]] == list(self.CASES)
        for one, other in zip(document["results"], alone["results"], strict=True):
            assert (one["voxels"], one["volumes_ml"]) == (other["voxels"], other["volumes_ml"])
            maps = [read_volume(tmp_path / folder / f"{one['case']}.nii.gz").data for folder in ("alone", "masks")]
            assert np.array_equal(*maps)
        again = one_document(together(HGA, *on_cpu(road, "predict", patients, "-o", tmp_path / "masks", "--json")))
        assert [one["skipped"] for one in again["results"]] == [True] * 3

    def test_fewer_cases_than_processes(self, road, patients, tmp_path):
        document = one_document(
            together(HGA, *on_cpu(road, "predict", patients / "a", "-o", tmp_path / "masks", "--json"))
        )
        assert [one["case"] for one in document["results"]] == ["a"]

    @pytest.mark.parametrize("broken", CASES[:2])
    def test_one_case_fails(self, road, patients, tmp_path, broken):
        """Whichever process has it: the others are written and shown, all end with its exit code."""
        (patients / broken / f"{broken}_flair.nii.gz").write_bytes(b"no scan")
        outcomes = together(HGA, *on_cpu(road, "predict", patients, "-o", tmp_path / "masks", "--json"))
        document = one_document(outcomes, code=3)
        left = [case for case in self.CASES if case != broken]
        assert [one["case"] for one in document["results"]] == left
        assert [one["case"] for one in document["problems"]] == [broken]
        assert sum(err.count("error: 1 of 3 cases could not be predicted") for _, _, err in outcomes) == 1
        written = sorted(path.name for path in (tmp_path / "masks").iterdir())
        assert written == sorted(f"{case}{ending}" for case in left for ending in (".json", ".nii.gz"))

    def test_what_is_in_the_way_stops_all(self, road, patients, tmp_path):
        (tmp_path / "masks").mkdir()
        (tmp_path / "masks" / "b.nii.gz").write_text("mine")
        outcomes = together(HGA, *on_cpu(road, "predict", patients, "-o", tmp_path / "masks"))
        assert [code for code, _, _ in outcomes] == [3, 3]
        assert [path.name for path in (tmp_path / "masks").iterdir()] == ["b.nii.gz"]
