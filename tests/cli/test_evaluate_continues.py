"""``hga evaluate`` keeps what is finished, comes together from shards, and never scores what was trained on as new."""

import json
import shutil
from pathlib import Path

import pytest

from hga_cli.core.combinations import all_combinations, combination_name
from hga_cli.core.run_folder import RunFolder
from hga_cli.data.store import Store
from hga_cli.engine.model_file import read_model
from hga_cli.workflows.leakage import split_digest


def on_cpu(runs_dir, *more):
    return ["evaluate", "--runs-dir", runs_dir, "--device", "cpu", "--json", *more]


def document_in(folder):
    return json.loads((folder / "metrics.json").read_text())


@pytest.fixture
def counted(monkeypatch):
    """The list of cases that the network was asked about; ``counted.end_at`` interrupts at that case."""
    import hga_cli.engine.scoring as scoring

    class Counted(list):
        end_at = None

    asked, real = Counted(), scoring._probabilities

    def watched(model, store, case, combinations, *, overlap):
        if case == asked.end_at:
            raise KeyboardInterrupt
        asked.append(case)
        return real(model, store, case, combinations, overlap=overlap)

    monkeypatch.setattr(scoring, "_probabilities", watched)
    return asked


TRAIN = ("--split", "train", "--combinations", "flair,t1ce+t2", "--set", "evaluation.extras=['calibration','lesions']")


class TestInterrupted:
    """Finished cases are not computed again."""

    def test_continues(self, hga, road, tmp_path, counted):
        whole = hga(*on_cpu(road.runs_dir, *TRAIN, "-o", tmp_path / "whole")).document
        cases = list(counted)
        counted.clear()
        counted.end_at = cases[5]
        hga(*on_cpu(road.runs_dir, *TRAIN, "-o", tmp_path / "parts"), code=130)
        kept = {path.stem for path in (tmp_path / "parts").rglob("*.json")}
        assert 0 < len(kept) < len(cases)
        assert not (tmp_path / "parts" / "metrics.json").exists()
        counted.clear()
        counted.end_at = None
        outcome = hga(*on_cpu(road.runs_dir, *TRAIN, "-o", tmp_path / "parts"))
        assert set(counted) == set(cases) - kept
        assert f"{len(kept)} of {len(cases)} cases were scored before" in outcome.err
        assert outcome.document == whole
        assert sorted(path.name for path in (tmp_path / "parts").iterdir()) == ["metrics.csv", "metrics.json"]

    def test_nothing_else_is_removed(self, hga, road, tmp_path):
        """A folder of that name may be the user's, and even one beside the kept scores is not ours."""
        theirs = [tmp_path / "scores" / "metrics.json", tmp_path / ".hga-scores" / "mine" / "notes.json"]
        for path in theirs:
            path.parent.mkdir(parents=True)
            path.write_text("mine")
        hga(*on_cpu(road.runs_dir, "--combinations", "flair", "-o", tmp_path))
        assert [path.read_text() for path in theirs] == ["mine", "mine"]
        assert [path.name for path in (tmp_path / ".hga-scores").iterdir()] == ["mine"]

    @pytest.mark.parametrize("change", [("--combinations", "flair"), ("--set", "evaluation.overlap=0.25")])
    def test_other_settings_start_anew(self, hga, road, tmp_path, counted, change):
        counted.end_at = Store(road.store).split("default").train[5]
        hga(*on_cpu(road.runs_dir, *TRAIN, "-o", tmp_path), code=130)
        counted.clear()
        counted.end_at = None
        hga(*on_cpu(road.runs_dir, *TRAIN, *change, "-o", tmp_path))
        assert counted == Store(road.store).split("default").train

    @pytest.mark.parametrize(
        "text",
        [lambda text: json.dumps({**json.loads(text), "fingerprint": "another"}), lambda text: text[:20]],
        ids=["changed", "damaged"],
    )
    def test_changed_case_is_scored_again(self, hga, road, tmp_path, counted, text):
        counted.end_at = Store(road.store).split("default").train[5]
        hga(*on_cpu(road.runs_dir, *TRAIN, "-o", tmp_path), code=130)
        counted.clear()
        counted.end_at = None
        path = sorted(tmp_path.rglob("*.json"))[0]
        path.write_text(text(path.read_text()))
        hga(*on_cpu(road.runs_dir, *TRAIN, "-o", tmp_path))
        assert path.stem in counted

    def test_scores_are_kept_until_the_files_are_written(self, hga, road, tmp_path, counted, monkeypatch):
        def full(*arguments, **options):
            raise OSError(28, "No space left on device", "metrics.json")

        with monkeypatch.context() as patch:
            patch.setattr("hga_cli.workflows.evaluate.write_json", full)
            hga.refuses(*on_cpu(road.runs_dir, *TRAIN, "-o", tmp_path), code=3, says="No space left")
        counted.clear()
        hga(*on_cpu(road.runs_dir, *TRAIN, "-o", tmp_path))
        assert counted == []


