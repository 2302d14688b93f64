"""What the last review found, kept from coming back."""

import os
import signal
from dataclasses import replace

import pytest
import torch
from _training import (
    assert_same_run,
    finished,
    journal,
    make_store,
    one_thread,
    planned,
    run_folder,
    settings,
    training_of,
)

from hga_cli.core.errors import ConfigError
from hga_cli.core.progress import Silent
from hga_cli.core.run_folder import FINISHED, RUNNING
from hga_cli.data.splits import Split
from hga_cli.data.store import Store, save_split
from hga_cli.engine import validation
from hga_cli.engine.checkpoint import load_checkpoint, save_checkpoint
from hga_cli.engine.loop import Interrupted
from hga_cli.engine.ranks import Ranks
from hga_cli.networks.unet import EnsembleUNet
from hga_cli.workflows.train import train

ITERATIONS, EPOCHS = 2, 2


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """Three cases train, two validate."""
    path = make_store(tmp_path_factory.mktemp("mended last") / "store").path
    train_cases, val = ["case-1", "case-3", "case-4"], ["case-0", "case-2"]
    save_split(path, Split(name="val", train=train_cases, val=val, test=[]))
    return Store(path)


def config(**changes):
    usual = {
        "data__split": "val",
        "data__patch": [8, 8, 8],
        "optim__epochs": EPOCHS,
        "optim__iterations": ITERATIONS,
        "validation__every": 1,
        "validation__combinations": "flair,t1ce+t2",
    }
    return settings("joint", **usual | changes)


@pytest.fixture(scope="module")
def straight(store, tmp_path_factory):
    with one_thread():
        return finished(store, config(), tmp_path_factory.mktemp("straight") / "run")


class Stops(Silent):
    """Sends SIGTERM to this process in a step, or while a case is validated, counted in one call of ``train``."""

    def __init__(self, monkeypatch, kind, number):
        self.kind, self.left = kind, number
        original = validation.predict_stored

        def predict(*arguments, **options):
            self.count("case")
            return original(*arguments, **options)

        monkeypatch.setattr(validation, "predict_stored", predict)

    def advance(self, note=""):
        self.count("step")

    def count(self, kind):
        self.left -= kind == self.kind
        if kind == self.kind and self.left == 0:
            os.kill(os.getpid(), signal.SIGTERM)


def stopped(store, run, stops, monkeypatch, **changes):
    """Train, and resume as often as there are more ``stops``; each must interrupt the training, which stays running."""
    for kind, number in stops:
        with monkeypatch.context() as patch, pytest.raises(Interrupted):
            resume = run.last.exists()
            train(planned(store, config(**changes)), run, resume=resume, progress=Stops(patch, kind, number))
        assert run.about()["status"] == RUNNING


@pytest.mark.parametrize(
    ("stops", "validated"),
    [
        ([("step", 2)], [False]),
        ([("case", 1)], [False]),
        ([("case", 2)], [True]),
        ([("step", 4)], [True, False]),
        ([("case", 3)], [True, False]),
        ([("case", 3), ("case", 1), ("case", 1)], [True, False]),
        ([("case", 1), ("case", 1), ("case", 3)], [True, False]),
        ([("case", 1), ("case", 2), ("case", 1)], [True, False]),
    ],
    ids=[
        "before a validation",
        "inside it",
        "in its last case",
        "before the last one",
        "inside the last one",
        "inside what is made up, at the end",
        "inside what is made up, and then the last one",
        "in the last case of what is made up",
    ],
)
def test_stops_around_validations_leave_no_trace(store, straight, tmp_path, monkeypatch, stops, validated):
    run = run_folder(tmp_path / "run")
    stopped(store, run, stops, monkeypatch)
    assert ["validation" in line for line in journal(run)] == validated
    document = train(planned(store, config()), run, resume=True)
    assert_same_run(run, straight)
    assert (run.path / "journal.jsonl").read_bytes() == (straight.path / "journal.jsonl").read_bytes()
    assert run.about()["status"] == FINISHED
    assert document["best"]["mean_dice"] == max(line["validation"]["mean"] for line in journal(run))


