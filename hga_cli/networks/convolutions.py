"""Convolutions of mmFormer, RFNet and M2FTrans.

In all of them an instance norm without parameters and a leaky ReLU go together with a convolution, before or after it.
"""

from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from hga_cli.networks.cpu_convolutions import convolve, through_convolution
from hga_cli.networks.unet import CONVOLUTION

SLOPE = 0.2
"""Of the leaky ReLU."""
EPSILON = 1e-5
"""Added to the variance by the norm."""
Order = Literal["before", "after", "none"]
"""Where norm and activation stand, seen from the convolution."""


def convolution(inputs: int, outputs: int, kernel: int, *, dims: int, **options: Any) -> nn.Conv2d | nn.Conv3d:
    """Return a convolution whose weights are drawn from a Kaiming normal distribution."""
    made = CONVOLUTION[dims](inputs, outputs, kernel, **options)
    nn.init.kaiming_normal_(made.weight)
    return made


def activated(value: Tensor) -> Tensor:
    """Normalise each channel of each sample, (B, C, *space), and apply the leaky ReLU."""
    result: Tensor = _Activation.apply(value)  # type: ignore[no-untyped-call]
    return result


def mirrored(value: Tensor) -> Tensor:
    """Add one voxel at each end of each axis of (B, C, *space) by mirroring; an axis of one voxel repeats it."""
    edges = value.shape[2:]
    if min(edges) == 1:
        single = [int(edge == 1) for edge in reversed(edges)]
        value = functional.pad(value, [width for width in single for _ in range(2)], mode="replicate")
        return functional.pad(value, [1 - width for width in single for _ in range(2)], mode="reflect")
    return functional.pad(value, [1] * 2 * len(edges), mode="reflect")


class _Activation(torch.autograd.Function):
    """Norm and leaky ReLU as one step that keeps its output only.

    The leaky ReLU can be undone, so the way back needs neither the input nor the map in between; and the convolution
    that reads the output keeps it anyway. Plain layers keep three maps where this keeps one.
    """

    @staticmethod
    def forward(ctx: Any, value: Tensor) -> Tensor:
        flat = value.reshape(1, -1, *value.shape[2:])
        normed, _, scale = torch.native_batch_norm(
            flat, None, None, None, None, training=True, momentum=0.0, eps=EPSILON
        )
        active = functional.leaky_relu(normed, SLOPE, inplace=True).view(value.shape)
        ctx.save_for_backward(active, scale)
        return active

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        active, scale = ctx.saved_tensors
        flat = active.reshape(1, -1, *active.shape[2:])
        gradient = torch.ops.aten.leaky_relu_backward(gradient.reshape(flat.shape), flat, SLOPE, self_is_result=True)
        normed = functional.leaky_relu(flat, 1 / SLOPE)
        nothing, one = torch.zeros_like(scale), torch.ones_like(scale)
        gradient, _, _ = torch.ops.aten.native_batch_norm_backward(
            gradient, normed, scale, None, None, nothing, one, train=True, eps=EPSILON, output_mask=[True, False, False]
        )
        return gradient.view(active.shape)


class _MirrorConvolution(torch.autograd.Function):
    """Mirroring and convolution as one step that keeps the input, and mirrors it again on the way back."""

    @staticmethod
    def forward(ctx: Any, value: Tensor, weight: Tensor, bias: Tensor, stride: int) -> Tensor:
        ctx.save_for_backward(value, weight)
        ctx.stride = stride
        return convolve(mirrored(value), weight, bias, stride=stride)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor, Tensor, None]:
        value, weight = ctx.saved_tensors
        dims, aten = value.ndim - 2, torch.ops.aten
        to_value, to_weight, to_bias = through_convolution(
            gradient, mirrored(value), weight, stride=ctx.stride, needs_value=ctx.needs_input_grad[0]
        )
        if to_value is not None:
            fold = aten.reflection_pad3d_backward if dims == 3 else aten.reflection_pad2d_backward
            shaped = to_value.new_empty(1).expand(value.shape)
            to_value = fold(to_value, shaped, [1] * 2 * dims).to(value.dtype)
        return to_value, to_weight, to_bias, None


class Unit(nn.Module):
    """A convolution of 1 or 3 voxels, with norm and activation before it, after it, or without.

    Args:
        inputs: channels.
        outputs: channels.
        kernel: 1 or 3.
        order: of norm and activation.
        dims: 2 or 3.
        stride: 1 or 2.
        mirror: pad by mirroring; False: with zeros.
    """

    def __init__(
        self, inputs: int, outputs: int, kernel: int, order: Order, *, dims: int, stride: int = 1, mirror: bool = True
    ) -> None:
        super().__init__()
        self.order = order
        self.mirrors = mirror and kernel == 3
        self.stride = stride
        padding = 0 if self.mirrors else kernel // 2
        self.convolution = convolution(inputs, outputs, kernel, dims=dims, stride=stride, padding=padding)

    def forward(self, value: Tensor) -> Tensor:
        """Map (B, inputs, *space) to (B, outputs, *space / stride)."""
        if self.order == "before":
            value = activated(value)
        value = self._convolved(value)
        return activated(value) if self.order == "after" else value

    def _convolved(self, value: Tensor) -> Tensor:
        if self.mirrors and min(value.shape[2:]) > 1:
            own = self.convolution
            value = _MirrorConvolution.apply(value, own.weight, own.bias, self.stride)  # type: ignore[no-untyped-call]
        else:
            value = self.convolution(mirrored(value) if self.mirrors else value)
        return value
