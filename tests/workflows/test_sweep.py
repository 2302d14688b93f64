"""``hga sweep``: everything is checked first, one failure stops no other, what is done is not done again."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest
from _sweeps import sweep_text

from hga_cli.core.backbones import BACKBONES
from hga_cli.core.run_folder import FINISHED, RunFolder
from hga_cli.workflows.sweep import Ending, exit_code

SHARED = sweep_text(iterations=4)
JOINT = 'methods = ["joint"]\n'
GOOD, BAD = "x-joint-equal-unet-s1037-learning_rate-0.001", "x-joint-equal-unet-s1037-learning_rate-1e+30"
"""The second cannot be trained: its loss is no number after a step or two."""
TWO = f'axes = {{ "optim.learning_rate" = [1e30, 1e-3] }}\n{SHARED}'


class Sweeps:
    """Sweeps over one folder of tiny cases."""

    def __init__(self, hga, top):
        self.hga, self.top, self.runs = hga, top, top / "runs"
        self.file = top / "sweep.toml"
        self.words = ["sweep", self.file, "--data-dir", top / "data", "--runs-dir", self.runs, "--device", "cpu"]

    def __call__(self, text, *more, code=0):
        self.file.write_text(text, encoding="utf-8")
        return self.hga(*self.words, *more, "--json", code=code)

    def todo(self, text, *more, code=0):
        """run -> what would be done."""
        return {one["run"]: one["todo"] for one in self(text, "--dry-run", *more, code=code).document["runs"]}

    def about(self, name):
        return RunFolder(self.runs / name).about()

    def files(self):
        return sorted(str(path) for path in self.runs.rglob("*"))


@pytest.fixture(scope="module")
def done(hga, tiny_folder, tmp_path_factory):
    """A sweep of two runs, of which the first one fails; and what it said."""
    top = tmp_path_factory.mktemp("sweep")
    shutil.copytree(tiny_folder / "data", top / "data")
    sweeps = Sweeps(hga, top)
    return sweeps, sweeps(TWO, code=4)


@pytest.fixture
def sweeps(done, hga, tmp_path):
    """A copy that a test may change."""
    shutil.copytree(done[0].top / "runs", tmp_path / "runs")
    (tmp_path / "data").symlink_to(done[0].top / "data")
    return Sweeps(hga, tmp_path)


def test_one_failing_run_does_not_stop_the_others(done):
    sweeps, outcome = done
    bad, good = outcome.document["runs"]
    assert (bad["run"], bad["result"], bad["code"]) == (BAD, "failed", 4)
    assert "is not finite" in bad["reason"]
    assert (good["run"], good["result"], good["code"], good["reason"]) == (GOOD, "finished", 0, "")
    assert sweeps.about(GOOD)["status"] == FINISHED
    assert json.loads((sweeps.runs / GOOD / "metrics.json").read_text())["run"] == GOOD
    assert "train 4/4" in outcome.err


def test_what_is_done_is_skipped_and_what_is_not_goes_on(sweeps):
    before = sweeps.files()
    assert sweeps.todo(TWO) == {BAD: "resume", GOOD: "nothing"}
    assert sweeps.files() == before
    (sweeps.runs / GOOD / "metrics.json").unlink()
    assert sweeps.todo(TWO)[GOOD] == "evaluate"
    shutil.rmtree(sweeps.runs / BAD / "checkpoints")
    assert sweeps.todo(TWO)[BAD] == "train"


def test_scores_of_another_model_do_not_count(sweeps):
    path = sweeps.runs / GOOD / "metrics.json"
    document = json.loads(path.read_text())
    document["origin"]["model"]["digest"] = "0" * 32
    path.write_text(json.dumps(document))
    assert sweeps.todo(TWO)[GOOD] == "evaluate"


@pytest.mark.parametrize("change", ["optim.weight_decay=0.5", "evaluation.convention=brats", "data.foreground=0.5"])
def test_another_run_in_the_way_is_refused(sweeps, change):
    before = sweeps.files()
    outcome = sweeps(TWO, "--set", change, code=3)
    assert {one["todo"] for one in outcome.document["runs"]} == {"in the way"}
    assert change.partition("=")[0] in outcome.document["runs"][1]["reason"]
    assert "2 of 2 runs are there already" in outcome.err
    assert sweeps.files() == before


def test_number_of_workers_is_free(sweeps):
    assert sweeps.todo(TWO, "--set", "data.workers=1")[GOOD] == "nothing"


def test_other_data_are_in_the_way(sweeps):
    run = RunFolder(sweeps.runs / GOOD)
    about = run.about()
    run.write_about({**about, "sources": {**about["sources"], "available": "0" * 32}})
    assert sweeps.todo(TWO, code=3)[GOOD] == "in the way"


def test_pairs_that_make_no_sense_are_refused_before_anything_starts(sweeps):
    """``agm`` needs a whole batch at once, which is found without a training."""
    text = f'balancers = ["equal", "agm"]\nseeds = [5, 6]\n{SHARED}optim.accumulate = 2\n'.replace(
        "optim = { iterations = 4, epochs = 1 }\n", ""
    )
    before = sweeps.files()
    outcome = sweeps(text, "--dry-run", code=4)
    runs = outcome.document["runs"]
    assert [one["todo"] for one in runs] == ["train", "train", "senseless", "senseless"]
    assert all("needs a whole batch at once" in one["reason"] for one in runs[2:])
    assert "2 of 4 runs make no sense" in outcome.err
    skipping = sweeps(f'on_problem = "skip"\n{text}', "--dry-run")
    assert skipping.document["runs"] == runs
    assert sweeps.files() == before


def test_the_check_knows_every_backbone(sweeps):
    """Also those that compute with numbers while they are built, which a device without memory does not have."""
    text = SHARED.replace("network.width = 2\n", "").replace("[16, 16, 16]", "[64, 64, 64]")
    todo = sweeps.todo(f"backbones = {json.dumps(list(BACKBONES.entries))}\n{text}")
    assert todo == {f"x-joint-equal-{name}-s1037": "train" for name in BACKBONES.entries}


def test_a_backbone_that_is_built_elsewhere_is_refused_like_others(sweeps):
    text = SHARED.replace("network.width = 2\n", "").replace("[16, 16, 16]", "[64, 64, 64]")
    more = 'backbones = ["swinunetr"]\nbalancers = ["equal", "agm"]\n'
    runs = sweeps(f"{more}{text}", "--dry-run", "--set", "optim.accumulate=2", code=4).document["runs"]
    assert [one["todo"] for one in runs] == ["train", "senseless"]
    assert "needs a whole batch at once" in runs[1]["reason"]


def test_a_training_by_two_names_is_refused(sweeps):
    """Method gmd without balancer gmd is joint; with it, it is itself."""
    runs = sweeps(f'methods = ["gmd"]\nbalancers = ["gmd", "equal"]\n{SHARED}'.replace(JOINT, ""), "--dry-run", code=4)
    assert [one["todo"] for one in runs.document["runs"]] == ["train", "senseless"]
    assert "--method joint --set optim.balancer=equal" in runs.document["runs"][1]["reason"]


def test_what_the_store_lacks_is_refused(sweeps):
    runs = sweeps(f'tables = ["none", "absent"]\n{SHARED}', "--dry-run", code=4).document["runs"]
    assert [one["todo"] for one in runs] == ["train", "senseless"]
    assert "has no imbalance table" in runs[1]["reason"]


def test_parts_are_disjoint_and_whole(sweeps):
    text = f"seeds = [1, 2, 3, 4, 5]\n{SHARED}"
    parts = [list(sweeps.todo(text, "--shard", f"{number}/3")) for number in (1, 2, 3)]
    assert [len(part) for part in parts] == [2, 2, 1]
    assert sorted(name for part in parts for name in part) == sorted(sweeps.todo(text))


def test_unfinished_run_is_resumed_and_scored(sweeps):
    """Its journal is not written again: no step is done twice."""
    run = RunFolder(sweeps.runs / GOOD)
    weights, journal = run.last.read_bytes(), (run.path / "journal.jsonl").read_text()
    run.write_about({**run.about(), "status": "running"})
    (run.path / "metrics.json").unlink()
    assert sweeps(TWO, "--shard", "2/2").document["runs"][0]["todo"] == "resume"
    assert run.about()["status"] == FINISHED
    assert (run.last.read_bytes(), (run.path / "journal.jsonl").read_text()) == (weights, journal)
    assert (run.path / "metrics.json").exists()


def test_makefile_does_what_a_sweep_does(sweeps):
    """make itself: one run is done, one is new; its name and settings come from the fragment alone."""
    text = f'axes = {{ "optim.learning_rate" = [1e-3, 2e-3] }}\n{SHARED}'
    made = sweeps.top / "sweep.mk"
    assert sweeps(text, "--makefile", made).document["makefile"] == str(made)
    new = GOOD.replace("0.001", "0.002")
    shown = subprocess.run(["make", "-n", "-f", made], capture_output=True, text=True, check=True).stdout
    assert GOOD not in shown
    assert shown.count(f"--run {new}") == 2
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.run(["make", "-j2", "-f", made], check=True, capture_output=True, env=environment)
    assert sweeps.todo(text) == {GOOD: "nothing", new: "nothing"}


def test_makefile_of_others_is_not_replaced(sweeps):
    mine = sweeps.top / "Makefile"
    mine.write_text("all:\n")
    outcome = sweeps(TWO, "--makefile", mine, code=3)
    assert "--makefile sweep.mk" in outcome.err
    assert mine.read_text() == "all:\n"


def test_interruption_ends_cleanly(sweeps):
    """One SIGINT for the sweep: the training saves itself, the next one does not start, a table says so."""
    text = f"seeds = [1, 2]\n{SHARED}".replace("iterations = 4", "iterations = 100000")
    sweeps.file.write_text(text)
    words = [sys.executable, "-m", "hga_cli", *map(str, sweeps.words), "--json"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment) as process:
        run = RunFolder(sweeps.runs / "x-joint-equal-unet-s1")
        until = time.monotonic() + 120
        while not run.last.exists() and time.monotonic() < until:
            time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=120)
    assert process.returncode == 130
    first, second = json.loads(out)["runs"]
    assert (first["result"], second["result"]) == ("interrupted", "not started")
    assert "interrupted after step" in (run.path / "log.txt").read_text()
    run.lock().release()
    assert not (sweeps.runs / "x-joint-equal-unet-s2").exists()
    assert sweeps.todo(text) == {"x-joint-equal-unet-s1": "resume", "x-joint-equal-unet-s2": "train"}


def test_exit_code_is_that_of_the_first_failure():
    ok, bad = Ending(result="finished"), Ending(result="failed", code=3)
    assert exit_code({}) == 0
    assert exit_code({"a": ok, "b": bad, "c": Ending(result="failed", code=5)}) == 3
    assert exit_code({"a": bad, "b": Ending(result="interrupted", code=130)}) == 130


def test_people_see_a_table_and_why(sweeps):
    sweeps.file.write_text(TWO)
    out = sweeps.hga(*sweeps.words, "--dry-run").out
    assert "2 runs, 1 nothing" in out
    assert "resume" in out
    assert "nothing was written" in out


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["--shard", "3/2"], 2, "--shard '3/2'"),
        (["--set", "optim.epoch=1"], 4, "did you mean 'epochs'?"),
        (["--gpu", "0", "--device", "cpu"], 2, "contradict"),
    ],
)
def test_refusals(sweeps, words, code, says):
    sweeps.file.write_text(TWO)
    sweeps.hga.refuses(*sweeps.words[:-2] if "--device" in words else sweeps.words, *words, code=code, says=says)
