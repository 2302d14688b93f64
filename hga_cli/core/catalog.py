"""The tables of what can be chosen by name. Single source of truth for help, listings and checks.

A table imports nothing until an entry is loaded, so the command line can list and check names without torch. Adding
a term, sampler, backbone or balancer means one file and one line here.
"""

from dataclasses import dataclass
from importlib import import_module
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any

from hga_cli.core.errors import ConfigError, suggestion


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One choice: its name, where it lives (``module:attribute``), one line about it, and its source."""

    name: str
    target: str
    summary: str
    source: str


class Registry:
    """Names of one kind of thing, for example backbones."""

    def __init__(self, kind: str, entries: list[Entry]) -> None:
        self.kind = kind
        self.entries = {entry.name: entry for entry in entries}
        if len(self.entries) != len(entries):
            message = f"two entries of the table of {kind}s have the same name"
            raise ValueError(message)

    def check(self, name: str) -> Entry:
        """Return the entry called ``name``.

        Raises:
            ConfigError: there is none; the hint suggests the nearest name.
        """
        if name not in self.entries:
            message = f"no {self.kind} called '{name}'"
            raise ConfigError(message, hint=suggestion(name, self.entries))
        return self.entries[name]

    def load(self, name: str) -> Any:
        """Import and return what the entry points to."""
        module, attribute = self.check(name).target.split(":")
        return getattr(import_module(module), attribute)


HGA = "Hierarchical Gradient Alignment"
PASSION = "Shi et al., PASSION, ACM Multimedia 2024"
MAML = "Finn et al., Model-Agnostic Meta-Learning, ICML 2017, first order"
NNUNET = "Isensee et al., nnU-Net, Nature Methods 2021"
SHASPEC = "Wang et al., ShaSpec, CVPR 2023"
SWINUNETR = "Hatamizadeh et al., Swin UNETR, BrainLes 2021"

BACKBONES = Registry(
    "backbone",
    [
        Entry(
            name="dynunet",
            target="hga_cli.networks.dynunet:LateDynUNet",
            summary="a U-Net of nnU-Net per modality; late fusion by the mean of logits",
            source=NNUNET,
        ),
        Entry(
            name="dynunet_early",
            target="hga_cli.networks.dynunet:EarlyDynUNet",
            summary="one U-Net of nnU-Net; early fusion with zeros for what is absent",
            source=NNUNET,
        ),
        Entry(
            name="m2ftrans",
            target="hga_cli.networks.m2ftrans:M2FTrans",
            summary="fusion tokens look at the modalities that are there; fusion channel by channel",
            source="Shi et al., M2FTrans, IEEE J. Biomed. Health Inform. 2023",
        ),
        Entry(
            name="mmformer",
            target="hga_cli.networks.mmformer:MMFormer",
            summary="a transformer inside each modality and one between modalities",
            source="Zhang et al., mmFormer, MICCAI 2022",
        ),
        Entry(
            name="rfnet",
            target="hga_cli.networks.rfnet:RFNet",
            summary="fuses region by region: a weight for each class and modality",
            source="Ding et al., RFNet, ICCV 2021",
        ),
        Entry(
            name="shaspec",
            target="hga_cli.networks.shaspec:ShaSpec",
            summary="shared and specific encoders; what is absent is replaced by the mean shared feature",
            source=SHASPEC,
        ),
        Entry(
            name="swinunetr",
            target="hga_cli.networks.swinunetr:LateSwinUNETR",
            summary="a SwinUNETR per modality; late fusion by the mean of logits",
            source=SWINUNETR,
        ),
        Entry(
            name="swinunetr_early",
            target="hga_cli.networks.swinunetr:EarlySwinUNETR",
            summary="one SwinUNETR; early fusion with zeros for what is absent",
            source=SWINUNETR,
        ),
        Entry(
            name="unet",
            target="hga_cli.networks.unet:EnsembleUNet",
            summary="one U-Net with a set of norms per modality; late fusion by the mean of logits",
            source=HGA,
        ),
    ],
)

SAMPLERS = Registry(
    "sampler",
    [
        Entry(
            name="case",
            target="hga_cli.data.sampling:CaseSampler",
            summary="every case once per pass, with all it has",
            source="usual practice",
        ),
        Entry(
            name="cycle",
            target="hga_cli.alignment.cycle:CycleSampler",
            summary="cycles over the combinations; a batch comes from the cases that own the combination",
            source=HGA,
        ),
        Entry(
            name="dropout",
            target="hga_cli.data.dropout:DropoutSampler",
            summary="every case once per pass, with a sub-combination of what it has, drawn at each visit",
            source="modality dropout, usual practice",
        ),
        Entry(
            name="meta",
            target="hga_cli.alignment.meta:MetaSampler",
            summary="in turn a batch of cases with what they have, and one case with all modalities",
            source=MAML,
        ),
    ],
)

TERMS = Registry(
    "term",
    [
        Entry(
            name="compactness",
            target="hga_cli.alignment.prototype_terms:Compactness",
            summary="each modality's features gather around the prototypes of their classes",
            source=HGA,
        ),
        Entry(
            name="deep",
            target="hga_cli.alignment.supervision:DeepSupervision",
            summary="segmentation loss of the fused prediction at coarser scales",
            source=PASSION,
        ),
        Entry(
            name="distillation",
            target="hga_cli.alignment.distillation:PixelDistillation",
            summary="each modality alone learns from the fused prediction, voxel by voxel",
            source=PASSION,
        ),
        Entry(
            name="fused",
            target="hga_cli.alignment.supervision:FusedSegmentation",
            summary="segmentation loss of the fused prediction",
            source=PASSION,
        ),
        Entry(
            name="separate",
            target="hga_cli.alignment.supervision:ModalitySegmentation",
            summary="segmentation loss of each modality on its own",
            source=PASSION,
        ),
        Entry(
            name="shared",
            target="hga_cli.alignment.shaspec:SharedDistance",
            summary="shared features of modalities that follow each other are alike (ShaSpec only)",
            source=SHASPEC,
        ),
        Entry(
            name="similarity",
            target="hga_cli.alignment.prototype_terms:Similarity",
            summary="each modality's similarity to its prototypes follows the fused one",
            source=PASSION,
        ),
        Entry(
            name="specific",
            target="hga_cli.alignment.shaspec:Recognition",
            summary="each modality is known by its specific feature (ShaSpec only)",
            source=SHASPEC,
        ),
    ],
)

OUTER_UPDATES = Registry(
    "outer update",
    [
        Entry(
            name="interpolation",
            target="hga_cli.alignment.interpolation:Interpolation",
            summary="after each cycle the weights are interpolated with the slow weights",
            source=HGA,
        ),
        Entry(
            name="meta",
            target="hga_cli.alignment.meta:MetaUpdate",
            summary="a trial step on what cases have; the gradient of a complete case after it moves the weights",
            source=MAML,
        ),
        Entry(
            name="none",
            target="hga_cli.alignment.interpolation:NoOuterUpdate",
            summary="plain training",
            source="usual practice",
        ),
    ],
)

BALANCERS = Registry(
    "balancer",
    [
        Entry(
            name="equal",
            target="hga_cli.balancing.equal:Equal",
            summary="the sum of all losses",
            source="usual practice",
        ),
    ],
)


def shipped(folder: str) -> dict[str, Traversable]:
    """Return the TOML files shipped in a folder of the package, by name, for example ``presets/methods``."""
    root = files("hga_cli").joinpath(folder)
    found = {file.name.removesuffix(".toml"): file for file in root.iterdir() if file.name.endswith(".toml")}
    return dict(sorted(found.items()))
