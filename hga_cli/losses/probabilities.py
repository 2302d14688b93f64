"""From logits to the probabilities that the losses compare."""

from math import log

import torch
from torch import Tensor

from hga_cli.losses.upsampling import upsample

CLIP = 0.005  # smallest probability a logarithm sees


def probabilities(logits: Tensor, *, temperature: float = 1.0, factor: int = 1) -> Tensor:
    """Return softmax over classes of z / T, then enlarged by ``factor``.

    What is enlarged is the probability, not the logit, as in the published code of PASSION and HGA: a coarse voxel that
    is sure of class a beside one that is sure of class b then becomes "half a, half b" in between.

    Args:
        logits: z, (B, K, *space).
        temperature: T; above 1 it flattens the distribution.
        factor: whole factor per spatial axis.

    Returns:
        (B, K, *(factor * space)); sums to 1 over K.
    """
    return upsample(torch.softmax(_scaled(logits, temperature), 1), factor)


def log_probabilities(logits: Tensor, *, temperature: float = 1.0, factor: int = 1) -> Tensor:
    """Return the `clipped_log` of `probabilities`; arguments and shape as theirs.

    Without a factor it is one function of torch, with which a KL divergence takes a quarter less time, and which is
    exact to the last digits where a class is nearly certain.
    """
    if factor > 1:
        return clipped_log(probabilities(logits, temperature=temperature, factor=factor))
    return torch.log_softmax(_scaled(logits, temperature), 1).clamp(min=log(CLIP))


def clipped_log(probability: Tensor) -> Tensor:
    """Return log of the probability clamped to [0.005, 1]; no gradient flows where the clamp acts."""
    return probability.clamp(CLIP, 1.0).log()


def _scaled(logits: Tensor, temperature: float) -> Tensor:
    return logits if temperature == 1 else logits / temperature
