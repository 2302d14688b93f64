"""From settings to a network."""

from inspect import signature
from typing import Any

from hga_cli.core.catalog import BACKBONES
from hga_cli.core.combinations import Combination
from hga_cli.core.options import check_options
from hga_cli.core.settings import Config
from hga_cli.networks.backbone import Backbone

ELSEWHERE = ("modalities", "classes", "dims", "width", "patch")
"""Arguments of backbones that come from the data set or from settings of their own, not from ``network.options``."""


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
