"""Norm and ReLU as one step give what torch's own layers give, in every layout, and only to the modalities there."""

import pytest
import torch
from _norms import LAYOUTS, norms_of, plain_norm_relu

from hga_cli.networks.norm_relu import norm_relu


@pytest.mark.parametrize(("dims", "layout"), LAYOUTS)
@pytest.mark.parametrize(("count", "batch"), [(1, 1), (1, 2), (3, 1), (2, 2)])
def test_values_and_gradients_are_those_of_plain_layers(dims, layout, count, batch):
    norms = norms_of(count, 6, torch.float64)
    start = torch.randn(count * batch, 6, *(5, 3, 4)[:dims], dtype=torch.float64) + 2
    weights = torch.randn_like(start)
    found = []
    for function in (plain_norm_relu, norm_relu):
        value = start.clone(memory_format=layout).requires_grad_()
        result = function(value, norms)
        gradients = torch.autograd.grad((result * weights).sum(), [value, *(p for n in norms for p in n.parameters())])
        found.append([result, *gradients])
    for expected, actual in zip(*found, strict=True):
        torch.testing.assert_close(actual, expected, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize(("dims", "layout"), LAYOUTS)
def test_the_layout_is_kept(dims, layout):
    value = torch.randn(2, 4, *(6,) * dims).contiguous(memory_format=layout)
    assert norm_relu(value, norms_of(2, 4, torch.float32)).is_contiguous(memory_format=layout)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last_3d])
def test_bf16_is_near_to_float32(layout):
    norms = norms_of(1, 16, torch.float32)
    start, weights = torch.randn(2, 1, 16, 12, 12, 12).unbind(0)
    gradients = []
    for kind in (torch.float32, torch.bfloat16):
        value = start.detach().to(kind).contiguous(memory_format=layout).clone().requires_grad_()
        norm_relu(value, norms).backward(weights.to(kind))
        gradients.append(value.grad.float())
    exact, rounded = gradients
    assert (exact - rounded).norm() < 0.02 * exact.norm()


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last_3d])
def test_the_gradient_that_comes_in_is_left_alone(layout):
    value = torch.randn(1, 4, 3, 3, 3).contiguous(memory_format=layout).requires_grad_()
    result = norm_relu(value, norms_of(1, 4, torch.float32))
    given = torch.randn_like(result)
    kept = given.clone()
    result.backward(given)
    assert torch.equal(given, kept)