class TestShards:
    """``--shard i/n``."""

    def test_the_last_part_writes_the_table(self, hga, road, tmp_path, counted):
        whole = hga(*on_cpu(road.runs_dir, *TRAIN, "-o", tmp_path / "whole")).document
        cases = Store(road.store).split("default").train
        counted.clear()
        first = hga(*on_cpu(road.runs_dir, *TRAIN, "-o", tmp_path / "parts", "--shard", "2/2")).document
        assert counted == cases[1::2]
        assert first == {"shard": [2, 2], "missing": cases[::2]}
        assert not (tmp_path / "parts" / "metrics.json").exists()
        counted.clear()
        last = hga(*on_cpu(road.runs_dir, *TRAIN, "-o", tmp_path / "parts", "--shard", "1/2")).document
        assert counted == cases[::2]
        assert last == whole
        assert document_in(tmp_path / "parts") == document_in(tmp_path / "whole")

    def test_mistyped(self, hga, road):
        hga.refuses(*on_cpu(road.runs_dir, "--shard", "3/2"), code=2, says="--shard '3/2'")


class TestTrainedOn:
    """Cases that were trained on are scored only where that is what was asked."""

    def moved(self, road, top):
        """Copies of store and run, which know each other."""
        data, run = Path(shutil.copytree(road.data_dir, top / "data")), RunFolder(road.copy_of_run(top / "runs"))
        run.write_about({**run.about(), "store": str(data / "brats")})
        return data

    def test_another_split_that_tests_them(self, hga, road, tmp_path):
        data = self.moved(road, tmp_path)
        hga("split", "--dataset", "brats", "--name", "all", "--ratios", "0,0,1", "--data-dir", data)
        trained = Store(data / "brats").split("default").train
        says = [f"trained on {len(trained)} of 12 cases", *trained[:5], "--split train"]
        hga.refuses(*on_cpu(tmp_path / "runs", "--split", "all/test"), code=3, says=says)
        hga.refuses(*on_cpu(tmp_path / "runs", "--split", "all/test", "--dataset", data / "brats"), code=3, says=says)
        assert not (tmp_path / "runs" / "road" / "evaluations").exists()

    def test_training_cases_on_purpose(self, hga, road, tmp_path):
        document = hga(*on_cpu(road.runs_dir, *TRAIN, "-o", tmp_path)).document
        assert {row["case"] for row in document["cases"]} <= set(Store(road.store).split("default").train)

    def test_split_that_was_made_anew(self, hga, road, tmp_path, monkeypatch):
        """A split of the same name with other parts: nobody knows any more who was trained on."""
        self.moved(road, tmp_path)
        monkeypatch.setattr("hga_cli.workflows.leakage.split_digest", lambda split: "another")
        says = ["is not the one that run 'road' was trained with", "train again"]
        hga.refuses(*on_cpu(tmp_path / "runs"), code=3, says=says)
        hga(*on_cpu(tmp_path / "runs", "--split", "train", "--combinations", "flair"))

    def test_other_data_set(self, hga, road, tmp_path, phantom):
        phantom(tmp_path / "raw", "new-1")
        hga("preprocess", tmp_path / "raw", "-o", tmp_path / "store", "--workers", 1)
        hga("split", "--dataset", tmp_path / "store", "--ratios", "0,0,1")
        arguments = ["--dataset", tmp_path / "store", "--split", "default/test", "--combinations", "flair"]
        outcome = hga(*on_cpu(road.runs_dir, *arguments, "-o", tmp_path / "out"))
        assert {row["case"] for row in outcome.document["cases"]} == {"new-1"}
        assert "all cases count as new" in outcome.err


