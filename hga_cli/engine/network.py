"""From settings to a network."""

from collections.abc import Callable, Mapping
from functools import partial
from inspect import signature
from typing import Any

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from hga_cli.core.backbones import BACKBONES
from hga_cli.core.combinations import Combination, all_combinations
from hga_cli.core.errors import ConfigError
from hga_cli.core.options import check_options
from hga_cli.core.settings import Config
from hga_cli.networks.backbone import Backbone, Features

ELSEWHERE = ("modalities", "classes", "dims", "width", "patch")
"""Arguments of backbones that come from the data set or from settings of their own, not from ``network.options``."""
VERSIONS = 4
"""Of a compiled pass of one combination: in validation, and in training with the first size of batch, with one case,
and with any other size."""


def build_network(config: Config, modalities: Combination, classes: int) -> Backbone:
    """Return the backbone that the settings name, with fresh weights.

    Raises:
        ConfigError: an unknown backbone or option, or settings that do not fit each other, such as patch and stride.
    """
    settings = config.network
    kind = BACKBONES.load(settings.backbone)
    check_options("backbone", settings.backbone, kind, settings.options, given=ELSEWHERE)
    given: dict[str, Any] = {"dims": settings.dims}
    if settings.width is not None:
        given["width"] = settings.width
    if "patch" in signature(kind).parameters:
        given["patch"] = config.data.patch
    network: Backbone = kind(modalities, classes, **given, **settings.options)
    return network


def memory_format(config: Config) -> torch.memory_format:
    """Return how maps and weights lie in memory, in training and wherever the network is used."""
    if config.optim.layout == "contiguous":
        return torch.contiguous_format
    return torch.channels_last_3d if config.network.dims == 3 else torch.channels_last


def recompute(network: Backbone, name: str) -> None:
    """Let a network forget its values and compute them again on the way back.

    With late fusion each modality is computed again as a whole, so that the values of one are kept at a time. Else
    blocks are: modules whose class says ``recomputable = True``.

    Raises:
        ConfigError: the network has no such block.
    """
    if BACKBONES.check(name).fusion == "late":
        network.encode = partial(_encode_one_by_one, network.encode)  # type: ignore[method-assign]
        return
    blocks = [module for module in network.modules() if getattr(module, "recomputable", False)]
    if not blocks:
        message = f"backbone '{name}' has no blocks that can be computed again"
        raise ConfigError(message, hint="set optim.recompute = false; optim.accumulate saves memory too")
    for block in blocks:
        block.forward = partial(checkpoint, block.forward, use_reentrant=False)


def _encode_one_by_one(encode: Callable[[dict[str, Tensor]], Features], images: Mapping[str, Tensor]) -> Features:
    return {
        modality: checkpoint(lambda one, name: encode({name: one})[name], image, modality, use_reentrant=False)
        for modality, image in images.items()
    }


def compile_passes(network: Backbone) -> None:
    """Let torch compile the passes of a network; names of weights stay as they are.

    Each combination is compiled on its own, and beyond a limit (usually 8 versions of a pass) torch would compute the
    others uncompiled: the limit is raised to what all combinations need.
    """
    from torch._dynamo import config

    versions = VERSIONS * len(all_combinations(network.modalities))
    config.recompile_limit = max(config.recompile_limit, versions)
    config.accumulated_recompile_limit = max(config.accumulated_recompile_limit, versions)
    for method in ("encode", "fuse", "fuse_alone", "decode_alone"):
        setattr(network, method, torch.compile(getattr(network, method)))
