"""What each backbone can do and how large it is, as a table that needs no torch: for listings, and checked by tests."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal


class Ability(StrEnum):
    """What only some backbones show, for terms that look at it; the value says it in words."""

    DEEPEST = "the deepest feature"
    DISENTANGLED = "shared and specific features"


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """About one backbone, with its own settings. Parameters are counted in 3D with 4 modalities and 4 classes."""

    fusion: Literal["early", "in between", "late"]
    """Of images, of features, or of logits."""
    multiple: int
    """What edges of patches have to be a multiple of (voxels); above 1, one edge has to be at least twice as long."""
    parameters: int
    published: int
    """Parameters of the published code."""
    reason: str = ""
    """Why the two counts differ."""
    dims: tuple[int, ...] = (2, 3)
    separate: bool = False
    """Whether it has a decoder for each modality alone, beside the fused one."""
    deep: tuple[int, ...] = ()
    """How many times coarser its predictions for deep supervision are."""
    abilities: frozenset[Ability] = frozenset()
    """What its predictions show besides logits and feature."""


FACTS = {
    "dynunet": Facts(
        fusion="late",
        multiple=16,
        deep=(2, 4, 8),
        parameters=102_402_304,
        published=102_416_128,
        reason="no bias before a norm, no second output layer at full resolution, in each of 4 networks",
    ),
    "dynunet_early": Facts(
        fusion="early",
        multiple=16,
        deep=(2, 4, 8),
        parameters=25_604_608,
        published=25_608_064,
        reason="no bias before a norm, no second output layer at full resolution",
    ),
    "m2ftrans": Facts(
        fusion="in between",
        multiple=16,
        separate=True,
        deep=(1, 2, 4, 8, 16),
        parameters=13_194_788,
        published=13_194_788,
    ),
    "mmformer": Facts(
        fusion="in between",
        multiple=16,
        separate=True,
        deep=(2, 4, 8, 16),
        parameters=35_599_184,
        published=35_599_184,
    ),
    "rfnet": Facts(
        fusion="in between",
        multiple=8,
        separate=True,
        deep=(1, 2, 4, 8),
        parameters=2_381_792,
        published=2_381_792,
    ),
    "shaspec": Facts(
        fusion="in between",
        multiple=16,
        abilities=frozenset({Ability.DEEPEST, Ability.DISENTANGLED}),
        parameters=123_329_284,
        published=123_329_284,
    ),
    "swinunetr": Facts(fusion="late", multiple=32, parameters=16_312_824, published=16_312_824),
    "swinunetr_early": Facts(
        fusion="early",
        multiple=32,
        parameters=62_191_986,
        published=62_191_990,
        reason="the output layer has no bias",
    ),
    "unet": Facts(
        fusion="late",
        multiple=1,
        abilities=frozenset({Ability.DEEPEST}),
        parameters=3_245_252,
        published=3_245_252,
    ),
}
"""Backbone -> what is known of it."""