class TestOwnFolders:
    """What is not the usual question never overwrites the usual answer."""

    @pytest.mark.parametrize(
        ("arguments", "name"),
        [
            (["--convention", "brats"], "test-all-convention-brats"),
            (["--set", "evaluation.overlap=0.25"], "test-all-overlap-0.25"),
            (["--set", "evaluation.hd95=maximum"], "test-all-hd95-maximum"),
            (["--set", "evaluation.extras=['lesions','volume_error']"], "test-all-extras-lesions+volume_error"),
        ],
    )
    def test_settings(self, hga, road, tmp_path, arguments, name):
        run = road.copy_of_run(tmp_path / "runs")
        hga(*on_cpu(tmp_path / "runs", *arguments))
        assert not (run / "metrics.json").exists()
        assert [path.name for path in (run / "evaluations").iterdir()] == [name]

    def test_best_checkpoint(self, hga, road, tmp_path):
        run = RunFolder(road.copy_of_run(tmp_path / "runs"))
        run.best.unlink(missing_ok=True)
        best = ("--set", "evaluation.checkpoint=best")
        hga.refuses(*on_cpu(tmp_path / "runs", *best), code=4, says="no best checkpoint")
        shutil.copy(run.last, run.best)
        assert hga(*on_cpu(tmp_path / "runs", *best)).document["origin"]["model"]["checkpoint"] == "best.safetensors"
        assert [path.name for path in (run.path / "evaluations").iterdir()] == ["test-all-checkpoint-best"]

    def test_settings_that_change_no_number(self, hga, road, tmp_path):
        run = road.copy_of_run(tmp_path / "runs")
        arguments = ["--set", "evaluation.workers=1", "--set", "evaluation.latex=true", "--combinations", "all"]
        hga(*on_cpu(tmp_path / "runs", *arguments))
        assert (run / "metrics.tex").exists()
        names = [line.split(" & ")[0] for line in (run / "metrics.tex").read_text().splitlines() if " & " in line]
        modalities = ("flair", "t1ce", "t1", "t2")
        wanted = [combination_name(combination) for combination in all_combinations(modalities)]
        summary = ["mean", "95 \\% interval", "sd over cases", "worst combination", "mean where present"]
        assert names == ["combination", *wanted, *summary]


def test_number_of_threads_changes_nothing(hga, road, tmp_path):
    one, four = (
        hga(*on_cpu(road.runs_dir, *TRAIN, "-o", tmp_path, "--set", f"evaluation.workers={count}")).document
        for count in (1, 4)
    )
    assert one == four


def test_origin(hga, road, tmp_path):
    document = hga(*on_cpu(road.runs_dir, "--combinations", "flair", "-o", tmp_path)).document
    origin, split = document["origin"], Store(road.store).split("default")
    assert origin["split"] == {"name": "default", "part": "test", "digest": split_digest(split)}
    assert origin["split"]["digest"] == read_model(road.run / "checkpoints" / "last.safetensors")[1]["sources"]["split"]
    assert len(origin["model"]["digest"]) == 32
    assert origin["settings"]["overlap"] == 0.5
    assert {"hga", "torch", "numpy"} <= set(origin["versions"])


def test_further_scores(hga, road, tmp_path):
    arguments = ["--set", "evaluation.extras=['surface_dice','volume_error','lesions','calibration']"]
    outcome = hga(*on_cpu(road.runs_dir, "--combinations", "flair", "-o", tmp_path, *arguments))
    cell, rows = outcome.document["combinations"]["flair"]["WT"], outcome.document["cases"]
    wt = [row for row in rows if row["region"] == "WT"]
    assert 0 <= cell["ece"] <= 1
    assert sum(cell["reliability"]["voxels"]) > 1000
    assert cell["lesions"] == sum(row["lesions"] for row in wt)
    for name in ("surface_dice", "volume_error_ml", "absolute_volume_error_ml", "lesion_f1"):
        assert cell[name] == pytest.approx(sum(row[name] for row in wt) / len(wt))
    people = hga(
        *[
            word
            for word in on_cpu(road.runs_dir, "--combinations", "flair", "-o", tmp_path, *arguments)
            if word != "--json"
        ]
    )
    assert all(name in people.out for name in ("ece", "surface_dice", "volume_error_ml"))
