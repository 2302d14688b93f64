"""Transformer of mmFormer and M2FTrans: tokens, positions, attention.

A token is the deepest feature at one place of the image. N tokens of D channels are (B, N, D).
"""

from collections.abc import Sequence
from math import prod

import torch
from torch import Tensor, nn
from torch.nn import functional

from hga_cli.core.errors import ConfigError

DROPOUT = 0.1


class Layer(nn.Module):
    """Attention and a perceptron, each after a layer norm and around a short cut.

    What asks and what is asked are computed apart, so that one sequence can look at others: see `asked` and `forward`.
    The result of the attention is dropped out twice in a row, as published.

    Args:
        channels: D.
        heads: H.
        hidden: width of the perceptron.
    """

    recomputable = True

    def __init__(self, channels: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(channels)
        self.query_key_value = nn.Linear(channels, 3 * channels, bias=False)
        self.project = nn.Linear(channels, channels)
        self.perceptron = nn.Sequential(
            nn.LayerNorm(channels),
            nn.Linear(channels, hidden),
            nn.GELU(),
            nn.Dropout(DROPOUT),
            nn.Linear(hidden, channels),
            nn.Dropout(DROPOUT),
        )

    def split(self, tokens: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return queries, keys and values of (B, N, D), each (B, H, N, D / H)."""
        parts = self.query_key_value(self.norm(tokens)).reshape(*tokens.shape[:2], 3, self.heads, -1)
        query, key, value = parts.permute(2, 0, 3, 1, 4)
        return query, key, value

    def forward(self, tokens: Tensor) -> Tensor:
        """Let (B, N, D) look at each other."""
        query, key, value = self.split(tokens)
        seen = functional.scaled_dot_product_attention(query, key, value, dropout_p=DROPOUT if self.training else 0.0)
        return self.finish(tokens, seen)

    def attend(self, query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Return what queries (B, H, N, D / H) see in N' keys, and the attention (B, H, N, N') after its dropout."""
        scores = query @ key.mT / query.shape[-1] ** 0.5
        attention = functional.dropout(scores.softmax(-1), DROPOUT, self.training)
        return attention @ value, attention

    def finish(self, tokens: Tensor, seen: Tensor) -> Tensor:
        """Add what was seen, (B, H, N, D / H), to the tokens, and what the perceptron makes of it."""
        projected = self.project(seen.transpose(1, 2).flatten(2))
        tokens = tokens + functional.dropout(
            functional.dropout(projected, DROPOUT, self.training), DROPOUT, self.training
        )
        result: Tensor = tokens + self.perceptron(tokens)
        return result


class Places(nn.Module):
    """One learned token for each place of the grid that the deepest level of a training patch has.

    Images of other sizes get the tokens in between, interpolated linearly.

    Args:
        grid: places on each axis.
        channels: D.
        spread: standard deviation of the first values; 0: all zero.
    """

    def __init__(self, grid: Sequence[int], channels: int, *, spread: float = 0.0) -> None:
        super().__init__()
        self.grid = tuple(grid)
        self.table = nn.Parameter(torch.randn(prod(grid), channels) * spread)

    def forward(self, grid: Sequence[int]) -> Tensor:
        """Return (1, N, D), N places of a grid."""
        if tuple(grid) == self.grid:
            return self.table.unsqueeze(0)
        image = self.table.T.reshape(1, -1, *self.grid)
        mode = "trilinear" if len(self.grid) == 3 else "bilinear"
        return as_tokens(functional.interpolate(image, size=tuple(grid), mode=mode, align_corners=True))


def as_tokens(image: Tensor) -> Tensor:
    """Return the places of (B, D, *grid) as tokens (B, N, D), the last axis running fastest."""
    return image.flatten(2).transpose(1, 2)


def as_image(tokens: Tensor, grid: Sequence[int]) -> Tensor:
    """Put (B, N, D) back to their places: (B, D, *grid)."""
    return tokens.transpose(1, 2).reshape(tokens.shape[0], -1, *grid)


def require_transformer(channels: int, heads: int, hidden: int, depth: int, *, backbone: str) -> None:
    """Check the sizes of a transformer.

    Raises:
        ConfigError: one is not positive, or the channels of a token cannot be shared out among the heads.
    """
    for option, value in {"heads": heads, "hidden": hidden, "depth": depth}.items():
        if value < 1:
            message = f"option '{option}' of backbone '{backbone}' should be at least 1, found {value}"
            raise ConfigError(message, hint=f"set network.options.{option} = 1 or more")
    if channels < 1 or channels % heads:
        message = f"{channels} channels of a token of backbone '{backbone}' cannot be shared out among {heads} heads"
        raise ConfigError(message, hint="set network.options.heads to a divisor of the channels")
