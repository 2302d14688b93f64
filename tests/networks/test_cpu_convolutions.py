"""Convolutions done in other ways give what torch's own layers give, in every layout, and keep less."""

import pytest
import torch
from _norms import LAST, LAYOUTS, norms_of, plain_norm_relu
from torch import nn

from hga_cli.networks.cpu_convolutions import convolved, norm_relu_convolution, pointwise


def convolution_of(inputs, outputs, dims, layout, dtype=torch.float64):
    torch.manual_seed(2)
    made = (nn.Conv2d if dims == 2 else nn.Conv3d)(inputs, outputs, 3, padding=1)
    return made.to(dtype).to(memory_format=layout)


def plain(stacked, norms, convolution):
    return convolution(plain_norm_relu(stacked, norms))


def random(*shape, layout, dtype=torch.float64, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=dtype).contiguous(memory_format=layout).requires_grad_()


def agree(functions, inputs):
    """The functions return the same and have the same gradients."""
    found = []
    for function in functions:
        result = function()
        weights = torch.linspace(-1, 1, result.numel(), dtype=result.dtype).view(result.shape)
        found.append([result, *torch.autograd.grad((result * weights).sum(), inputs)])
    for expected, actual in zip(*found, strict=True):
        torch.testing.assert_close(actual, expected, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize(("dims", "layout"), LAYOUTS)
@pytest.mark.parametrize("channels", [(4,), (4, 2), (1, 3, 2)])
def test_maps_that_follow_each_other_are_convolved_as_if_side_by_side(dims, layout, channels):
    convolution = convolution_of(sum(channels), 3, dims, layout)
    space = (5, 3, 4)[:dims]
    maps = [random(2, number, *space, layout=layout, seed=place) for place, number in enumerate(channels)]
    functions = (lambda: convolution(torch.cat(maps, 1)), lambda: convolved(convolution, maps))
    agree(functions, [*maps, *convolution.parameters()])


@pytest.mark.parametrize(("dims", "layout"), LAYOUTS)
@pytest.mark.parametrize(("count", "batch"), [(1, 1), (1, 2), (3, 1), (2, 2)])
def test_norm_relu_and_convolution_are_those_of_plain_layers(dims, layout, count, batch):
    norms, convolution = norms_of(count, 6), convolution_of(6, 4, dims, layout)
    value = random(count * batch, 6, *(5, 3, 4)[:dims], layout=layout)
    functions = (lambda: plain(value, norms, convolution), lambda: norm_relu_convolution(value, norms, convolution))
    agree(functions, [value, *convolution.parameters(), *(p for norm in norms for p in norm.parameters())])


@pytest.mark.parametrize(("dims", "layout"), LAYOUTS)
def test_what_the_convolution_sees_is_not_kept(dims, layout):
    """Of maps only the one that was given is kept: plain layers keep what the norm gives, the ReLU gives, or both."""
    norms, convolution = norms_of(2, 6), convolution_of(6, 4, dims, layout)
    value = random(2, 6, *(8,) * dims, layout=layout)
    kept = []

    def keep(tensor):
        kept.append(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        norm_relu_convolution(value, norms, convolution)
    maps = [tensor for tensor in kept if tensor.shape[2:] == value.shape[2:]]
    assert [tensor.data_ptr() for tensor in maps] == [value.data_ptr()]


def side_by_side(value, norms, convolution):
    return norms[0](convolution(value))


def one_after_another(value, norms, convolution):
    return norms[0](convolved(convolution, [part.contiguous(memory_format=LAST) for part in value.split([10, 6], 1)]))


@pytest.mark.parametrize("layout", [torch.contiguous_format, LAST])
@pytest.mark.parametrize(
    ("plainly", "otherwise"), [(plain, norm_relu_convolution), (side_by_side, one_after_another)], ids=["norm", "maps"]
)
def test_bf16_is_as_near_to_float32_as_that_of_plain_layers(layout, plainly, otherwise):
    norms, convolution = norms_of(1, 16, torch.float32), convolution_of(16, 16, 3, layout, torch.float32)
    value = random(1, 16, 12, 12, 12, layout=layout, dtype=torch.float32)
    inputs = [value, *convolution.parameters(), *norms[0].parameters()]

    def gradients(function, kind):
        with torch.autocast("cpu", torch.bfloat16, enabled=kind == torch.bfloat16):
            result = function(value.to(kind), norms, convolution).to(kind)
        assert result.dtype == kind
        weights = random(*result.shape, layout=layout, dtype=torch.float32, seed=1).detach()
        found = torch.autograd.grad((result.float() * weights).sum(), inputs)
        assert {one.dtype for one in found} == {torch.float32}
        return found

    exact = gradients(plainly, torch.float32)
    usual, ours = gradients(plainly, torch.bfloat16), gradients(otherwise, torch.bfloat16)
    for right, other, own in zip(exact, usual, ours, strict=True):
        assert (right - own).norm() < 1.25 * (right - other).norm() + 1e-3 * right.norm()


def test_the_gradient_that_comes_in_is_left_alone():
    value = random(1, 4, 3, 3, 3, layout=torch.channels_last_3d)
    result = norm_relu_convolution(value, norms_of(1, 4), convolution_of(4, 4, 3, torch.channels_last_3d))
    given = torch.randn_like(result)
    kept = given.clone()
    result.backward(given)
    assert torch.equal(given, kept)


def test_a_group_of_one_number_is_refused():
    with pytest.raises(ValueError, match="more than 1 value"):
        norm_relu_convolution(
            torch.randn(1, 2, 1, 1, 1), [nn.GroupNorm(2, 2)], convolution_of(2, 2, 3, torch.contiguous_format)
        )


@pytest.mark.parametrize(("dims", "layout"), LAYOUTS)
@pytest.mark.parametrize("bias", [True, False])
def test_pointwise_is_the_convolution(dims, layout, bias):
    torch.manual_seed(0)
    convolution = (nn.Conv2d if dims == 2 else nn.Conv3d)(5, 3, 1, bias=bias).double()
    value = torch.randn(2, 5, *(4,) * dims, dtype=torch.float64).contiguous(memory_format=layout).requires_grad_()
    weights = torch.randn(2, 3, *(4,) * dims, dtype=torch.float64)
    inputs = [value, *convolution.parameters()]
    expected = torch.autograd.grad((convolution(value) * weights).sum(), inputs)
    actual = torch.autograd.grad((pointwise(convolution, value) * weights).sum(), inputs)
    torch.testing.assert_close(pointwise(convolution, value), convolution(value))
    for one, other in zip(actual, expected, strict=True):
        torch.testing.assert_close(one, other)
    assert pointwise(convolution, value).is_contiguous(memory_format=layout)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last_3d])
def test_pointwise_keeps_half_precision(layout):
    value = torch.randn(1, 4, 4, 4, 4).contiguous(memory_format=layout)
    with torch.autocast("cpu", torch.bfloat16):
        assert pointwise(nn.Conv3d(4, 2, 1), value).dtype == torch.bfloat16
