"""Region-aware fusion of RFNet: where each class probably lies, and how much each modality counts there.

A group is a set of modalities that are fused. G groups follow each other on the batch axis: G B samples.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from hga_cli.core.combinations import Combination
from hga_cli.networks.convolutions import SLOPE, Unit, activated, convolution
from hga_cli.networks.slots import Merge, stacked
from hga_cli.networks.typed import PerModality

HIDDEN = 16
"""Channels from which the logits of regions are made."""
WEIGHING = 128
"""Width of the perceptrons that weigh modalities."""
TINY = 1e-7


class RegionFinder(nn.Module):
    """Says where the classes are, from all modalities of a group and from the decoder.

    Args:
        channels: of the level (C), a multiple of 4.
        classes: K.
        modalities: names (M).
        dims: 2 or 3.
        is_deepest: there is no map of the decoder yet.
    """

    recomputable = True

    def __init__(self, channels: int, classes: int, modalities: Combination, *, dims: int, is_deepest: bool) -> None:
        super().__init__()
        self.merge = Merge((channels, channels // 4, channels), modalities, "after", dims=dims)
        self.hidden = Unit(channels if is_deepest else 2 * channels, HIDDEN, 1, "after", dims=dims)
        self.head = convolution(HIDDEN, classes, 1, dims=dims)

    def forward(self, groups: Sequence[Sequence[Tensor]], raised: Tensor | None) -> Tensor:
        """Return logits (G B, K, *space), from parts of the merge and the map of the decoder (G B, C, *space)."""
        embedded = self.merge(groups)
        both = embedded if raised is None else torch.cat([raised, embedded], 1)
        logits: Tensor = self.head(self.hidden(both))
        return logits


class RegionFusion(nn.Module):
    """Merges a level of all modalities of a group: half of the channels region by region, half by a short cut.

    For each class k, a perceptron of its own gives each modality a weight omega in (0, 1) from the mean feature of
    each modality in the region, and the size of the region. With the probability p of the region and the level x,
    R_k = p_k sum_m omega_(k,m) x_m. The first convolution over all R_k is computed as a sum over k of p_k (W_k x),
    where W_k holds the weights omega, so that the K C channels of R are never kept.

    Args:
        channels: of the level (C), an even number.
        classes: K.
        modalities: names (M).
        dims: 2 or 3.
    """

    recomputable = True

    def __init__(self, channels: int, classes: int, modalities: Combination, *, dims: int) -> None:
        super().__init__()
        self.weigh = Weigh(channels, classes, modalities)
        self.merge = convolution(classes * channels, channels, 1, dims=dims)
        self.refine = nn.Sequential(
            Unit(channels, channels, 3, "after", dims=dims), Unit(channels, channels // 2, 1, "after", dims=dims)
        )
        self.short_cut = Merge((channels, channels, channels // 2), modalities, "after", dims=dims)

    def forward(
        self, levels: Sequence[Mapping[str, Tensor]], short_cuts: Sequence[Sequence[Tensor]], regions: Tensor
    ) -> Tensor:
        """Merge each group to (G B, C, *space).

        Args:
            levels: of each group: modality -> (B, C, *space).
            short_cuts: of each group, the parts of its modalities.
            regions: probabilities (G B, K, *space).
        """
        parts = zip(levels, regions.flatten(2).chunk(len(levels)), strict=True)
        merged = stacked(self._merged(group, own) for group, own in parts)
        merged = merged.view(*merged.shape[:2], *regions.shape[2:])
        return torch.cat([self.refine(activated(merged)), self.short_cut(short_cuts)], 1)

    def _merged(self, group: Mapping[str, Tensor], regions: Tensor) -> Tensor:
        """Convolve the regions of one group, (B, K, V), to (B, C, V)."""
        values = {name: level.flatten(2) for name, level in group.items()}
        omega = torch.stack(list(self.weigh(values, regions).values()), 2)
        batch, classes, voxels = regions.shape
        kernel = self.merge.weight.reshape(-1, classes, self.merge.weight.shape[0])
        scaled = torch.einsum("bkm,okc->bkomc", omega, kernel).flatten(3).flatten(1, 2)
        maps = (scaled @ torch.cat(list(values.values()), 1)).view(batch, classes, -1, voxels)
        merged: Tensor = (maps * regions.to(maps.dtype).unsqueeze(2)).sum(1)
        return merged + self.merge.bias.to(merged.dtype).unsqueeze(1)  # type: ignore[union-attr]


class Weigh(nn.Module):
    """How much each modality counts in the region of each class: a perceptron per class.

    Args:
        channels: of the features (C).
        classes: K.
        modalities: names (M).
    """

    def __init__(self, channels: int, classes: int, modalities: Combination) -> None:
        super().__init__()
        fan = len(modalities) * channels + 1
        self.views: PerModality[View] = PerModality({name: View(channels, classes, fan) for name in modalities})
        self.size = nn.Parameter(torch.randn(classes, WEIGHING) * (2 / fan) ** 0.5)
        self.bias = nn.Parameter(torch.empty(classes, WEIGHING).uniform_(-(fan**-0.5), fan**-0.5))

    def forward(self, values: Mapping[str, Tensor], regions: Tensor) -> dict[str, Tensor]:
        """Return modality -> omega (B, K), from features (B, C, V) and probabilities (B, K, V)."""
        size = regions.mean(2, keepdim=True) + TINY
        shares = regions / (size * regions.shape[2])
        hidden = self.bias + self.size * size
        for name, value in values.items():
            described = (value @ shares.to(value.dtype).mT).mT
            hidden = hidden + torch.einsum("bkc,khc->bkh", described, self.views[name].inward)
        hidden = functional.leaky_relu(hidden, SLOPE)
        return {name: self.views[name](hidden) for name in values}


class View(nn.Module):
    """The weights of one modality in the perceptrons of `Weigh`.

    Args:
        channels: of its features (C).
        classes: K.
        fan: inputs of the perceptrons, all modalities together.
    """

    def __init__(self, channels: int, classes: int, fan: int) -> None:
        super().__init__()
        self.inward = nn.Parameter(torch.randn(classes, WEIGHING, channels) * (2 / fan) ** 0.5)
        self.outward = nn.Parameter(torch.randn(classes, WEIGHING) * (2 / WEIGHING) ** 0.5)
        self.bias = nn.Parameter(torch.empty(classes).uniform_(-(WEIGHING**-0.5), WEIGHING**-0.5))

    def forward(self, hidden: Tensor) -> Tensor:
        """Map (B, K, hidden) to omega (B, K)."""
        return ((hidden * self.outward).sum(2) + self.bias).sigmoid()
