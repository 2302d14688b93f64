"""mmFormer: convolutional encoders, a transformer inside each modality and one between modalities.

Source: Zhang et al., mmFormer, MICCAI 2022, as HGA uses it. Where we depart from the published code: a modality that is
absent has no tokens at all (there, its tokens are zeros that take part in the attention); tokens return to the place
they come from (there, their order is mixed up); the layers that merge modalities are sized by M (there, by K). Fusion
layers have a slot for each modality and use those of the modalities that are there, which is what zeros would give.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from hga_cli.core.combinations import Combination
from hga_cli.networks.backbone import Prediction
from hga_cli.networks.convolutions import Unit, convolution
from hga_cli.networks.levels import steps
from hga_cli.networks.separable import SeparableBackbone
from hga_cli.networks.slots import Merge, Slots, stacked
from hga_cli.networks.transformer import Layer, Places, as_image, as_tokens, require_transformer
from hga_cli.networks.typed import Modules, PerModality


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What fusion needs of one modality."""

    tokens: Tensor
    """(B, N, D)."""
    positions: Tensor
    """(1, N, D)."""
    grid: tuple[int, ...]
    """Places of the N tokens."""
    skips: tuple[Tensor, ...]
    """What the modality adds to the skip of each level but the deepest, fine to coarse."""


class MMFormer(SeparableBackbone):
    """Encoders of L levels with norms before convolutions; tokens at the deepest level; deep supervision from level 2.

    Args:
        modalities: names, in the order of the data set (M).
        classes: K, with background.
        dims: 2 or 3.
        width: channels of the first level (HGA: 8; published: 16).
        patch: size of training patches, for the positions of tokens; None: 80 on each axis.
        levels: L.
        channels: D, of a token.
        heads: of the attention.
        hidden: width of the perceptrons.
        depth: layers of each transformer.

    Raises:
        ConfigError: patch and levels, or channels and heads, do not fit, or there is no layer.
    """

    def __init__(
        self,
        modalities: Combination,
        classes: int,
        *,
        dims: int = 3,
        width: int = 8,
        patch: tuple[int, ...] | None = None,
        levels: int = 5,
        channels: int = 512,
        heads: int = 8,
        hidden: int = 4096,
        depth: int = 1,
    ) -> None:
        require_transformer(channels, heads, hidden, depth, backbone="mmformer")
        super().__init__(
            "mmformer", modalities, classes, dims=dims, width=width, levels=levels, order="before", patch=patch
        )
        widths = [width * 2**level for level in range(levels)]
        deepest = widths[-1]
        grid = [edge // self.stride for edge in patch or (80,) * dims]
        self.project: PerModality[nn.Module] = PerModality(
            {name: convolution(deepest, channels, 1, dims=dims) for name in modalities}
        )
        self.positions: PerModality[Places] = PerModality({name: Places(grid, channels) for name in modalities})
        self.inside: PerModality[Transformer] = PerModality(
            {name: Transformer(channels, heads, hidden, depth) for name in modalities}
        )
        self.between = Transformer(channels, heads, hidden, depth)
        self.back = Slots(channels, len(modalities) * deepest, modalities, dims=dims)
        self.deepest = nn.Sequential(
            Unit(len(modalities) * deepest, deepest, 1, "before", dims=dims),
            Unit(deepest, deepest, 3, "before", dims=dims, mirror=False),
            Unit(deepest, deepest, 1, "before", dims=dims),
        )
        self.merges: Modules[Merge] = Modules(
            Merge((channels, channels, channels), modalities, "before", dims=dims, mirror=False)
            for channels in widths[:-1]
        )
        self.steps = steps(width, levels, "before", dims=dims)
        self.head = convolution(width, classes, 1, dims=dims)
        self.deep_heads: Modules[nn.Module] = Modules(
            convolution(channels, classes, 1, dims=dims) for channels in widths[1:]
        )

    def prepare(self, name: str, levels: Sequence[Tensor]) -> Parts:
        """Run the transformer inside a modality, and compute what it adds to the skips."""
        grid = tuple(levels[-1].shape[2:])
        positions = self.positions[name](grid)
        return Parts(
            tokens=self.inside[name](as_tokens(self.project[name](levels[-1])), positions),
            positions=positions,
            grid=grid,
            skips=tuple(merge.part(name, level) for merge, level in zip(self.merges, levels[:-1], strict=True)),
        )

    def decode(self, groups: Sequence[Mapping[str, Parts]]) -> Prediction:
        """Run the transformer between the modalities of each group, and the fusion decoder."""
        value = self.deepest(self._between(groups))
        deep = [value]
        for level in reversed(range(len(self.merges))):
            step = self.steps[-1 - level]
            skip = self.merges[level]([[part.skips[level] for part in group.values()] for group in groups])
            value = step.join(skip, step.raised(value))
            deep.insert(0, value)
        logits = [head(one) for head, one in zip(self.deep_heads, deep[1:], strict=True)]
        return Prediction(logits=self.head(value), features=(value,), deep=tuple(logits))

    def _between(self, groups: Sequence[Mapping[str, Parts]]) -> Tensor:
        """Return what the tokens of each group say about each place, (G B, M C, *grid)."""
        tokens = stacked(torch.cat([part.tokens for part in group.values()], 1) for group in groups)
        batch = tokens.shape[0] // len(groups)
        positions = [torch.cat([part.positions for part in group.values()], 1) for group in groups]
        seen = self.between(tokens, stacked(one.expand(batch, -1, -1) for one in positions))
        totals = []
        for group, own in zip(groups, seen.chunk(len(groups)), strict=True):
            pairs = zip(group.items(), own.chunk(len(group), 1), strict=True)
            totals.append(
                self.back.total([self.back.part(name, as_image(one, part.grid)) for (name, part), one in pairs])
            )
        return stacked(totals)


class Transformer(nn.Module):
    """Layers that let tokens look at each other; each one is told their positions again.

    Args:
        channels: D.
        heads: of the attention.
        hidden: width of the perceptrons.
        depth: number of layers.
    """

    def __init__(self, channels: int, heads: int, hidden: int, depth: int) -> None:
        super().__init__()
        self.layers: Modules[Layer] = Modules(Layer(channels, heads, hidden) for _ in range(depth))

    def forward(self, tokens: Tensor, positions: Tensor) -> Tensor:
        """Map tokens (B, N, D) with positions (B or 1, N, D) to tokens."""
        for layer in self.layers:
            tokens = layer(tokens + positions)
        return tokens
