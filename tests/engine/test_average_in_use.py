"""Where an average of slow weights predicts, it is what is validated, saved as the model, and used."""

import pytest
import torch
from _training import finished, make_store, planned, run_folder, settings

from hga_cli.data.splits import Split
from hga_cli.data.store import Store, save_split
from hga_cli.engine import loop
from hga_cli.engine.checkpoint import load_checkpoint, without_prefix
from hga_cli.engine.inference import load_model
from hga_cli.workflows.train import train

CYCLE = 7


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    made = make_store(tmp_path_factory.mktemp("average") / "store")
    save_split(made.path, Split(name="judged", train=["case-1", "case-2", "case-3", "case-4"], val=["case-0"], test=[]))
    return Store(made.path)


def parts(path):
    """The model of a checkpoint, and the weights that were trained on."""
    tensors, _ = load_checkpoint(path)
    return without_prefix("model", tensors), without_prefix("outer.trained", tensors)


def test_the_model_of_a_run_is_the_average_of_its_cycles(store, tmp_path):
    """Two epochs of one cycle, each kept: the model after them is the mean of both, and a third one from its own."""
    changes = {"optim__epochs": 2, "optim__iterations": CYCLE, "data__split": "default"}
    run = finished(store, settings("hga", **changes), tmp_path / "run")
    (_, first), (model, second) = parts(run.previous), parts(run.last)
    assert any(not torch.equal(model[name], second[name]) for name in second)
    for name, value in model.items():
        torch.testing.assert_close(value, (first[name] + second[name]) / 2)


def test_what_a_run_predicts_with_is_its_average(store, tmp_path):
    run = finished(store, settings("hga", data__split="default"), tmp_path / "run")
    network = load_model(run.last, torch.device("cpu")).network.state_dict()
    model, _ = parts(run.last)
    assert all(torch.equal(network[name], value) for name, value in model.items())


def test_the_average_is_judged_and_kept_as_best(store, tmp_path, monkeypatch):
    judged = []

    def judge(examination, ranks, stop):
        judged.append({name: value.clone() for name, value in examination.model.network.state_dict().items()})
        return loop_validate(examination, ranks, stop=stop)

    loop_validate = loop.validate
    monkeypatch.setattr(loop, "validate", judge)
    changes = {"optim__epochs": 2, "optim__iterations": CYCLE, "data__split": "judged", "validation__every": 1}
    run = run_folder(tmp_path / "run")
    train(planned(store, settings("hga", **changes)), run)
    model, trained = parts(run.last)
    assert len(judged) == 2
    assert all(torch.equal(judged[-1][name], value) for name, value in model.items())
    assert any(not torch.equal(judged[-1][name], value) for name, value in trained.items())
    best, _ = parts(run.best)
    assert any(all(torch.equal(seen[name], value) for name, value in best.items()) for seen in judged)
