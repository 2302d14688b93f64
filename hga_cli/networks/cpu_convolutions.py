"""Convolutions in ways that cost less time or memory on a CPU, and give the same up to rounding.

`hga_cli.engine.precision.refuse_two_planes` looks where a module is called. Not all of the U-Net are called here, but
the first of each level on the way down is, and there are no other sizes.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from hga_cli.networks.norm_relu import layout_of, norm_relu, normed_relu, require_several, through_norm, weights_of

aten = torch.ops.aten


def pointwise(convolution: nn.Conv2d | nn.Conv3d, value: Tensor) -> Tensor:
    """Apply a convolution of one voxel to (B, C, *space) as a matrix product.

    On a CPU the way back is many times faster in fp32. The result lies in memory as the value does.
    """
    weight, bias = convolution.weight.flatten(1), convolution.bias
    if value.is_contiguous():
        product = weight @ value.flatten(2)
        product = product if bias is None else product + bias.unsqueeze(1).to(product.dtype)
        return product.view(*product.shape[:2], *value.shape[2:])
    return functional.linear(value.movedim(1, -1), weight, bias).movedim(-1, 1)


def convolve(value: Tensor, kernel: Tensor, bias: Tensor | None, *, stride: int = 1, padding: int = 0) -> Tensor:
    """Convolve (B, C, *space) in 2 or 3 dimensions."""
    function = functional.conv3d if value.ndim == 5 else functional.conv2d
    return function(value, kernel, bias, stride, padding)


def through_convolution(
    gradient: Tensor, value: Tensor, kernel: Tensor, *, stride: int = 1, padding: int = 0, needs_value: bool = True
) -> tuple[Tensor | None, Tensor, Tensor]:
    """Return the gradients of value, kernel and bias from that of what ``convolve`` returned.

    They are computed in the precision of the gradient; those of kernel and bias are then widened to that of the kernel.
    """
    kind, dims = gradient.dtype, value.ndim - 2
    to_value, to_kernel, to_bias = aten.convolution_backward(
        gradient,
        value.to(kind),
        kernel.to(kind),
        [len(kernel)],
        stride=[stride] * dims,
        padding=[padding] * dims,
        dilation=[1] * dims,
        transposed=False,
        output_padding=[0] * dims,
        groups=1,
        output_mask=[needs_value, True, True],
    )
    return to_value, to_kernel.to(kernel.dtype), to_bias.to(kernel.dtype)


def convolved(convolution: nn.Conv2d | nn.Conv3d, maps: Sequence[Tensor]) -> Tensor:
    """Apply a convolution of 3 voxels, padded with zeros, to maps (B, c, *space) whose channels follow each other.

    On a CPU a copy of them side by side is not made, and not kept for the way back, where channels lie last: it takes
    as long. Where they do not, or on a GPU, it is made, as narrow convolutions would take longer.
    """
    result: Tensor
    if len(maps) == 1 or maps[0].device.type != "cpu" or maps[0].is_contiguous():
        result = convolution(torch.cat(list(maps), 1) if len(maps) > 1 else maps[0])
        return result
    kernels = torch.split(convolution.weight, [one.shape[1] for one in maps], 1)
    result = convolve(maps[0], kernels[0], convolution.bias, padding=1)
    for one, kernel in zip(maps[1:], kernels[1:], strict=True):
        result.add_(convolve(one, kernel, None, padding=1))
    return result


def norm_relu_convolution(stacked: Tensor, norms: Sequence[nn.GroupNorm], convolution: nn.Conv2d | nn.Conv3d) -> Tensor:
    """Normalise each sample with the norm of its modality, apply the ReLU, and convolve.

    On a CPU what the convolution sees is forgotten, and made again on the way back: the U-Net keeps a sixth less for
    it, and a step takes up to 1/20 longer.

    Args:
        stacked: (n B, C, *space), n modalities one after another.
        norms: one for each modality.
        convolution: of 3 voxels, padded with zeros, with a bias.

    Raises:
        ValueError: a group has one number only.
    """
    result: Tensor
    if stacked.device.type != "cpu" or torch.compiler.is_compiling():
        result = convolution(norm_relu(stacked, norms))
        return result
    require_several(stacked, norms)
    result = _NormReLUConvolution.apply(  # type: ignore[no-untyped-call]
        stacked, convolution.weight, convolution.bias, norms[0].num_groups, norms[0].eps, *weights_of(norms)
    )
    return result


class _NormReLUConvolution(torch.autograd.Function):
    """It keeps what it was given, and not the map that the convolution sees, whose gradient is changed in place."""

    @staticmethod
    def forward(
        ctx: Any, stacked: Tensor, kernel: Tensor, bias: Tensor, groups: int, eps: float, *weights: Tensor
    ) -> Tensor:
        stacked = stacked.contiguous(memory_format=layout_of(stacked))
        result, moments = normed_relu(stacked, weights, groups, eps)
        ctx.save_for_backward(stacked, kernel, *moments, *weights)
        ctx.groups, ctx.eps = groups, eps
        return convolve(result, kernel, bias, padding=1)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        stacked, kernel, *rest = ctx.saved_tensors
        moments, weights = rest[: len(rest) // 2], rest[len(rest) // 2 :]
        result, _ = normed_relu(stacked, weights, ctx.groups, ctx.eps)
        back, to_kernel, to_bias = through_convolution(gradient, result, kernel, padding=1)
        assert back is not None
        changed = back.to(stacked.dtype).contiguous(memory_format=layout_of(stacked))
        aten.threshold_backward.grad_input(changed, result, 0, grad_input=changed)
        to_weights = through_norm(changed, stacked, moments, weights, ctx.groups)
        return changed, to_kernel, to_bias, None, None, *to_weights
