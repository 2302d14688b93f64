"""``hga train --resume``: continues the same training, or refuses."""

import json
import shutil
import signal

import pytest
import torch
from _training_runs import files, journal, on_run, weights

from hga_cli.core.run_folder import RunFolder, find_run
from hga_cli.engine.training import Training


@pytest.fixture
def steps_that_stop(monkeypatch):
    """The function that lets the user press Ctrl-C during a step."""

    def arrange(at):
        learn = Training.learn

        def stopping(self, batch):
            if self.step == at:
                signal.raise_signal(signal.SIGINT)
            return learn(self, batch)

        monkeypatch.setattr(Training, "learn", stopping)

    return arrange


def killed(*arguments):
    raise KeyboardInterrupt


class TestResume:
    """Resuming continues the same training or refuses."""

    def test_interrupted_run_ends_as_if_nothing_had_happened(self, hga, tiny, steps_that_stop, monkeypatch):
        hga(*tiny.training("--epochs", 2, "--run", "straight"))
        with monkeypatch.context():
            steps_that_stop(at=5)
            outcome = hga(*tiny.training("--epochs", 2, "--run", "stopped"), code=130)
            monkeypatch.undo()
        assert outcome.out == ""
        assert "interrupted" in outcome.err
        assert "Traceback" not in outcome.err
        assert json.loads((on_run(tiny, "stopped") / "run.json").read_text())["status"] == "running"
        outcome = hga("train", "--resume", "--run", "stopped", "--device", "cpu", *tiny.runs)
        assert "continues at step 6" in outcome.err
        assert weights(on_run(tiny, "stopped")) == weights(on_run(tiny, "straight"))
        assert journal(on_run(tiny, "stopped")) == journal(on_run(tiny, "straight"))
        assert json.loads((on_run(tiny, "stopped") / "run.json").read_text())["status"] == "finished"

    def test_latest_run_is_meant_where_none_is_named(self, hga, tiny):
        hga(*tiny.training("--epochs", 1, "--run", "a"))
        assert f"run folder {on_run(tiny, 'a')}" in hga("train", "--resume", "--device", "cpu", *tiny.runs).err

    def test_finished_run_stays_as_it_is(self, hga, tiny):
        hga(*tiny.training("--epochs", 1, "--run", "a"))
        before = weights(on_run(tiny, "a")), journal(on_run(tiny, "a"))
        hga("train", "--resume", "--run", "a", "--device", "cpu", *tiny.runs)
        assert (weights(on_run(tiny, "a")), journal(on_run(tiny, "a"))) == before

    @pytest.mark.parametrize(
        ("change", "says"),
        [
            (["--epochs", "2"], "optim.epochs was 1, is 2"),
            (["--seed", "4"], "seed was 1037, is 4"),
            (["--set", "optim.learning_rate=1e-3"], "optim.learning_rate was 0.0002, is 0.001"),
            (["--method", "joint"], "method.name was 'hga', is 'joint'"),
        ],
        ids=["epochs", "seed", "learning rate", "method"],
    )
    def test_changed_settings_are_refused(self, hga, tiny, change, says):
        hga(*tiny.training("--epochs", 1, "--run", "a"))
        before = weights(on_run(tiny, "a"))
        resume = ["train", "--resume", "--run", "a", "--device", "cpu", *tiny.runs]
        hga.refuses(*resume, *change, code=4, says=["cannot continue with other settings", says])
        assert weights(on_run(tiny, "a")) == before

    @pytest.mark.parametrize(("epochs", "others"), [(0, 5), (1, 0)])
    def test_a_run_without_epochs_has_other_settings_too(self, hga, tiny, epochs, others):
        hga(*tiny.training("--epochs", epochs, "--run", "a"))
        before = files(on_run(tiny, "a"))
        says = ["cannot continue with other settings", f"optim.epochs was {epochs}, is {others}"]
        resume = ["train", "--resume", "--run", "a", *tiny.runs]
        assert "would jump" not in hga.refuses(*resume, "--epochs", others, code=4, says=says)
        assert files(on_run(tiny, "a")) == before

    def test_workers_may_change(self, hga, tiny):
        hga(*tiny.training("--epochs", 1, "--run", "a"))
        hga("train", "--resume", "--run", "a", "--device", "cpu", "--set", "data.workers=1", *tiny.runs)

    def test_changed_data_are_refused(self, hga, tiny):
        hga(*tiny.training("--epochs", 1, "--run", "a", "--split", "default"))
        hga("make-imbalance", "--dataset", "brats", "--rates", "mr2468", *tiny.data)
        resume = ["train", "--resume", "--run", "a", "--device", "cpu", *tiny.runs]
        hga(*resume)
        hga.refuses(*resume, "--imbalance", "mr2468", code=4, says="data.imbalance was 'none', is 'mr2468'")

    def test_no_run(self, hga, tiny):
        shutil.rmtree(on_run(tiny, "start"))
        hga.refuses("train", "--resume", *tiny.runs, code=3, says="no run in")
        hga.refuses("train", "--resume", "--run", "a", *tiny.runs, code=3, says="no run 'a'")

    def test_mistyped_run(self, hga, tiny):
        hga.refuses("train", "--resume", "--run", "strat", *tiny.runs, code=3, says="did you mean 'start'?")

    def test_damaged_checkpoint(self, hga, tiny):
        hga(*tiny.training("--epochs", 1, "--run", "a"))
        last = find_run(tiny.top / "runs", "a", finished=False).last
        last.write_bytes(last.read_bytes()[:1000])
        resume = ["train", "--resume", "--run", "a", "--device", "cpu", *tiny.runs]
        assert "continuing from the one before" in hga(*resume).err
        last.write_bytes(last.read_bytes()[:1000])
        last.with_name("previous.safetensors").unlink()
        hga.refuses(*resume, code=4, says="damaged")

    def test_a_kill_before_the_first_checkpoint(self, hga, tiny, monkeypatch):
        """What a script that starts a job again and again does: it can always be continued."""
        hga(*tiny.training("--epochs", 1, "--run", "straight"))
        with monkeypatch.context() as patch:
            patch.setattr("hga_cli.workflows.train.fit", killed)
            hga(*tiny.training("--epochs", 1, "--run", "a"), code=130)
        assert sorted(files(on_run(tiny, "a"))) == [".lock", "config.toml", "log.txt", "run.json"]
        hga.refuses(*tiny.training("--epochs", 1, "--run", "a"), code=3, says="--resume")
        resume = ["train", "--resume", "--run", "a", *tiny.runs]
        hga.refuses(*resume, "--epochs", 2, code=4, says="optim.epochs was 1, is 2")
        said = "was stopped before its first checkpoint: it begins at step 0"
        assert said in hga(*resume).err
        assert said in (on_run(tiny, "a") / "log.txt").read_text()
        assert weights(on_run(tiny, "a")) == weights(on_run(tiny, "straight"))
        assert journal(on_run(tiny, "a")) == journal(on_run(tiny, "straight"))

    @pytest.mark.parametrize("status", ["finished", "running"])
    def test_a_run_with_finished_epochs_whose_checkpoints_are_gone(self, hga, tiny, status):
        hga(*tiny.training("--epochs", 1, "--run", "a"))
        run = RunFolder(on_run(tiny, "a"))
        run.write_about({**run.about(), "status": status})
        shutil.rmtree(run.path / "checkpoints")
        before = journal(run.path)
        hga.refuses("train", "--resume", "--run", "a", *tiny.runs, code=4, says="no checkpoint")
        assert journal(run.path) == before != []

    def test_not_together_with_overwrite(self, hga, tiny):
        says = "--resume and --overwrite contradict each other"
        hga.refuses("train", "--resume", "--overwrite", "--run", "start", *tiny.runs, code=2, says=says)