@pytest.mark.parametrize("stops", [[], [("case", 3)]], ids=["at once", "when it is made up"])
def test_a_signal_in_the_last_case_of_all_does_not_interrupt(store, straight, tmp_path, monkeypatch, stops):
    """Nothing is left to do."""
    run = run_folder(tmp_path / "run")
    stopped(store, run, stops, monkeypatch)
    with monkeypatch.context() as patch:
        last = Stops(patch, "case", 2 if stops else 4)
        train(planned(store, config()), run, resume=bool(stops), progress=last)
    assert last.left == 0
    assert_same_run(run, straight)
    assert run.about()["status"] == FINISHED


def test_curves_have_the_point_of_a_validation_that_was_made_up(store, straight, tmp_path, monkeypatch):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    run = run_folder(tmp_path / "run")
    stopped(store, run, [("case", 1)], monkeypatch, log__tensorboard=True)
    train(planned(store, config(log__tensorboard=True)), run, resume=True)
    read = accumulator.EventAccumulator(str(run.path / "events"))
    read.Reload()
    for tag in ("validation/mean", "losses/loss"):
        section, name = tag.split("/")
        points = [(event.step, event.value) for event in read.Scalars(tag)]
        assert points == [(line["epoch"], pytest.approx(line[section][name])) for line in journal(straight)]


def rewritten(run, change):
    """Change what the newest checkpoint says of its model."""
    tensors, about = load_checkpoint(run.last)
    change(about)
    save_checkpoint(run.last, tensors, about)


def test_another_number_of_processes_is_refused_and_the_repair_named(store, tmp_path):
    run = finished(store, config(validation__every=0), tmp_path / "run")
    plan = planned(store, config(validation__every=0))
    before = run.last.read_bytes()
    with pytest.raises(ConfigError, match="number of processes: it was 1, is 2") as caught:
        train(replace(plan, ranks=Ranks(rank=0, count=2)), run, resume=True)
    assert caught.value.hint == "hga train --resume --run run, as one process on one device"
    assert run.last.read_bytes() == before
    rewritten(run, lambda about: about.update(processes=2))
    with pytest.raises(ConfigError, match="number of processes: it was 2, is 1") as caught:
        train(plan, run, resume=True)
    one, other = caught.value.hint.split(", or ")
    assert one == "hga train --resume --run run --gpu 0,1"
    assert other == "torchrun --nproc-per-node=2 -m hga_cli -- train --resume --run run"


def test_a_run_of_an_older_version_kept_no_number_of_processes(store, tmp_path):
    run = finished(store, config(validation__every=0), tmp_path / "run")
    rewritten(run, lambda about: about.pop("processes"))
    assert train(planned(store, config(validation__every=0)), run, resume=True)["epochs"] == EPOCHS


def test_a_patch_that_leaves_a_norm_one_number_is_refused_before_the_start(store, tmp_path):
    run = run_folder(tmp_path / "run")
    with pytest.raises(ConfigError, match="a patch of 1x1x1 does not fit backbone 'unet'") as caught:
        train(planned(store, config(data__patch=[1, 1, 1])), run)
    assert caught.value.hint == "set data.patch = [8, 1, 1]"
    assert not run.config_file.exists()
    training, patches = training_of(planned(store, config(data__patch=[8, 1, 1])))
    assert training.learn(patches[0]) > 0


@pytest.mark.parametrize("width", [1, 3, 4, 8, 16])
def test_patches_are_refused_exactly_where_the_network_fails(width):
    network = EnsembleUNet(("flair", "t2"), 3, dims=2, width=width)
    for edge in (1, 2, 3, 4, 7, 8, 15, 16, 31, 32):
        image = torch.zeros(2, 1, edge, 1)
        fails = raises(ValueError, lambda image=image: network.encode({"flair": image, "t2": image}))
        shape = (edge, 1)
        refused = raises(
            ConfigError, lambda shape=shape: EnsembleUNet(("flair", "t2"), 3, dims=2, width=width, patch=shape)
        )
        assert refused == fails, edge
    assert EnsembleUNet(("flair",), 3, dims=2, width=width, patch=(1, 32))


def raises(kind, call):
    try:
        call()
    except kind:
        return True
    return False
