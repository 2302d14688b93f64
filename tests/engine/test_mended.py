"""What a review found once, kept from coming back."""

import pickle
import shutil

import numpy as np
import pytest
import torch
from _training import make_store, planned, run_folder, settings, training_of

from hga_cli.core.errors import ConfigError, DataError
from hga_cli.core.run_folder import new_run
from hga_cli.engine import checkpoint, scoring
from hga_cli.engine.checkpoint import load_checkpoint
from hga_cli.engine.ranks import Ranks
from hga_cli.workflows.plan import plan
from hga_cli.workflows.train import train


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return make_store(tmp_path_factory.mktemp("mended") / "store")


def test_a_full_disk_after_a_damaged_checkpoint_leaves_a_whole_one(store, tmp_path, monkeypatch):
    """Case T03: the good generation lives until a newer one is complete."""
    config = settings("joint", optim__epochs=4, optim__iterations=1)
    run = run_folder(tmp_path / "run")
    with monkeypatch.context() as patch:
        patch.setattr("hga_cli.engine.training.Training.finish", lambda self: (_ for _ in ()).throw(KeyError("stop")))
        with pytest.raises(KeyError):
            train(planned(store, config), run)
    run.last.write_bytes(run.last.read_bytes()[:1000])
    good = load_checkpoint(run.previous)[1]["training"]["step"]

    def full(*arguments):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "save_file", full)
        with pytest.raises(OSError, match="No space left"):
            train(planned(store, config), run, resume=True)
    assert load_checkpoint(run.last)[1]["training"]["step"] == good
    train(planned(store, config), run, resume=True)
    assert load_checkpoint(run.last)[1]["training"]["step"] == 4


@pytest.mark.parametrize("method", ["hga-published", "hga", "moddrop", "passion", "meta"])
def test_patches_travel_to_workers_that_are_spawned(store, method):
    _, patches = training_of(planned(store, settings(method, data__imbalance="none", optim__iterations=8)))
    patches[3]
    again = pickle.loads(pickle.dumps(patches))  # noqa: S301  as torch does it, within the program
    for step in (0, 5):
        assert again[step].cases == patches[step].cases
        assert torch.equal(again[step].label, patches[step].label)


def test_more_processes_than_cases_in_a_batch_are_refused(store):
    with pytest.raises(ConfigError, match="3 processes share a batch of 2") as caught:
        plan(store, settings("joint"), torch.device("cpu"), Ranks(rank=0, count=3))
    assert "data.batch=3" in caught.value.hint


def test_a_start_that_failed_leaves_its_name_free(tmp_path):
    run = new_run(tmp_path, "a", overwrite=False)
    run.lock().release()
    run.write_config("")
    assert new_run(tmp_path, "a", overwrite=False).path == run.path
    (run.path / "notes.txt").touch()
    with pytest.raises(DataError, match="run 'a' exists"):
        new_run(tmp_path, "a", overwrite=False)
    shutil.rmtree(run.path)


def test_a_network_without_numbers_is_not_scored(store, monkeypatch):
    """Case T07: the class of NaN would be background, which scores now and then."""
    flair = ("flair",)
    nothing = np.full((3, 4, 4, 4), np.nan, np.float32)
    monkeypatch.setattr(scoring, "_probabilities", lambda *arguments, **options: [(flair, nothing)])
    with pytest.raises(ConfigError, match="gives no numbers for flair of case 'case-0'"):
        scoring.predict_stored(None, store, "case-0", [flair], overlap=0)


def test_other_validation_settings_are_refused_on_resume(store, tmp_path):
    run = run_folder(tmp_path / "run")
    train(planned(store, settings("joint", optim__epochs=1, optim__iterations=1)), run)
    changed = settings("joint", optim__epochs=1, optim__iterations=1, validation__every=3)
    with pytest.raises(ConfigError, match=r"validation\.every was 10, is 3"):
        train(planned(store, changed), run, resume=True)
