import pytest
import torch
from torch.nn import functional

from hga_cli.networks.convolutions import SLOPE, Unit, activated, mirrored

SHAPES = {"3D": (2, 3, 5, 4, 6), "2D": (2, 3, 5, 4), "one slice": (1, 3, 4, 5, 1)}
every_shape = pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)


def draw(shape):
    return torch.randn(shape, dtype=torch.double, generator=torch.Generator().manual_seed(0))


def plain(value):
    return functional.leaky_relu(functional.instance_norm(value), SLOPE)


@every_shape
def test_the_activation_is_a_norm_and_a_leaky_relu(shape):
    value = draw(shape).requires_grad_()
    torch.testing.assert_close(activated(value), plain(value))
    assert torch.autograd.gradcheck(activated, value)


@every_shape
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("order", ["before", "after", "none"])
def test_a_unit_is_norm_activation_and_a_mirrored_convolution(shape, stride, order):
    torch.manual_seed(0)
    unit = Unit(3, 4, 3, order, dims=len(shape) - 2, stride=stride).double()
    value = draw(shape).requires_grad_()
    before = plain(value) if order == "before" else value
    convolve = functional.conv3d if len(shape) == 5 else functional.conv2d
    modes = {"reflect": [int(edge > 1) for edge in shape[2:]], "replicate": [int(edge == 1) for edge in shape[2:]]}
    for mode, widths in modes.items():
        before = functional.pad(before, [width for width in reversed(widths) for _ in range(2)], mode=mode)
    expected = convolve(before, unit.convolution.weight, unit.convolution.bias, stride)
    torch.testing.assert_close(unit(value), plain(expected) if order == "after" else expected)
    gradients = []
    for result in (unit(value), plain(expected) if order == "after" else expected):
        weights = torch.linspace(-1, 1, result.numel(), dtype=torch.double).view_as(result)
        inputs = (value, unit.convolution.weight, unit.convolution.bias)
        gradients.append(torch.autograd.grad((result * weights).sum(), inputs, retain_graph=True))
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other)


def test_a_unit_can_pad_with_zeros():
    torch.manual_seed(0)
    unit = Unit(3, 4, 3, "none", dims=2, mirror=False).double()
    value = draw((2, 3, 5, 4))
    expected = functional.conv2d(value, unit.convolution.weight, unit.convolution.bias, padding=1)
    torch.testing.assert_close(unit(value), expected)


def test_mirroring_by_hand():
    line = torch.tensor([[1.0, 2.0, 3.0]]).view(1, 1, 1, 3)
    expected = torch.tensor([2.0, 1.0, 2.0, 3.0, 2.0]).expand(3, 5)  # the axis of one voxel is repeated
    assert torch.equal(mirrored(line)[0, 0], expected)


@pytest.mark.parametrize("order", ["before", "after"])
def test_a_unit_keeps_one_map_where_plain_layers_keep_three(order):
    kept = {}

    def keep(value):
        kept[value.untyped_storage().data_ptr()] = (value.untyped_storage().nbytes(), value)
        return value

    unit = Unit(4, 4, 3, order, dims=3)
    value = torch.randn(1, 4, 16, 16, 16, requires_grad=True)
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda value: value):
        unit(unit(unit(value)))
    one_map = value.numel() * 4
    maps = [size for size, _ in kept.values() if size >= one_map]
    assert sum(maps) <= 4 * one_map  # of three units, and the first input of those that convolve first


def test_weights_start_from_kaiming_normal():
    torch.manual_seed(0)
    weight = Unit(64, 64, 3, "before", dims=3).convolution.weight
    assert weight.std().item() == pytest.approx((2 / (64 * 27)) ** 0.5, rel=0.02)
