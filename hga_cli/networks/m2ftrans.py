"""M2FTrans: fusion tokens that look at the modalities that are there, and channel-wise fusion.

Source: Shi et al., M2FTrans, IEEE J. Biomed. Health Inform. 2023, as HGA uses it. Where we depart from the published
code: what is absent is left out (there, it is masked, which gives the same numbers); the tokens of a modality look at
their own modality only, so they are computed once for all combinations, with one draw of dropout; the layers that merge
modalities are sized by M (there, by K).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from hga_cli.core.combinations import Combination
from hga_cli.networks.backbone import Prediction
from hga_cli.networks.channel_attention import ChannelFusion
from hga_cli.networks.convolutions import Unit, convolution
from hga_cli.networks.levels import Join, steps
from hga_cli.networks.separable import SeparableBackbone
from hga_cli.networks.slots import Merge, stacked
from hga_cli.networks.transformer import Layer, Places, as_image, as_tokens, require_transformer
from hga_cli.networks.typed import Modules, PerModality

HIDDEN = 16
"""Channels from which logits of coarser scales are made."""
CHANNEL_WISE = 2
"""Levels, counted from the deepest, that are fused channel by channel."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What fusion needs of one modality."""

    seen: tuple[tuple[Tensor, Tensor], ...]
    """Keys and values of its tokens in each layer, (B, heads, N, D / heads)."""
    maps: tuple[Tensor, ...]
    """Coarse to fine: what the transformer makes of its tokens, the next level, and what it adds to finer skips."""


class M2FTrans(SeparableBackbone):
    """Encoders of L levels with norms after convolutions; deep supervision at all levels, in training only.

    Fusion tokens look at the tokens of the modalities, never the other way round. How much they look at each place in
    the first layer weighs the modalities there, at all levels; no gradient reaches these weights. The two deepest
    levels are fused channel by channel, the others by a convolution with a slot for each modality.

    Args:
        modalities: names, in the order of the data set (M).
        classes: K, with background.
        dims: 2 or 3.
        width: channels of the first level (HGA: 8; published: 16).
        patch: size of training patches, for the positions of tokens; None: 80 on each axis.
        levels: L; a token has D = width 2^(L-1) channels.
        heads: of the attention.
        hidden: width of the perceptrons.
        depth: layers of the transformer.

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
        heads: int = 8,
        hidden: int = 4096,
        depth: int = 3,
    ) -> None:
        super().__init__(
            "m2ftrans", modalities, classes, dims=dims, width=width, levels=levels, order="after", patch=patch
        )
        widths = [width * 2**level for level in range(levels)]
        require_transformer(widths[-1], heads, hidden, depth, backbone="m2ftrans")
        grid = [edge // self.stride for edge in patch or (80,) * dims]
        self.positions: PerModality[Places] = PerModality({name: Places(grid, widths[-1]) for name in modalities})
        self.fusion_positions = Places(grid, widths[-1])
        self.fusion_tokens = Places(grid, widths[-1], spread=1)
        self.layers: Modules[Layer] = Modules(Layer(widths[-1], heads, hidden) for _ in range(depth))
        self.channel_wise: Modules[ChannelFusion] = Modules(
            ChannelFusion(channels, modalities, dims=dims) for channels in widths[: -1 - CHANNEL_WISE : -1]
        )
        self.merges: Modules[Merge] = Modules(
            Merge((channels, channels, channels), modalities, "after", dims=dims)
            for channels in widths[-1 - CHANNEL_WISE :: -1]
        )
        self.join = Join(widths[-1], "after", dims=dims)
        self.steps = steps(width, levels, "after", dims=dims)
        self.head = convolution(width, classes, 1, dims=dims)
        self.deep_heads: Modules[nn.Module] = Modules(
            nn.Sequential(Unit(width, HIDDEN, 1, "after", dims=dims), convolution(HIDDEN, classes, 1, dims=dims))
            for width in widths
        )

    def prepare(self, name: str, levels: Sequence[Tensor]) -> Parts:
        """Let the tokens of a modality look at each other, and compute what it adds to the skips."""
        grid = levels[-1].shape[2:]
        tokens = as_tokens(levels[-1]) + self.positions[name](grid)
        seen = []
        for layer in self.layers:
            query, key, value = layer.split(tokens)
            tokens = layer.finish(tokens, layer.attend(query, key, value)[0])
            seen.append((key, value))
        merges = zip(self.merges, reversed(levels[:-CHANNEL_WISE]), strict=True)
        finer = [merge.part(name, level) for merge, level in merges]
        return Parts(seen=tuple(seen), maps=(as_image(tokens, grid), levels[-2], *finer))

    def decode(self, groups: Sequence[Mapping[str, Parts]]) -> Prediction:
        """Let the fusion tokens look at each group, and run the fusion decoder."""
        raised, weights = self._look(groups)
        raises = [raised]
        value = self.join(self._skip(groups, weights, raised, 0), raised)
        for up, step in enumerate(self.steps, start=1):
            raised = step.raised(value)
            value = step.join(self._skip(groups, weights, raised, up), raised)
            raises.append(raised)
        heads = zip(self.deep_heads, reversed(raises), strict=True) if self.training else ()
        return Prediction(logits=self.head(value), features=(value,), deep=tuple(head(one) for head, one in heads))

    def _look(self, groups: Sequence[Mapping[str, Parts]]) -> tuple[Tensor, list[dict[str, Tensor]]]:
        """Return what the fusion tokens see, (G B, D, *grid), and the weights (B, 1, *grid) of each group's places."""
        some = next(iter(groups[0].values())).maps[0]
        grid = some.shape[2:]
        tokens = self.fusion_tokens(grid) + self.fusion_positions(grid)
        tokens = tokens.expand(len(groups) * some.shape[0], -1, -1)
        first = None
        for place, layer in enumerate(self.layers):
            query, key, value = layer.split(tokens)
            seen = [[part.seen[place] for part in group.values()] for group in groups]
            keys = torch.cat([stacked(torch.cat([one for one, _ in group], 2) for group in seen), key], 2)
            values = torch.cat([stacked(torch.cat([one for _, one in group], 2) for group in seen), value], 2)
            looked, attention = layer.attend(query, keys, values)
            first = attention.detach() if first is None else first
            tokens = layer.finish(tokens, looked)
        assert first is not None
        looks = first.sum((1, 2))[:, : -tokens.shape[1]].chunk(len(groups))
        weights = [
            dict(zip(group, (one.view(-1, 1, *grid) for one in own.chunk(len(group), 1)), strict=True))
            for group, own in zip(groups, looks, strict=True)
        ]
        return as_image(tokens, grid), weights

    def _skip(
        self, groups: Sequence[Mapping[str, Parts]], weights: Sequence[Mapping[str, Tensor]], raised: Tensor, up: int
    ) -> Tensor:
        """Fuse a level, ``up`` levels above the deepest."""
        weighed = [
            {name: _enlarged(own[name], 2**up) * part.maps[up] for name, part in group.items()}
            for group, own in zip(groups, weights, strict=True)
        ]
        if up < CHANNEL_WISE:
            skip: Tensor = self.channel_wise[up](raised, weighed)
        else:
            skip = self.merges[up - CHANNEL_WISE]([list(group.values()) for group in weighed])
        return skip


def _enlarged(weights: Tensor, factor: int) -> Tensor:
    """Repeat each place of (B, 1, *grid) on each axis."""
    return functional.interpolate(weights, scale_factor=factor, mode="nearest")
