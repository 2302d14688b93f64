"""Norms that differ, so that a mix-up of modalities shows."""

import torch
from torch import nn


def norms_of(count, channels, dtype=torch.float64):
    """Group norms of two channels each, one for each modality."""
    torch.manual_seed(1)
    norms = [nn.GroupNorm(channels // 2, channels).to(dtype) for _ in range(count)]
    for norm in norms:
        nn.init.normal_(norm.weight)
        nn.init.normal_(norm.bias)
    return norms
