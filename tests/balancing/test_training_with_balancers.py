"""Every balancer inside the engine: a few steps on a tiny store, resumed, in parts, in several processes."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from _tasks import EVERY, PER_TASK, Problem
from _together import run_ranks
from _training import (
    CASES,
    assert_same_run,
    assert_same_tensors,
    make_store,
    one_thread,
    planned,
    run_folder,
    settings,
    training_of,
)
from test_ranks import WORKER

from hga_cli.core.catalog import BALANCERS
from hga_cli.core.errors import ConfigError
from hga_cli.core.run_folder import RunFolder
from hga_cli.engine.checkpoint import load_checkpoint
from hga_cli.engine.training import Training
from hga_cli.workflows.plan import scheme_of
from hga_cli.workflows.train import train

PLAIN = {"optim__optimiser": "sgd", "optim__momentum": 0.5, "data__patch": [8, 8, 8]}
"""SGD: AdamW makes whole steps of rounding errors where a gradient is zero."""
OPTIONS = {"bml": {"every": 3}, "dre": {"every": 1, "folds": 2}}
"""So that they act within a few steps."""
DRAW = ["graddrop", "ogm_ge", "random"]
"""They have no state; pcgrad and gmd draw as graddrop does."""
RANKS = Path(__file__).parent / "_ranks_of_balancers.py"
EARLY = {"network__backbone": "dynunet_early", "data__patch": [32, 32, 32]}


@pytest.fixture(autouse=True)
def slow_but_sure():
    with one_thread():
        yield


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    cases = {**CASES, "case-5": ("flair", "t1ce", "t2"), "case-6": ("t2",)}
    return make_store(tmp_path_factory.mktemp("balancers") / "store", cases)


def trained(store, steps=0, method="joint", **changes):
    training, patches = training_of(planned(store, settings(method, **changes)))
    for step in range(steps):
        training.learn(patches[step])
    return training, patches


def built(store, method="joint", **changes):
    """A training without memory, as a sweep looks at it beforehand."""
    scheme = scheme_of(planned(store, settings(method, **changes)))
    with torch.device("meta"):
        return Training(replace(scheme, device=torch.device("meta")))


def refused(store, says, method="joint", hint="", **changes):
    with pytest.raises(ConfigError) as caught:
        built(store, method, **changes)
    for text in says:
        assert text in caught.value.message
    assert caught.value.hint
    assert hint in caught.value.hint


def acting(name):
    return {"optim__balancer": name, "optim__balancer_options": OPTIONS.get(name, {})}


@pytest.mark.parametrize("name", EVERY)
def test_it_trains_and_continues_bit_for_bit(store, name):
    """Four steps an epoch, so that epochs end before and after the cut, bml rebalances and dre goes back."""
    changes = {**acting(name), "optim__iterations": 4, "optim__epochs": 4}
    (whole, patches), (resumed, _) = trained(store, **changes), trained(store, **changes)
    losses = []
    for step in range(16):
        if step == 10:
            resumed.load({key: value.clone() for key, value in whole.tensors().items()}, whole.state())
        for training in (whole, resumed)[: 1 + (step >= 10)]:
            loss = training.learn(patches[step])
            losses += [loss] if training is whole else []
            if (step + 1) % 4 == 0:
                training.end_epoch()
    assert_same_tensors(whole.tensors(), resumed.tensors())
    assert all(value.isfinite().all() for value in whole.tensors().values())
    assert sum(losses[-5:]) < sum(losses[:5])


@pytest.mark.parametrize("name", [name for name in PER_TASK if not BALANCERS.load(name).compares])
def test_a_batch_in_parts_is_the_batch(store, name):
    """Whole trainings in which each batch of two is computed in two parts."""
    (whole, _), (parts, _) = (
        trained(store, 6, **PLAIN, optim__balancer=name, optim__accumulate=count) for count in (1, 2)
    )
    tolerance = 1e-2 if name in ("graddrop", "gmd", "pcgrad", "gradvac") else 1e-3  # rounding may change a sign
    for key, value in whole.model.state_dict().items():
        torch.testing.assert_close(parts.model.state_dict()[key], value, atol=1e-4, rtol=tolerance)


@pytest.mark.parametrize("method", ["hga-published", "hga-late", "moddrop"])
def test_other_methods_with_it(store, method):
    training, _ = trained(store, 7, method, optim__balancer="pcgrad")
    assert all(value.isfinite().all() for value in training.tensors().values())


@pytest.mark.parametrize("changes", [{"optim__recompute": True}, {"log__cosine_every": 1}])
def test_other_settings_do_not_change_it(store, changes):
    (plain, _), (other, _) = (trained(store, 3, optim__balancer="upgrad", **some) for some in ({}, changes))
    for key, value in plain.model.state_dict().items():
        torch.testing.assert_close(other.model.state_dict()[key], value, msg=key)


@pytest.mark.parametrize("name", ["pcgrad", "gradnorm", "famo"])
def test_bf16_with_it(store, name):
    half, patches = trained(store, optim__precision="bf16", optim__balancer=name)
    whole, _ = trained(store, optim__balancer=name)
    for step in range(4):
        assert half.learn(patches[step]) == pytest.approx(whole.learn(patches[step]), rel=0.05)


@pytest.mark.parametrize("name", EVERY)
def test_absent_modalities_do_not_move(store, name):
    """The norms of a modality that is not in the batch keep weights, moments and None."""
    training, patches = trained(store, **acting(name))
    batch = next(patches[step] for step in range(40) if patches[step].combination == ("t2",))  # dre trains on both
    before = {key: value.clone() for key, value in training.model.state_dict().items()}
    training.learn(batch)
    absent = [name for name in training.scheme.modalities if name not in batch.combination]
    for key, parameter in training.model.named_parameters():
        if any(f".norms.{modality}." in key for modality in absent):
            assert parameter.grad is None
            assert torch.equal(parameter, before[key])
    assert not torch.equal(training.model.state_dict()["head.weight"], before["head.weight"])


def test_what_makes_no_sense_is_refused_before_training(store):
    early = {"says": ["bml", "single modalities", "dynunet_early"], "hint": "--backbone unet"}
    refused(store, **early, **EARLY, optim__balancer="bml")
    refused(store, ["dre", "single modalities"], **EARLY, optim__balancer="dre")
    refused(store, ["ogm_ge", "single modalities"], **EARLY, optim__balancer="ogm_ge")
    refused(store, ["agm", "accumulate is 2"], optim__balancer="agm", optim__accumulate=2)
    refused(store, ["famo", "accumulate is 2"], optim__balancer="famo", optim__accumulate=2)
    one_task = {"method.terms.separate.weight": 0}
    refused(store, ["pcgrad", "no modality alone"], optim__balancer="pcgrad", **one_task)
    trained(store, 1, **one_task)


def test_a_network_without_parameters_of_modalities_may_have_them(store):
    common = {"optim__balancer": "bml", "network__options": {"own_norms": False}}
    refused(store, ["bml", "backbone 'unet' has none"], hint="--set network.options.own_norms=true", **common)
    built(store, **common | {"network__options": {"own_norms": True}})


def test_losses_of_modalities_are_enough_unless_predictions_are_compared(store):
    """ShaSpec knows each modality by its specific feature, and predicts from all only."""
    changes = {"network__backbone": "shaspec", "data__patch": [32, 32, 32]}
    built(store, "shaspec", **changes, optim__balancer="pcgrad")
    for name in ("agm", "ogm_ge"):
        refused(store, [name, "nothing to compare", "no modality alone"], "shaspec", **changes, optim__balancer=name)


@pytest.mark.parametrize(("method", "outer"), [("hga-published", "interpolation"), ("meta", "meta")])
def test_what_moves_weights_itself_is_refused_where_an_outer_update_takes_it_back(store, method, outer):
    changes = {"optim__balancer": "dre", "optim__balancer_options": OPTIONS["dre"], "optim__iterations": 8}
    refused(store, ["dre", "moves weights", outer], method, "method.outer.kind=none", **changes)
    built(store, method, **changes, method__outer__kind="none")


@pytest.mark.parametrize("every", [3, 10])
def test_a_training_that_ends_before_anything_is_learnt_again_is_refused(store, every):
    changes = {"optim__balancer": "dre", "optim__balancer_options": {"every": every}}
    refused(store, ["dre", f"every {every} epochs", "optim.epochs is 3"], **changes, optim__epochs=3)
    built(store, **changes, optim__epochs=every + 1)


def test_options_are_checked(store):
    refused(store, ["'cagrad'", "no option 'd'"], optim__balancer="cagrad", optim__balancer_options={"d": 1.0})
    refused(store, ["'clamp'", "of type bool"], optim__balancer="gmd", optim__balancer_options={"clamp": 1.0})
    refused(store, ["'equal'", "no option"], optim__balancer_options={"c": 1.0})
    refused(store, ["'dwa'", "no option 'tasks'"], optim__balancer="dwa", optim__balancer_options={"tasks": "x"})


def test_two_processes_weigh_losses_as_one(store, tmp_path):
    """Two with a case each give the weights of one with two, where weights of losses do not follow single cases."""
    changes = {**PLAIN, "optim__balancer": "dwa", "optim__iterations": 4, "optim__epochs": 3}
    alone = run_folder(tmp_path / "alone")
    train(planned(store, settings("joint", **changes)), alone)
    run_ranks(WORKER, store.path, tmp_path / "together", "joint", json.dumps(changes))
    (left, _), (right, _) = (load_checkpoint(run.last) for run in (RunFolder(tmp_path / "together"), alone))
    assert set(left) == set(right)
    for key, tensor in left.items():
        if key.startswith(("model.", "balancer.")):
            torch.testing.assert_close(tensor, right[key], atol=1e-6, rtol=1e-4, msg=key)


def test_two_processes_learn_the_same_and_continue_bit_for_bit(store):
    """All that learn or draw, in one pair of processes; dre has steps in which both hold back what they have."""
    names = [name for name in EVERY if Problem().balancer(name).state()] + DRAW
    options = {name: OPTIONS.get(name, {}) for name in names}
    (told, _), _ = run_ranks(RANKS, store.path, json.dumps(options), patience=250)
    still = dict(line.split() for line in told.splitlines())
    assert set(still) == set(names) >= {"agm", "bml", "dre", "dwa", "famo", "gradnorm", "gradvac", "uncertainty"}
    assert [name for name, steps in still.items() if int(steps)] == ["dre"]


def test_two_processes_continue_from_files(store, tmp_path):
    """What the second process learnt is not lost: the checkpoint has it."""
    changes = {"optim__balancer": "gradnorm", "optim__iterations": 4, "data__patch": [8, 8, 8], "optim__epochs": 2}
    words = [store.path, tmp_path / "cut", "hga-published", json.dumps(changes)]
    run_ranks(WORKER, store.path, tmp_path / "whole", "hga-published", json.dumps(changes))
    run_ranks(WORKER, *words, "--stop-after", 6)
    run_ranks(WORKER, *words, "--resume")
    assert_same_run(RunFolder(tmp_path / "whole"), RunFolder(tmp_path / "cut"))
