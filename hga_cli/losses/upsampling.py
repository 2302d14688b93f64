"""Upsampling of coarse predictions to the label's resolution."""

import torch
from torch import Tensor

from hga_cli.losses.precision import full_precision


@full_precision
def upsample(values: Tensor, factor: int) -> Tensor:
    """Enlarge every spatial axis by a whole factor, linearly, with corners aligned.

    Voxel i of the enlarged axis shows position i (n - 1) / (factor n - 1) of the n voxels before: first and last voxel
    stay where they are. Done as one matrix product per axis, which gives what ``torch.nn.functional.interpolate`` gives
    (``align_corners=True``), for any number of axes, about three times faster on a CPU, and with a gradient that is
    the same in every run on a GPU too.

    Args:
        values: (B, C, *space).
        factor: 1 returns the values as they are.

    Returns:
        (B, C, *(factor * space)).
    """
    if factor == 1:
        return values
    for axis in range(2, values.ndim):
        values = (values.movedim(axis, -1) @ _interpolation(values, axis, factor)).movedim(-1, axis)
    return values


def _interpolation(values: Tensor, axis: int, factor: int) -> Tensor:
    """Share of each voxel (rows) in each voxel of the enlarged axis (columns)."""
    size = values.shape[axis]
    voxels = torch.arange(size, dtype=values.dtype, device=values.device).unsqueeze(1)
    positions = torch.linspace(0, size - 1, size * factor, dtype=values.dtype, device=values.device)
    return (1 - (positions - voxels).abs()).clamp(min=0)
