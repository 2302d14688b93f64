"""``hga train --resume``: continues the same training, or refuses."""

import json
import shutil
import signal

import pytest
from _training_runs import journal, on_run, weights

from hga_cli.core.run_folder import find_run
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

    def test_not_together_with_overwrite(self, hga, tiny):
        says = "--resume and --overwrite contradict each other"
        hga.refuses("train", "--resume", "--overwrite", "--run", "start", *tiny.runs, code=2, says=says)
