"""``hga export``: one file that holds all of a model and nothing of the patients."""

import json
import shutil

import pytest
from _patients import folder_with
from safetensors import safe_open

from hga_cli.data.store import Store


@pytest.fixture(scope="module")
def exported(hga, road, tmp_path_factory):
    """The file, and what was said."""
    path = tmp_path_factory.mktemp("exported") / "model.hga"
    return path, hga("export", "road", path, "--runs-dir", road.runs_dir, "--json").document


@pytest.fixture
def given_away(hga, exported, tmp_path):
    """The function that predicts with the file, far from any run or store."""

    def run(*arguments, model=exported[0], code=0):
        nowhere = ["--runs-dir", tmp_path / "nowhere"]
        return hga(
            "predict", *arguments, "--model", model, *nowhere, "--device", "cpu", "-o", tmp_path / "m", code=code
        )

    return run


def about(path):
    with safe_open(path, framework="np") as file:
        return json.loads(file.metadata()["about"])


def damaged(path, target, places=(-5,)):
    content = bytearray(path.read_bytes())
    for place in places:
        content[place] ^= 1
    target.write_bytes(content)
    return target


class TestUse:
    """What was given away predicts the same."""

    def test_same_label_map_and_same_hash(self, given_away, predict, exported, files, expected, tmp_path):
        folder = folder_with(tmp_path / "in" / "p", files, ["flair", "t2"])
        (result,) = given_away(folder, "--json").document["results"]
        (of_run,) = predict(folder, "--json")[0].document["results"]
        assert (tmp_path / "m" / "p.nii.gz").read_bytes() == (tmp_path / "masks" / "p.nii.gz").read_bytes()
        assert result["model"] == of_run["model"]
        assert result["model"]["digest"] == exported[1]["digest"]
        assert result["expected"] == of_run["expected"]

    def test_label_map_of_the_run_counts_as_one_of_the_file(self, given_away, predict, files, tmp_path):
        predict(files["flair"], output=tmp_path / "m")
        assert given_away(files["flair"], "--json").document["results"][0]["skipped"] is True

    def test_it_is_said_which_model_is_used(self, given_away, predict, exported, files):
        assert f"model of run road (file {exported[0]}, trained 40 steps)" in given_away(files["flair"]).err
        outcome = given_away(files["flair"], "--json")
        assert (outcome.document["run"], outcome.document["checkpoint"]) == ("road", str(exported[0]))
        assert "(last checkpoint, trained 40 steps)" in predict(files["flair"])[0].err

    def test_folder_of_a_run(self, given_away, road, files):
        assert given_away(files["flair"], "--json", model=road.run).document["run"] == "road"

    def test_training_data_are_compared_with(self, exported):
        assert about(exported[0])["seen"].keys() == {"spacing", "box_mm", "box_share", "foreground"}

    def test_best_checkpoint(self, hga, road, tmp_path):
        run = road.copy_of_run(tmp_path / "runs")
        shutil.copy(run / "checkpoints" / "last.safetensors", run / "checkpoints" / "best.safetensors")
        best = ["--set", "evaluation.checkpoint=best", "--runs-dir", tmp_path / "runs"]
        outcome = hga("export", "road", tmp_path / "model.hga", *best)
        assert "the best checkpoint of run road, 40 steps" in outcome.out
        (run / "checkpoints" / "best.safetensors").unlink()
        says = ["was not validated", "evaluation.checkpoint=last"]
        hga.refuses("export", "road", tmp_path / "other.hga", *best, code=4, says=says)


class TestContents:
    """Weights and what is needed to use them."""

    def test_document(self, exported):
        path, document = exported
        assert document["bytes"] == path.stat().st_size
        assert document["modalities"] == ["flair", "t1ce", "t1", "t2"]
        assert document["regions"][:3] == ["WT", "TC", "ET"]
        assert (document["steps"], document["checkpoint"]) == (40, "last")
        assert len(document["expected"]["dice"]) == 15

    def test_others_may_read_it(self, exported):
        assert exported[0].stat().st_mode & 0o444 == 0o444

    def test_nothing_of_the_optimiser(self, exported, road):
        with safe_open(exported[0], framework="np") as file:
            assert all(name.startswith("model.") for name in file.keys())  # noqa: SIM118
        assert exported[0].stat().st_size < (road.run / "checkpoints" / "last.safetensors").stat().st_size / 2

    def test_nothing_of_the_patients(self, exported, road):
        content = exported[0].read_bytes()
        cases = sorted(Store(road.store).cases)
        assert len(cases) == 12
        for word in [*cases, "Phantom", str(road.store), str(road.runs_dir), "/tmp", "pytest", "sample_data", "mr2468"]:
            assert word.encode() not in content, word
        assert not about(exported[0])["config"]["data"].keys() & {"split", "imbalance"}

    def test_hashes_of_what_it_was_trained_on(self, exported):
        assert about(exported[0])["sources"].keys() == {"split", "available", "cases"}


class TestRefusals:
    """A file is never replaced unasked, and never believed unread."""

    def test_there_already(self, hga, road, tmp_path):
        arguments = ["export", "road", tmp_path / "model.hga", "--runs-dir", road.runs_dir]
        (tmp_path / "model.hga").write_text("mine")
        hga.refuses(*arguments, code=3, says=["is there already", "--overwrite"])
        assert (tmp_path / "model.hga").read_text() == "mine"
        hga(*arguments, "--overwrite")
        assert about(tmp_path / "model.hga")["name"] == "road"

    def test_no_such_run(self, hga, road, tmp_path):
        arguments = ["export", "raod", tmp_path / "model.hga", "--runs-dir", road.runs_dir]
        hga.refuses(*arguments, code=3, says=["no run 'raod'", "did you mean 'road'?"])

    @pytest.mark.parametrize(
        ("make", "says"),
        [
            (lambda path, target: damaged(path, target), "its contents are not what was written"),
            (lambda path, target: target.write_bytes(path.read_bytes()[:-9]), "is damaged"),
            (lambda path, target: target.write_text("no model"), "is damaged"),
            (lambda path, target: None, "no model file"),
        ],
        ids=["one bit", "cut off", "text", "absent"],
    )
    def test_file_that_is_no_model(self, given_away, exported, files, tmp_path, make, says):
        make(exported[0], tmp_path / "x.hga")
        err = given_away(files["flair"], model=tmp_path / "x.hga", code=4).err
        assert says in err
        assert "hint: " in err
        assert not (tmp_path / "m").exists()

    def test_folder_that_is_no_run(self, given_away, files, tmp_path):
        (tmp_path / "empty").mkdir()
        assert "is no run folder" in given_away(files["flair"], model=tmp_path / "empty", code=3).err

    def test_two_models(self, hga, exported, road, files):
        models = ["--model", exported[0], "--run", "road", "--runs-dir", road.runs_dir]
        hga.refuses("predict", files["flair"], *models, code=2, says="both name a model")
