"""Encoder and decoder of mmFormer, RFNet and M2FTrans: levels that halve the size and double the channels.

w is the width, the channels of the first level; L the number of levels. Level l has w 2^(l-1) channels at the size of
the image divided by 2^(l-1).
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from hga_cli.networks.convolutions import Order, Unit, convolution
from hga_cli.networks.typed import Modules


class Encoder(nn.Module):
    """All levels of one modality. With norms before convolutions, the first one, which sees the image, has none.

    Args:
        width: w.
        levels: L.
        order: of norm and activation.
        dims: 2 or 3.
    """

    def __init__(self, width: int, levels: int, order: Order, *, dims: int) -> None:
        super().__init__()
        self.levels: Modules[Level] = Modules(Level(width, level, order, dims=dims) for level in range(levels))

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """Map (B, 1, *space) to the levels, fine to coarse, (B, w 2^i, *space / 2^i)."""
        values = [image]
        for level in self.levels:
            values.append(level(values[-1]))
        return tuple(values[1:])


class Level(nn.Module):
    """Three convolutions, the last two around a short cut.

    Args:
        width: w.
        level: i, 0 for the finest.
        order: of norm and activation.
        dims: 2 or 3.
    """

    recomputable = True

    def __init__(self, width: int, level: int, order: Order, *, dims: int) -> None:
        super().__init__()
        inputs, outputs = (width * 2 ** (level - 1), width * 2**level) if level else (1, width)
        sees_image = level == 0 and order == "before"
        self.first = Unit(inputs, outputs, 3, "none" if sees_image else order, dims=dims, stride=min(level, 1) + 1)
        self.second = Unit(outputs, outputs, 3, order, dims=dims)
        self.third = Unit(outputs, outputs, 3, order, dims=dims)

    def forward(self, value: Tensor) -> Tensor:
        """Map the level before, or the image, to this level."""
        start: Tensor = self.first(value)
        finished: Tensor = start + self.third(self.second(start))
        return finished


class Step(nn.Module):
    """One level of a decoder: from the level below, upsampled, and a skip of this level.

    Args:
        below: channels of the level below.
        channels: of this level, and of the skip.
        order: of norm and activation.
        dims: 2 or 3.
    """

    def __init__(self, below: int, channels: int, order: Order, *, dims: int) -> None:
        super().__init__()
        self.raised = Raise(below, channels, order, dims=dims)
        self.join = Join(channels, order, dims=dims)


class Raise(nn.Module):
    """Upsampling and a convolution.

    Args:
        below: channels of the level below.
        channels: of the result.
        order: of norm and activation.
        dims: 2 or 3.
    """

    recomputable = True

    def __init__(self, below: int, channels: int, order: Order, *, dims: int) -> None:
        super().__init__()
        self.unit = Unit(below, channels, 3, order, dims=dims)

    def forward(self, value: Tensor) -> Tensor:
        """Map (B, below, *space / 2) to (B, channels, *space)."""
        raised: Tensor = self.unit(doubled(value))
        return raised


class Join(nn.Module):
    """Two maps become one.

    Args:
        channels: of each map, and of the result.
        order: of norm and activation.
        dims: 2 or 3.
    """

    recomputable = True

    def __init__(self, channels: int, order: Order, *, dims: int) -> None:
        super().__init__()
        self.both = Unit(2 * channels, channels, 3, order, dims=dims)
        self.out = Unit(channels, channels, 1, order, dims=dims)

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """Map (B, channels, *space) twice to (B, channels, *space)."""
        joined: Tensor = self.out(self.both(torch.cat([first, second], 1)))
        return joined


class SeparateDecoder(nn.Module):
    """Decoder of one modality, with the levels of its encoder as skips; all modalities use the same weights.

    Args:
        width: w.
        levels: L.
        classes: K.
        order: of norm and activation.
        dims: 2 or 3.
    """

    def __init__(self, width: int, levels: int, classes: int, order: Order, *, dims: int) -> None:
        super().__init__()
        self.steps = steps(width, levels, order, dims=dims)
        self.head = convolution(width, classes, 1, dims=dims)

    def forward(self, levels: Sequence[Tensor]) -> Tensor:
        """Map the levels of an encoder, fine to coarse, to logits (B, K, *space)."""
        value = levels[-1]
        for step, skip in zip(self.steps, reversed(levels[:-1]), strict=True):
            value = step.join(step.raised(value), skip)
        logits: Tensor = self.head(value)
        return logits


def steps(width: int, levels: int, order: Order, *, dims: int) -> Modules[Step]:
    """Return the steps of a decoder, coarse to fine: L - 1 of them."""
    channels = [width * 2**level for level in range(levels)]
    return Modules(
        Step(channels[level + 1], channels[level], order, dims=dims) for level in reversed(range(levels - 1))
    )


def doubled(value: Tensor) -> Tensor:
    """Double each axis of (B, C, *space) linearly; first and last voxel stay where they are."""
    mode = "trilinear" if value.ndim == 5 else "bilinear"
    return functional.interpolate(value, scale_factor=2, mode=mode, align_corners=True)
