"""Norms that differ, so that a mix-up of modalities shows, and what torch's own layers make of them."""

import torch
from torch import nn
from torch.nn import functional

LAST = torch.channels_last_3d
LAYOUTS = [(2, torch.contiguous_format), (2, torch.channels_last), (3, torch.contiguous_format), (3, LAST)]


def norms_of(count, channels, dtype=torch.float64):
    """Group norms of two channels each, one for each modality."""
    torch.manual_seed(1)
    norms = [nn.GroupNorm(channels // 2, channels).to(dtype) for _ in range(count)]
    for norm in norms:
        nn.init.normal_(norm.weight)
        nn.init.normal_(norm.bias)
    return norms


def plain_norm_relu(stacked, norms):
    parts = zip(norms, stacked.chunk(len(norms)), strict=True)
    return functional.relu(torch.cat([norm(part) for norm, part in parts]))
