"""Layers of ShaSpec, whose kernels are standardised each time they are used, and the encoder made of them.

Every kernel has mean 0 and variance 1 over its inputs, so the size of its weights means nothing. w is the width.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.parametrize import register_parametrization

from hga_cli.networks.unet import CONVOLUTION

TINY = 1e-12
SLOPE = 0.01
"""Of the leaky ReLU."""
DILATIONS = (2, 4, 8)
NORM: dict[int, type[nn.InstanceNorm2d] | type[nn.InstanceNorm3d]] = {2: nn.InstanceNorm2d, 3: nn.InstanceNorm3d}
TRANSPOSED: dict[int, type[nn.ConvTranspose2d] | type[nn.ConvTranspose3d]] = {
    2: nn.ConvTranspose2d,
    3: nn.ConvTranspose3d,
}


class Standardised(nn.Module):
    """How a convolution sees its kernels: each output's has mean 0 and unbiased variance 1."""

    def forward(self, weight: Tensor) -> Tensor:
        """Keep the shape (O, I, *kernel)."""
        variance, mean = torch.var_mean(weight, dim=tuple(range(1, weight.ndim)), keepdim=True)
        return (weight - mean) / (variance + TINY).sqrt()


def convolution(
    inputs: int, outputs: int, kernel: int, *, dims: int, stride: int = 1, dilation: int = 1
) -> nn.Conv2d | nn.Conv3d:
    """Return a standardised convolution without bias that keeps the size, but for its stride."""
    options: dict[str, Any] = {"stride": stride, "dilation": dilation, "padding": dilation * (kernel // 2)}
    made = CONVOLUTION[dims](inputs, outputs, kernel, bias=False, **options)
    nn.init.kaiming_normal_(made.weight, mode="fan_out")
    register_parametrization(made, "weight", Standardised())
    return made


def transposed(inputs: int, outputs: int, *, dims: int) -> nn.Module:
    """Return a plain transposed convolution without bias that doubles the size."""
    made = TRANSPOSED[dims](inputs, outputs, 2, stride=2, bias=False)
    nn.init.kaiming_normal_(made.weight, mode="fan_out")
    return made


def unit(
    inputs: int, outputs: int, kernel: int, *, dims: int, stride: int = 1, dilation: int = 1, is_active: bool = True
) -> nn.Sequential:
    """Return standardised convolution, instance norm and, if active, leaky ReLU."""
    made = convolution(inputs, outputs, kernel, dims=dims, stride=stride, dilation=dilation)
    unit = nn.Sequential(made, NORM[dims](outputs, affine=True))
    return unit.append(nn.LeakyReLU(SLOPE)) if is_active else unit


class Encoder(nn.Module):
    """A residual network with four stages, and a pyramid of dilated convolutions at its end.

    Args:
        width: w; the feature has 4 w channels.
        dims: 2 or 3.
    """

    def __init__(self, width: int, dims: int) -> None:
        super().__init__()
        self.stem = unit(1, width, 7, dims=dims)
        self.pool = {2: nn.MaxPool2d, 3: nn.MaxPool3d}[dims](3, stride=2, padding=1)
        inner = [width, 2 * width, 4 * width, 5 * width]
        inputs = [width, *(4 * channels for channels in inner)]
        self.stages = nn.ModuleList(
            Stage(inputs[place], inner[place], dims=dims, stride=min(place, 1) + 1) for place in range(4)
        )
        self.reduce = unit(inputs[-1], 4 * width, 1, dims=dims)
        self.pyramid = Pyramid(4 * width, dims)

    def forward(self, image: Tensor) -> tuple[Tensor, list[Tensor], Tensor]:
        """Encode images of one modality.

        Args:
            image: (B, 1, *space), multiples of 16.

        Returns:
            Feature (B, 4 w, *space / 16); skips at 1, 1/2, 1/4, 1/8 with w, 4 w, 8 w, 16 w channels; mean (B, 4 w).
        """
        skips = [self.stem(image)]
        value = self.pool(skips[0])
        for stage in self.stages:
            value = stage(value)
            skips.append(value)
        reduced = self.reduce(skips.pop())
        return self.pyramid(reduced), skips, reduced.flatten(2).mean(2)


class Stage(nn.Module):
    """A residual block: C to 4 P channels through P inner ones."""

    def __init__(self, inputs: int, inner: int, *, dims: int, stride: int) -> None:
        super().__init__()
        self.main = nn.Sequential(
            unit(inputs, inner, 3, dims=dims, stride=stride), unit(inner, 4 * inner, 1, dims=dims, is_active=False)
        )
        self.side = unit(inputs, 4 * inner, 1, dims=dims, stride=stride, is_active=False)

    def forward(self, value: Tensor) -> Tensor:
        """Map (B, C, *space) to (B, 4 P, *space / stride)."""
        return functional.leaky_relu(self.main(value) + self.side(value), SLOPE)


class Pyramid(nn.Module):
    """The same map seen at several distances: voxel, three dilations, and the whole.

    What the whole adds is the same at every voxel, and the norm of ``join`` takes it away again. It is kept so that the
    parameters are those of the published network.
    """

    def __init__(self, channels: int, dims: int) -> None:
        super().__init__()
        self.near = unit(channels, channels, 1, dims=dims)
        self.far = nn.ModuleList(unit(channels, channels, 3, dims=dims, dilation=dilation) for dilation in DILATIONS)
        self.whole = nn.Sequential(
            convolution(channels, channels, 1, dims=dims), nn.GroupNorm(1, channels), nn.LeakyReLU(SLOPE)
        )
        self.join = unit((2 + len(DILATIONS)) * channels, channels, 1, dims=dims)

    def forward(self, value: Tensor) -> Tensor:
        """Keep the shape (B, C, *space)."""
        whole = self.whole(value.mean(tuple(range(2, value.ndim)), keepdim=True)).expand_as(value)
        joined: Tensor = self.join(torch.cat([self.near(value), *(branch(value) for branch in self.far), whole], 1))
        return joined
