"""The table of backbones: where each lives, what it can do and how large it is. It needs no torch; tests check it."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from hga_cli.core.registry import Entry, Registry

HGA = "Hierarchical Gradient Alignment"
NNUNET = "Isensee et al., nnU-Net, Nature Methods 2021"
SHASPEC = "Wang et al., ShaSpec, CVPR 2023"
SWINUNETR = "Hatamizadeh et al., Swin UNETR, BrainLes 2021"


class Ability(StrEnum):
    """What only some backbones show, for terms that look at it; the value says it in words."""

    DEEPEST = "the deepest feature"
    DISENTANGLED = "shared and specific features"


@dataclass(frozen=True, slots=True, kw_only=True)
class BackboneEntry(Entry):
    """One backbone, with its own settings. Parameters are counted in 3D with 4 modalities and 4 classes."""

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
    recompute: bool = True
    """Whether ``optim.recompute`` finds parts of it that can be computed again; else it is refused."""


BACKBONES = Registry(
    "backbone",
    [
        BackboneEntry(
            name="dynunet",
            target="hga_cli.networks.dynunet:LateDynUNet",
            summary="a U-Net of nnU-Net per modality; late fusion by the mean of logits",
            source=NNUNET,
            fusion="late",
            multiple=16,
            deep=(2, 4, 8),
            parameters=102_402_304,
            published=102_416_128,
            reason="no bias before a norm, no second output layer at full resolution, in each of 4 networks",
        ),
        BackboneEntry(
            name="dynunet_early",
            target="hga_cli.networks.dynunet:EarlyDynUNet",
            summary="one U-Net of nnU-Net; early fusion with zeros for what is absent",
            source=NNUNET,
            fusion="early",
            multiple=16,
            deep=(2, 4, 8),
            recompute=False,
            parameters=25_604_608,
            published=25_608_064,
            reason="no bias before a norm, no second output layer at full resolution",
        ),
        BackboneEntry(
            name="m2ftrans",
            target="hga_cli.networks.m2ftrans:M2FTrans",
            summary="fusion tokens look at the modalities that are there; fusion channel by channel",
            source="Shi et al., M2FTrans, IEEE J. Biomed. Health Inform. 2023",
            fusion="in between",
            multiple=16,
            separate=True,
            deep=(1, 2, 4, 8, 16),
            parameters=13_194_788,
            published=13_194_788,
        ),
        BackboneEntry(
            name="mmformer",
            target="hga_cli.networks.mmformer:MMFormer",
            summary="a transformer inside each modality and one between modalities",
            source="Zhang et al., mmFormer, MICCAI 2022",
            fusion="in between",
            multiple=16,
            separate=True,
            deep=(2, 4, 8, 16),
            parameters=35_599_184,
            published=35_599_184,
        ),
        BackboneEntry(
            name="rfnet",
            target="hga_cli.networks.rfnet:RFNet",
            summary="fuses region by region: a weight for each class and modality",
            source="Ding et al., RFNet, ICCV 2021",
            fusion="in between",
            multiple=8,
            separate=True,
            deep=(1, 2, 4, 8),
            parameters=2_381_792,
            published=2_381_792,
        ),
        BackboneEntry(
            name="shaspec",
            target="hga_cli.networks.shaspec:ShaSpec",
            summary="shared and specific encoders; what is absent is replaced by the mean shared feature",
            source=SHASPEC,
            fusion="in between",
            multiple=16,
            abilities=frozenset({Ability.DEEPEST, Ability.DISENTANGLED}),
            recompute=False,
            parameters=123_329_284,
            published=123_329_284,
        ),
        BackboneEntry(
            name="swinunetr",
            target="hga_cli.networks.swinunetr:LateSwinUNETR",
            summary="a SwinUNETR per modality; late fusion by the mean of logits",
            source=SWINUNETR,
            fusion="late",
            multiple=32,
            parameters=16_312_824,
            published=16_312_824,
        ),
        BackboneEntry(
            name="swinunetr_early",
            target="hga_cli.networks.swinunetr:EarlySwinUNETR",
            summary="one SwinUNETR; early fusion with zeros for what is absent",
            source=SWINUNETR,
            fusion="early",
            multiple=32,
            recompute=False,
            parameters=62_191_986,
            published=62_191_990,
            reason="the output layer has no bias",
        ),
        BackboneEntry(
            name="unet",
            target="hga_cli.networks.unet:EnsembleUNet",
            summary="one U-Net with a set of norms per modality; late fusion by the mean of logits",
            source=HGA,
            fusion="late",
            multiple=1,
            abilities=frozenset({Ability.DEEPEST}),
            parameters=3_245_252,
            published=3_245_252,
        ),
    ],
)
