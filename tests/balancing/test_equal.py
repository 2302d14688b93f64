import pytest
import torch

from hga_cli.balancing.equal import Equal
from hga_cli.core.catalog import BALANCERS


@pytest.fixture
def parameters():
    values = {"shared": [1.0, 2.0], "fused": [3.0, 4.0], "t1": [5.0, -6.0], "idle": [7.0]}
    return {name: torch.tensor(value, requires_grad=True) for name, value in values.items()}


def losses_of(parameters):
    """Two tasks with one shared parameter and one of their own each; nobody uses the fourth."""
    shared = parameters["shared"]
    return {"fused": (shared * parameters["fused"]).sum() ** 2, "t1": (shared * parameters["t1"]).exp().mean()}


def test_the_gradient_is_that_of_the_sum(parameters):
    used = [parameters[name] for name in ("shared", "fused", "t1")]
    expected = torch.autograd.grad(sum(losses_of(parameters).values()), used)
    Equal().backward(losses_of(parameters), [parameters["shared"]])
    for parameter, gradient in zip(used, expected, strict=True):
        torch.testing.assert_close(parameter.grad, gradient)


def test_what_no_task_uses_gets_no_gradient(parameters):
    Equal().backward({"t1": losses_of(parameters)["t1"]}, iter([parameters["shared"]]))
    assert {name for name, parameter in parameters.items() if parameter.grad is not None} == {"shared", "t1"}


def test_a_gradient_is_added_to_what_is_there(parameters):
    parameters["shared"].grad = torch.tensor([10.0, 20.0])
    expected = torch.autograd.grad(losses_of(parameters)["t1"], parameters["shared"])[0] + torch.tensor([10.0, 20.0])
    Equal().backward({"t1": losses_of(parameters)["t1"]}, [parameters["shared"]])
    torch.testing.assert_close(parameters["shared"].grad, expected)


def test_order_of_tasks_does_not_matter(parameters):
    gradients = []
    for turn in (1, -1):
        parameters["shared"].grad = None
        Equal().backward(dict(list(losses_of(parameters).items())[::turn]), [parameters["shared"]])
        gradients.append(parameters["shared"].grad)
    torch.testing.assert_close(*gradients)


def test_it_has_no_state():
    assert Equal().state() == {}
    Equal().load({})


def test_the_catalog_knows_it():
    assert BALANCERS.load("equal") is Equal
