import pytest
import torch

from hga_cli.balancing.balancer import Step, mean_state
from hga_cli.balancing.equal import Equal
from hga_cli.core.catalog import BALANCERS


@pytest.fixture
def parameters():
    values = {"shared": [1.0, 2.0], "fused": [3.0, 4.0], "t1": [5.0, -6.0], "idle": [7.0]}
    return {name: torch.tensor(value, requires_grad=True) for name, value in values.items()}


@pytest.fixture
def equal(parameters):
    own = [parameters[name] for name in ("fused", "t1", "idle")]
    return Equal(("fused", "t1"), [parameters["shared"]], own)


def losses_of(parameters):
    """Two tasks with one shared parameter and one of their own each; nobody uses the fourth."""
    shared = parameters["shared"]
    return {"fused": (shared * parameters["fused"]).sum() ** 2, "t1": (shared * parameters["t1"]).exp().mean()}


def test_the_gradient_is_that_of_the_sum(parameters, equal):
    used = [parameters[name] for name in ("shared", "fused", "t1")]
    expected = torch.autograd.grad(sum(losses_of(parameters).values()), used)
    equal.backward(losses_of(parameters))
    for parameter, gradient in zip(used, expected, strict=True):
        torch.testing.assert_close(parameter.grad, gradient)


def test_a_gradient_is_added_to_what_is_there_with_its_share_and_scale(parameters, equal):
    parameters["shared"].grad = torch.tensor([10.0, 20.0])
    (plain,) = torch.autograd.grad(losses_of(parameters)["t1"], parameters["shared"])
    equal.begin(Step(scale=8.0))
    equal.backward({"t1": losses_of(parameters)["t1"]}, 0.25)
    torch.testing.assert_close(parameters["shared"].grad, 2 * plain + torch.tensor([10.0, 20.0]))


def test_it_has_no_state(equal):
    assert equal.state() == {}
    equal.load({})


def test_the_catalog_knows_it():
    assert BALANCERS.load("equal") is Equal


def test_the_mean_of_states_weighs_ranks_with_their_shares():
    states = [(share, {"x": torch.tensor([value, 1.0])}) for share, value in ((0.5, 2.0), (0.0, 100.0), (0.25, 8.0))]
    assert mean_state(states)["x"].tolist() == pytest.approx([4.0, 1.0])
