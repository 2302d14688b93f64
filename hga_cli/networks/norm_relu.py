"""Group norm, with the weights of each modality, and ReLU as one step that copies nothing."""

from collections.abc import Sequence
from math import gcd
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

aten = torch.ops.aten
ROW = 32
"""Voxels that are scaled together in a channels-last map: short rows of channels are slow."""


def norm_relu(stacked: Tensor, norms: Sequence[nn.GroupNorm]) -> Tensor:
    """Normalise each sample with the norm of its modality, and apply the ReLU.

    On a CPU, torch's way back through a group norm takes 2 (fp32) to 6 (bf16) times as long in channels-last maps as
    it has to, so there it is done here.

    Args:
        stacked: (n B, C, *space), n modalities one after another.
        norms: one for each modality.

    Raises:
        ValueError: a group has one number only.
    """
    require_several(stacked, norms)
    if stacked.device.type != "cpu" or torch.compiler.is_compiling():
        parts = [norm(part) for norm, part in zip(norms, stacked.chunk(len(norms)), strict=True)]
        return functional.relu(torch.cat(parts) if len(parts) > 1 else parts[0], inplace=True)
    result: Tensor = _NormReLU.apply(stacked, norms[0].num_groups, norms[0].eps, *weights_of(norms))  # type: ignore[no-untyped-call]
    return result


class _NormReLU(torch.autograd.Function):
    """All modalities are written into one map, which is also what the ReLU needs on the way back."""

    @staticmethod
    def forward(ctx: Any, stacked: Tensor, groups: int, eps: float, *weights: Tensor) -> Tensor:
        stacked = stacked.contiguous(memory_format=layout_of(stacked))
        result, moments = normed_relu(stacked, weights, groups, eps)
        ctx.save_for_backward(stacked, result, *moments, *weights)
        ctx.groups = groups
        return result

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        stacked, result, *rest = ctx.saved_tensors
        moments, weights = rest[: len(rest) // 2], rest[len(rest) // 2 :]
        changed = aten.threshold_backward(gradient.contiguous(memory_format=layout_of(stacked)), result, 0)
        return changed, None, None, *through_norm(changed, stacked, moments, weights, ctx.groups)


def normed_relu(stacked: Tensor, weights: Sequence[Tensor], groups: int, eps: float) -> tuple[Tensor, list[Tensor]]:
    """Return norm and ReLU of all modalities in one map, and mean and scale of each."""
    result = torch.empty_like(stacked)
    moments = []
    parts = zip(weights[::2], weights[1::2], _split(stacked, weights), _split(result, weights), strict=True)
    for weight, bias, part, target in parts:
        space = part[0, 0].numel()
        normed, *moment = aten.native_group_norm(part, weight, bias, *part.shape[:2], space, groups, eps)
        torch.clamp_min(normed, 0, out=target)
        moments += moment
    return result, moments


def through_norm(
    gradient: Tensor, stacked: Tensor, moments: Sequence[Tensor], weights: Sequence[Tensor], groups: int
) -> list[Tensor]:
    """Turn the gradient of normed maps, in place, into that of ``stacked``; return those of weights and biases."""
    back = _contiguous if stacked.is_contiguous() else _channels_last
    parts = _split(gradient, weights), _split(stacked, weights), moments[::2], moments[1::2], weights[::2]
    return [part for values in zip(*parts, strict=True) for part in back(*values, groups)]


def _contiguous(
    gradient: Tensor, value: Tensor, mean: Tensor, scale: Tensor, weight: Tensor, groups: int
) -> tuple[Tensor, Tensor]:
    """Turn the gradient of the result, (B, C, *space), in place, into that of ``value``; return the two others."""
    space = value[0, 0].numel()
    found = aten.native_group_norm_backward(
        gradient, value, mean, scale, weight, *value.shape[:2], space, groups, [True, True, True]
    )
    gradient.copy_(found[0])
    return found[1], found[2]


def _channels_last(
    gradient: Tensor, value: Tensor, mean: Tensor, scale: Tensor, weight: Tensor, groups: int
) -> tuple[Tensor, Tensor]:
    """Do the same for maps whose channels lie side by side.

    With x the value, m and s mean and scale of its group, w the weight, g the gradient and sums over the voxels of a
    channel, the gradients of bias and weight are b = sum g and a = s (sum g x - m b). With A and B the means of w a and
    w b over a group, per voxel and channel, the gradient of x is s (w g - B - A s (x - m)).
    """
    channels = value.shape[1]
    voxels = value[0, 0].numel()
    total = weight.new_zeros((2, channels))
    for sample in range(len(value)):
        g, x = _rows(gradient[sample]), _rows(value[sample])
        m, s = (moment[sample].to(weight.dtype).repeat_interleave(channels // groups) for moment in (mean, scale))
        b, gx = (product.sum(0).to(weight.dtype).view(-1, channels).sum(0) for product in (g, g * x))
        a = s * (gx - m * b)
        both = torch.stack([a, b])
        total += both
        per_group = (weight * both).view(2, groups, -1).mean(2) / voxels
        mean_a, mean_b = per_group.repeat_interleave(channels // groups, 1)
        factors = (s * weight, -s * s * mean_a, s * (s * m * mean_a - mean_b))
        of_g, of_x, constant = (factor.to(value.dtype).repeat(g.shape[1] // channels) for factor in factors)
        g.mul_(of_g).addcmul_(x, of_x).add_(constant)
    return total[0], total[1]


def _rows(sample: Tensor) -> Tensor:
    """Return (C, *space), channels last, as rows of several voxels with their channels; a view."""
    channels, voxels = len(sample), sample[0].numel()
    flat = sample.permute(*range(1, sample.ndim), 0).reshape(-1)
    return flat.view(-1, gcd(voxels, ROW) * channels)


def require_several(stacked: Tensor, norms: Sequence[nn.GroupNorm]) -> None:
    """Refuse groups of one number, as torch's layer does (ValueError)."""
    if stacked[0].numel() == norms[0].num_groups:
        message = f"Expected more than 1 value per group, found the shape {tuple(stacked.shape)}"
        raise ValueError(message)


def weights_of(norms: Sequence[nn.GroupNorm]) -> list[Tensor]:
    """Return weight and bias of the first, of the second, ..."""
    return [value for norm in norms for value in (norm.weight, norm.bias)]


def _split(stacked: Tensor, weights: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """Return the part of each modality, (B, C, *space)."""
    return stacked.chunk(len(weights) // 2)


def layout_of(value: Tensor) -> torch.memory_format:
    """Return how a map lies in memory."""
    last = torch.channels_last_3d if value.ndim == 5 else torch.channels_last
    if not value.is_contiguous() and value.is_contiguous(memory_format=last):
        return last
    return torch.contiguous_format