class TestDevice:
    """A run continues on its device; another one is used where it is named, and never without a word."""

    def test_none_is_named(self, hga, tiny, monkeypatch):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
        outcome = hga("train", "--resume", "--run", "start", *tiny.runs)
        assert "parameters on cpu" in outcome.err
        assert "bit for bit" not in outcome.err

    def test_it_is_not_there(self, hga, tiny):
        was_on(tiny, "cuda:99")
        before = files(on_run(tiny, "start"))
        says = ["'cuda:99', on which the run was trained, is not there", "--device cpu"]
        hga.refuses("train", "--resume", "--run", "start", *tiny.runs, code=5, says=says)
        assert files(on_run(tiny, "start")) == before

    @pytest.mark.parametrize(("words", "env"), [(["--device", "cpu"], {}), ([], {"HGA_DEVICE": "cpu"})])
    def test_another_one_is_named(self, hga, tiny, words, env):
        was_on(tiny, "cuda:99")
        said = "run 'start' was on cuda:99, continues on cpu: not to the same numbers bit for bit"
        assert said in hga("train", "--resume", "--run", "start", *words, *tiny.runs, env=env).err
        assert said in (on_run(tiny, "start") / "log.txt").read_text()


def was_on(tiny, device):
    path = on_run(tiny, "start") / "run.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"device": device}))
