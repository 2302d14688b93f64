import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from hga_cli.alignment.interpolation import Interpolation
from hga_cli.alignment.outer_update import OuterUpdate
from hga_cli.core.catalog import OUTER_UPDATES
from hga_cli.core.settings import Outer

CASES = json.loads((Path(__file__).parent / "golden_interpolation.json").read_text())["cases"]
golden = pytest.mark.parametrize("case", [pytest.param(case, id=case["name"]) for case in CASES])


class Weights(nn.Module):
    """A model that is nothing but its weights."""

    def __init__(self, values, second=()):
        super().__init__()
        self.theta = nn.Parameter(torch.tensor(values, dtype=torch.float64))
        self.other = nn.Parameter(torch.tensor(second, dtype=torch.float64))


def move(model, by):
    with torch.no_grad():
        for parameter, step in zip(model.parameters(), by, strict=True):
            parameter += torch.as_tensor(step)


@golden
def test_merges_as_published(case):
    """Compared with our few lines in the golden folder: the reference merges one step late and never the last cycle."""
    rng = np.random.default_rng(case["recipe_seed"])
    size = len(case["theta_end_of_training"])
    theta, deltas = rng.standard_normal(size), 0.1 * rng.standard_normal((case["steps"], size))
    assert [theta.sum(), deltas.sum()] == pytest.approx(case["sum"], rel=1e-9)
    epochs, per_epoch, cycle = case["settings"].values()
    model = Weights(theta.tolist())
    outer = Interpolation(model, Outer(kind="interpolation"))
    assert [outer.epsilon(epoch, epochs) for epoch in range(epochs)] == pytest.approx(case["epsilon"])
    found = []
    for step, delta in enumerate(deltas):
        move(model, [delta, []])
        if (step + 1) % cycle == 0:
            epoch = step // per_epoch
            outer.end_cycle(model, outer.epsilon(epoch, epochs))
            found.append((step, epoch, model.theta.tolist()))
    assert [(step, epoch) for step, epoch, _ in found] == [(m["after_step"], m["epoch"]) for m in case["merges"]]
    for (_, _, ours), merge in zip(found, case["merges"], strict=True):
        assert ours == pytest.approx(merge["theta_after_merge"], abs=1e-12)
    assert model.theta.tolist() == pytest.approx(case["theta_end_of_training"], abs=1e-12)


def test_epsilon_grows_from_a_tenth_towards_one():
    outer = Interpolation(Weights([0.0]), Outer(kind="interpolation"))
    assert outer.epsilon(0, 300) == pytest.approx(0.1)
    assert outer.epsilon(299, 300) == pytest.approx(0.997)
    steps = np.diff([outer.epsilon(epoch, 300) for epoch in range(300)])
    assert steps == pytest.approx(0.003)


def test_epsilon_starts_where_the_settings_say():
    outer = Interpolation(Weights([0.0]), Outer(kind="interpolation", epsilon=0.4))
    assert outer.epsilon(0, 10) == pytest.approx(0.4)
    assert outer.epsilon(5, 10) == pytest.approx(0.7)
    assert 0 < outer.epsilon(0, 0) <= 1


def test_epsilon_one_is_the_identity_and_still_moves_the_slow_weights():
    model = Weights([1.0, 2.0], [3.0])
    outer = Interpolation(model, Outer())
    move(model, [[0.3, -7.1], [1e-9]])
    before = [parameter.clone() for parameter in model.parameters()]
    outer.end_cycle(model, 1.0)
    torch.testing.assert_close(list(model.parameters()), before, rtol=0, atol=1e-15)
    assert torch.equal(outer.state()["theta"], model.theta)


def test_all_parameters_are_merged_in_place_and_stay_trainable():
    model = Weights([0.0, 0.0], [10.0])
    places = [parameter.data_ptr() for parameter in model.parameters()]
    outer = Interpolation(model, Outer())
    move(model, [[1.0, 2.0], [-4.0]])
    outer.end_cycle(model, 0.25)
    assert model.theta.tolist() == [0.25, 0.5]
    assert model.other.tolist() == [9.0]
    move(model, [[1.0, 0.0], [0.0]])
    outer.end_cycle(model, 0.5)
    assert model.theta.tolist() == [0.75, 0.5]
    assert places == [parameter.data_ptr() for parameter in model.parameters()]
    assert all(parameter.requires_grad and parameter.grad is None for parameter in model.parameters())


def test_slow_weights_do_not_follow_the_fast_ones():
    model = Weights([1.0])
    outer = Interpolation(model, Outer())
    move(model, [[5.0], []])
    assert outer.state()["theta"].tolist() == [1.0]


def test_state_round_trip():
    model, other = Weights([1.0, 2.0], [3.0]), Weights([0.0, 0.0], [0.0])
    outer, copy = Interpolation(model, Outer()), Interpolation(other, Outer())
    move(model, [[1.0, 1.0], [1.0]])
    outer.end_cycle(model, 0.5)
    copy.load({name: value.clone() for name, value in outer.state().items()})
    other.load_state_dict(model.state_dict())
    for one, update in ((model, outer), (other, copy)):
        move(one, [[0.1, 0.2], [0.3]])
        update.end_cycle(one, 0.1)
    assert torch.equal(model.theta, other.theta)
    assert torch.equal(model.other, other.other)


def test_loading_does_not_tie_the_slow_weights_to_what_was_loaded():
    outer = Interpolation(Weights([1.0]), Outer())
    loaded = torch.tensor([4.0], dtype=torch.float64)
    outer.load({"theta": loaded})
    loaded += 1
    assert outer.state()["theta"].tolist() == [4.0]


def test_no_outer_update_does_nothing():
    model = Weights([1.0, 2.0])
    outer = OuterUpdate(model, Outer())
    assert outer.epsilon(3, 10) == 1
    outer.end_cycle(model, 0.1)
    assert model.theta.tolist() == [1.0, 2.0]
    assert outer.state() == {}
    outer.load({})


def test_the_catalog_knows_both():
    assert OUTER_UPDATES.load("interpolation") is Interpolation
    assert OUTER_UPDATES.load("none") is OuterUpdate
