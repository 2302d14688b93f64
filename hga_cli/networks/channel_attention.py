"""Channel-wise fusion of M2FTrans: channels of a query map look at the channels of all modalities.

A group is a set of modalities that are fused. G groups follow each other on the batch axis: G B samples.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from hga_cli.core.combinations import Combination
from hga_cli.networks.convolutions import convolution
from hga_cli.networks.slots import stacked
from hga_cli.networks.transformer import DROPOUT
from hga_cli.networks.typed import Modules, PerModality

EXPANSION = 4
BLOCKS = 2


class ChannelFusion(nn.Module):
    """Two blocks of channel attention.

    Args:
        channels: C.
        modalities: names (M).
        dims: 2 or 3.
    """

    def __init__(self, channels: int, modalities: Combination, *, dims: int) -> None:
        super().__init__()
        self.blocks: Modules[Block] = Modules(Block(channels, modalities, dims=dims) for _ in range(BLOCKS))
        self.change: Modules[FeedForward] = Modules(FeedForward(channels, dims=dims) for _ in range(BLOCKS - 1))

    def forward(self, query: Tensor, groups: Sequence[Mapping[str, Tensor]]) -> Tensor:
        """Map the query (G B, C, *space) and the maps (B, C, *space) of each group to (G B, C, *space)."""
        for place, block in enumerate(self.blocks):
            if place:
                change = self.change[place - 1]
                groups = [{name: change(value) for name, value in group.items()} for group in groups]
            query = block(query, groups)
        return query


class Block(nn.Module):
    """Channels of the query look at those of the modalities; then a feed-forward block. All around short cuts.

    Args:
        channels: C.
        modalities: names (M).
        dims: 2 or 3.
    """

    recomputable = True

    def __init__(self, channels: int, modalities: Combination, *, dims: int) -> None:
        super().__init__()
        self.query = projection(channels, dims=dims)
        self.keys: PerModality[nn.Module] = PerModality({name: projection(channels, dims=dims) for name in modalities})
        self.values: PerModality[nn.Module] = PerModality(
            {name: projection(channels, dims=dims) for name in modalities}
        )
        self.project = projection(channels, dims=dims)
        self.change = FeedForward(channels, dims=dims)

    def forward(self, query: Tensor, groups: Sequence[Mapping[str, Tensor]]) -> Tensor:
        """See `ChannelFusion.forward`."""
        asked = self.query(query).flatten(2)
        scores = asked @ _of_all(self.keys, groups).mT / asked.shape[2] ** 0.5
        seen = (scores.softmax(-1) @ _of_all(self.values, groups)).view_as(query)
        query = query + functional.dropout(self.project(seen), DROPOUT, self.training)
        changed: Tensor = self.change(query)
        return changed


class FeedForward(nn.Module):
    """GELU(X + g(X)), where g widens, convolves channel by channel and narrows.

    Args:
        channels: C.
        dims: 2 or 3.
    """

    recomputable = True

    def __init__(self, channels: int, *, dims: int) -> None:
        super().__init__()
        wide = EXPANSION * channels
        self.change = nn.Sequential(
            convolution(channels, wide, 1, dims=dims),
            ChannelNorm(wide),
            nn.GELU(),
            convolution(wide, wide, 3, dims=dims, padding=1, groups=channels),
            ChannelNorm(wide),
            nn.GELU(),
            convolution(wide, channels, 1, dims=dims),
            ChannelNorm(channels),
        )

    def forward(self, value: Tensor) -> Tensor:
        """Map (B, C, *space) to (B, C, *space)."""
        return functional.gelu(value + self.change(value))


class ChannelNorm(nn.LayerNorm):
    """Layer norm over the channels of each voxel.

    Args:
        channels: C.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(channels, eps=1e-6)

    def forward(self, value: Tensor) -> Tensor:
        """Map (B, C, *space) to (B, C, *space)."""
        return super().forward(value.movedim(1, -1)).movedim(-1, 1)


def projection(channels: int, *, dims: int) -> nn.Sequential:
    """Return a block that mixes channels, then each channel's neighbourhood, then channels."""
    return nn.Sequential(
        convolution(channels, channels, 1, dims=dims),
        ChannelNorm(channels),
        nn.GELU(),
        convolution(channels, channels, 3, dims=dims, padding=1, groups=channels),
        ChannelNorm(channels),
        nn.GELU(),
        convolution(channels, channels, 1, dims=dims),
        ChannelNorm(channels),
    )


def _of_all(projections: PerModality[nn.Module], groups: Sequence[Mapping[str, Tensor]]) -> Tensor:
    """Project the maps of each group and put their channels together: (G B, g C, V)."""
    return stacked(
        torch.cat([projections[name](value).flatten(2) for name, value in group.items()], 1) for group in groups
    )
