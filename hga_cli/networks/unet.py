"""Ensemble U-Net: one U-Net whose convolutions all modalities share, with group norms of their own.

Late fusion: each modality goes through the whole network and gives logits and a feature; the fused prediction is their
mean over the modalities that are there. It is the small backbone of HGA (width 16 is its published ratio 0.5).
"""

import math
from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from hga_cli.core.combinations import Combination
from hga_cli.core.errors import ConfigError
from hga_cli.networks.backbone import Backbone, Features, Prediction, mean
from hga_cli.networks.cpu_convolutions import convolved, norm_relu_convolution, pointwise
from hga_cli.networks.norm_relu import norm_relu

CONVOLUTION: dict[int, type[nn.Conv2d] | type[nn.Conv3d]] = {2: nn.Conv2d, 3: nn.Conv3d}
NORM_GROUPS = 8
COMMON = ("common",)
"""Whose the norms are where no modality has its own."""


class EnsembleUNet(Backbone):
    """Five levels with (1, 2, 4, 8, 8) x ``width`` channels; max pooling down, linear interpolation up.

    Sizes need not be multiples of 16: what was lost by pooling is padded with zeros on the way up (at the end of each
    axis). Convolutions start from Kaiming normal weights.

    Args:
        modalities: names, in the order of the data set (M).
        classes: K, with background.
        dims: 2 or 3.
        width: channels of the first level.
        patch: size of training patches, if known.
        own_norms: a set of norms per modality, which is the dynamic sharing of GMD; False: one set for all.

    Raises:
        ConfigError: the patch is so small that a group norm would have a single number.
    """

    def __init__(
        self,
        modalities: Combination,
        classes: int,
        *,
        dims: int = 3,
        width: int = 16,
        patch: tuple[int, ...] | None = None,
        own_norms: bool = True,
    ) -> None:
        super().__init__(modalities, classes, dims)
        self.own_norms = own_norms
        owners = modalities if own_norms else COMMON
        levels = [width, 2 * width, 4 * width, 8 * width, 8 * width]
        inputs = [1, *levels[:-1]]
        self.down = nn.ModuleList(
            DoubleConvolution(before, level, level, owners, dims) for before, level in zip(inputs, levels, strict=True)
        )
        self.up = nn.ModuleList()
        below = levels[-1]
        for index in (3, 2, 1, 0):
            both = levels[index] + below
            below = levels[max(index - 1, 0)]
            self.up.append(DoubleConvolution(both, both // 2, below, owners, dims))
        if patch is not None:
            self._require_room(patch)
        self.head = CONVOLUTION[dims](below, classes, 1)
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Conv3d):
                nn.init.kaiming_normal_(module.weight)

    def encode(self, images: Mapping[str, Tensor]) -> Features:
        """Run the whole network for the modalities, as one batch; features are (logits, last feature, deepest one)."""
        names = tuple(images)
        values = self._run(torch.cat([images[name] for name in names]), names)
        parts = zip(*(value.chunk(len(names)) for value in values), strict=True)
        return dict(zip(names, parts, strict=True))

    def fuse(self, features: Features, combination: Combination) -> Prediction:
        """Return the mean of logits over the combination, and the features to take it of."""
        logits, shown, deepest = zip(*(features[name] for name in combination), strict=True)
        return Prediction(logits=mean(logits), features=shown, deepest=mean(deepest))

    def shared_parameters(self) -> Iterable[nn.Parameter]:
        """Return all convolutions, and the norms where they do not belong to the modalities."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Conv3d) or (isinstance(module, nn.GroupNorm) and not self.own_norms):
                yield from module.parameters()

    def _require_room(self, patch: tuple[int, ...]) -> None:
        """Check that more than one voxel is left wherever a group of a norm is one channel."""
        levels = [*enumerate(self.down), *zip((3, 2, 1, 0), self.up, strict=True)]
        edge = max((2 ** (level + 1) for level, block in levels if _norms_single_channels(block)), default=1)
        if max(patch) < edge:
            fitting = list(patch)
            fitting[patch.index(max(patch))] = edge
            message = f"a patch of {'x'.join(map(str, patch))} does not fit backbone 'unet' of this width: "
            message += f"a norm would have a single number; one edge should be at least {edge}"
            raise ConfigError(message, hint=f"set data.patch = {fitting}")

    def _run(self, stacked: Tensor, names: Combination) -> tuple[Tensor, Tensor, Tensor]:
        owners = names if self.own_norms else COMMON
        skips = [self.down[0]([stacked], owners)]
        for level in list(self.down)[1:]:
            skips.append(level([_max_pool(skips[-1], self.dims)], owners))
        value = deepest = skips.pop()
        for level, skip in zip(self.up, reversed(skips), strict=True):
            value = level([skip, _doubled(value, skip.shape[2:])], owners)
        return pointwise(self.head, value), value, deepest


class DoubleConvolution(nn.Module):
    """Twice: convolution 3, group norm of the owner, which is a modality or all of them, ReLU."""

    def __init__(self, inputs: int, middle: int, outputs: int, owners: Combination, dims: int) -> None:
        super().__init__()
        self.convolutions = nn.ModuleList(
            [CONVOLUTION[dims](inputs, middle, 3, padding=1), CONVOLUTION[dims](middle, outputs, 3, padding=1)]
        )
        self.norms = nn.ModuleDict(
            {name: nn.ModuleList([_group_norm(middle), _group_norm(outputs)]) for name in owners}
        )

    def forward(self, maps: Sequence[Tensor], owners: Combination) -> Tensor:
        """Map (n B, inputs, *space), n owners one after another, to (n B, outputs, *space).

        The input may come as several maps, whose channels follow each other.
        """
        before, after = ([self._norm(name, place) for name in owners] for place in range(2))
        value = convolved(self._convolution(0), maps)
        return norm_relu(norm_relu_convolution(value, before, self._convolution(1)), after)

    def _convolution(self, place: int) -> nn.Conv2d | nn.Conv3d:
        convolution = self.convolutions[place]
        assert isinstance(convolution, nn.Conv2d | nn.Conv3d)
        return convolution

    def _norm(self, name: str, place: int) -> nn.GroupNorm:
        norms = self.norms[name]
        assert isinstance(norms, nn.ModuleList)
        norm = norms[place]
        assert isinstance(norm, nn.GroupNorm)
        return norm


def _group_norm(channels: int) -> nn.GroupNorm:
    return nn.GroupNorm(math.gcd(NORM_GROUPS, channels), channels)


def _norms_single_channels(block: nn.Module) -> bool:
    norms = [module for module in block.modules() if isinstance(module, nn.GroupNorm)]
    return any(norm.num_groups == norm.num_channels for norm in norms)


def _max_pool(value: Tensor, dims: int) -> Tensor:
    """Halve each axis; an axis of one voxel stays."""
    kernel = [min(2, size) for size in value.shape[2:]]
    return functional.max_pool3d(value, kernel) if dims == 3 else functional.max_pool2d(value, kernel)


def _doubled(value: Tensor, size: torch.Size) -> Tensor:
    """Double each axis linearly and pad with zeros at the end to ``size``."""
    wanted = [min(2 * old, new) for old, new in zip(value.shape[2:], size, strict=True)]
    mode = "trilinear" if len(size) == 3 else "bilinear"
    value = functional.interpolate(value, size=wanted, mode=mode, align_corners=True)
    padding = [(0, new - old) for old, new in zip(value.shape[2:], size, strict=True)]
    if value.shape[2:] == size:
        return value
    return functional.pad(value, [number for pair in reversed(padding) for number in pair])
