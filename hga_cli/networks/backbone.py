"""The contract between networks and everything that trains or uses them."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from hga_cli.core.combinations import Combination

Features = dict[str, Any]
"""modality -> what its encoder says; only the backbone looks inside."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """What ``fuse`` returns."""

    logits: Tensor
    """(B, K, *space)."""
    features: tuple[Tensor, ...]
    """(B, C, *space): input of the last layer. With late fusion that of each modality."""
    deep: tuple[Tensor, ...] = ()
    """Logits for deep supervision, fine to coarse, (B, K, *space / factor); some backbones have them in training only.
    The first may be at full resolution, made at an earlier place than ``logits``."""
    deepest: Tensor | None = None
    """(B, C, *space / stride): where the network is narrowest; of backbones with ``Ability.DEEPEST``."""

    @property
    def feature(self) -> Tensor:
        """The mean of ``features``, (B, C, *space), for prototypes; computed when asked for, as many losses do not."""
        return mean(self.features)


class Backbone(nn.Module, ABC):
    """A network for M modalities and K classes, in 2 or 3 dimensions.

    The prediction from a set of modalities is ``fuse(encode(images), combination)``. One ``encode`` serves the fused
    prediction, each modality alone, and all combinations in evaluation. The features of a modality depend on its own
    image only, and ``fuse`` looks only at the modalities of its combination: an absent modality cannot leak.
    """

    has_separate_decoder: ClassVar[bool] = False
    """Whether ``decode_alone`` gives something: then only ``fuse`` trains the decoder of all on a modality alone."""

    def __init__(self, modalities: Combination, classes: int, dims: int) -> None:
        super().__init__()
        self.modalities = modalities
        self.classes = classes
        self.dims = dims

    @abstractmethod
    def encode(self, images: Mapping[str, Tensor]) -> Features:
        """Encode the modalities given, each (B, 1, *space); nothing is computed for others."""

    @abstractmethod
    def fuse(self, features: Features, combination: Combination) -> Prediction:
        """Predict from the features of these modalities."""

    def fuse_alone(self, features: Features, combination: Combination) -> dict[str, Prediction]:
        """Predict from each modality of the combination alone: the same as ``fuse`` of one after another.

        A backbone may do it in one pass, where that is faster.
        """
        return {modality: self.fuse(features, (modality,)) for modality in combination}

    def decode_alone(self, features: Features, modality: str) -> Tensor | None:
        """Return logits (B, K, *space) of the separate decoder of one modality, or None if there is no such decoder."""
        del features, modality
        return None

    @abstractmethod
    def shared_parameters(self) -> Iterable[nn.Parameter]:
        """Return the parameters that all modalities train (what balancers merge gradients for)."""


def mean(values: Sequence[Tensor]) -> Tensor:
    """Return the mean of tensors of one shape, added up in float32 at least; of a single one itself."""
    if len(values) == 1:
        return values[0]
    kind = values[0].dtype
    total = values[0].to(torch.promote_types(kind, torch.float32)) + values[1]
    for value in values[2:]:
        total += value
    return (total / len(values)).to(kind)
