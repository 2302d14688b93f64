"""Angles between the gradients of tasks, and curves for TensorBoard."""

import json
import math
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from _training import assert_same_tensors, journal, make_store, planned, run_folder, settings
from torch import nn

from hga_cli.core.errors import SetupError
from hga_cli.engine.checkpoint import load_checkpoint
from hga_cli.engine.cosines import task_cosines
from hga_cli.engine.events import Events, numbers
from hga_cli.workflows.train import train

ANGLES = json.loads((Path(__file__).parent / "golden_grad_angle.json").read_text())


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return make_store(tmp_path_factory.mktemp("events") / "store")


def test_cosines_of_gradients_that_are_known():
    weights = nn.Parameter(torch.tensor([1.0, 2.0, 3.0]))
    other = nn.Parameter(torch.ones(1))
    directions = {"a": [1.0, 0.0, 0.0], "b": [3.0, 0.0, 0.0], "c": [-2.0, 0.0, 0.0], "d": [1.0, 1.0, 0.0]}
    losses = {task: weights @ torch.tensor(direction) + other.sum() for task, direction in directions.items()}
    losses["none"] = other.sum()
    found = task_cosines(losses, [weights])
    expected = {"a~b": 1, "a~c": -1, "a~d": math.sqrt(0.5), "b~c": -1, "c~d": -math.sqrt(0.5), "a~none": 0, "d~none": 0}
    assert {pair: found[pair] for pair in expected} == pytest.approx(expected, abs=1e-6)
    assert len(found) == 10
    sum(losses.values()).backward()
    assert weights.grad is not None


def test_angles_as_published():
    """Of each task to the main one, whose gradient is near the mean; only the first tensor is shared by all."""
    generator = np.random.default_rng(ANGLES["seed"])
    gradients = generator.standard_normal(ANGLES["shape"])
    main = gradients.mean(0) + ANGLES["noise"] * generator.standard_normal(ANGLES["shape"][1])
    assert {"g": gradients.sum(), "main": main.sum()} == pytest.approx(ANGLES["sums"])  # numpy draws the same
    tensors = [nn.Parameter(torch.zeros(size)) for size in ANGLES["sizes"]]
    used = {"main": range(len(tensors)), **dict(enumerate(ANGLES["tensors"]))}
    losses = {}
    for task, gradient in {"main": main, **dict(enumerate(gradients))}.items():
        parts = torch.from_numpy(gradient).float().split(ANGLES["sizes"])
        losses[task] = sum(tensors[index] @ parts[index] for index in used[task])
    cosines = task_cosines(losses, tensors[:1])
    degrees = [math.degrees(math.acos(cosines[f"main~{task}"])) for task in range(len(gradients))]
    assert degrees == pytest.approx(ANGLES["degrees"], rel=0, abs=ANGLES["tolerance"])


def test_cosines_are_in_the_journal_and_change_nothing(store, tmp_path):
    usual = settings("hga-published", optim__epochs=1, optim__iterations=7)
    runs = []
    for name, every in (("with", 1), ("without", 0)):
        run = run_folder(tmp_path / name)
        train(planned(store, replace(usual, log=replace(usual.log, cosine_every=every))), run)
        runs.append(run)
    cosines = journal(runs[0])[0]["cosines"]
    assert {"fused~flair", "fused~t2", "flair~t2"} <= set(cosines)
    assert all(-1.0001 <= value <= 1.0001 for value in cosines.values())
    assert journal(runs[1])[0]["cosines"] == {}
    assert_same_tensors(*(load_checkpoint(run.last)[0] for run in runs))


def test_curves_hold_the_numbers_of_the_journal(store, tmp_path):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    usual = settings("joint", optim__epochs=3, optim__iterations=2)
    run = run_folder(tmp_path / "run")
    train(planned(store, replace(usual, log=replace(usual.log, tensorboard=True))), run)
    read = accumulator.EventAccumulator(str(run.path / "events"))
    read.Reload()
    lines = journal(run)
    assert [event.step for event in read.Scalars("losses/loss")] == [0, 1, 2]
    for tag in ("losses/loss", "losses/fused/fused", "learning_rate"):
        values = [dict(numbers(line))[tag] for line in lines]
        assert [event.value for event in read.Scalars(tag)] == pytest.approx(values, rel=1e-5)


def test_numbers_of_a_tree():
    tree = {"epoch": 3, "a": 1, "b": {"c": 2.5, "d": {"e": None, "f": True, "g": 4}}, "t": "text"}
    assert dict(numbers(tree)) == {"a": 1.0, "b/c": 2.5, "b/d/g": 4.0}


def test_without_the_package_there_is_a_clear_error(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(SetupError, match="tensorboard is not installed") as caught:
        Events(tmp_path, 0)
    assert caught.value.exit_code == 5
    assert "hga-cli[tensorboard]" in caught.value.hint
