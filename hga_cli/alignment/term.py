"""What a loss term sees and what it returns."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from functools import cached_property
from typing import ClassVar, Literal

from torch import Tensor

from hga_cli.core.backbones import Ability
from hga_cli.core.combinations import Combination
from hga_cli.losses.labels import Truth
from hga_cli.networks.backbone import Prediction

FUSED = "fused"
"""The task of the fused prediction; every other task is the name of a modality."""
Need = Literal["alone", "part", "separate"]


@dataclass(frozen=True, kw_only=True)
class Outputs:
    """What the network says about one batch. Only what some term needs is computed."""

    combination: Combination
    label: Tensor
    """(B, *space) class indices, int64."""
    fused: Prediction
    """From all modalities of the combination: the teacher."""
    alone: dict[str, Prediction]
    """From each modality alone, through the same decoder: the students."""
    separate: dict[str, Tensor]
    """Logits (B, K, *space) of each modality through the separate decoder, or alone where there is none."""
    part: Prediction | None = None
    """From some modalities of the combination, not all; None: there is one only, or no separate decoder (late fusion),
    so that what the decoder of all makes of few is trained by ``separate``."""

    @property
    def classes(self) -> int:
        """K."""
        return self.fused.logits.shape[1]

    @cached_property
    def truth(self) -> Truth:
        """The label with what losses make of it: once for all of them."""
        return Truth(self.label, self.classes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Preferences:
    """How each modality of a batch stands against the others."""

    values: dict[str, Tensor]
    """modality -> (B,), detached, positive."""
    higher_is_stronger: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class TermResult:
    """Losses of one term, and preferences if it makes some."""

    losses: dict[str, Tensor] = field(default_factory=dict)
    """task -> (B,)."""
    preferences: Preferences | None = None


class Term(ABC):
    """One loss of the objective. It declares what it needs; ``requirements`` refuses what cannot give that."""

    needs: ClassVar[frozenset[Need]] = frozenset()
    """What has to be computed besides the fused prediction."""
    is_of_modalities: ClassVar[bool] = True
    """Whether modalities have losses, which a scale multiplies; False: the fused prediction only."""
    compares_modalities: ClassVar[bool] = False
    """Whether it has no loss where a batch has one modality."""
    makes_preferences: ClassVar[bool] = False
    """Whether its results say how strong each modality is."""
    requires: frozenset[Ability] = frozenset()
    """What it looks at that only some backbones show; may follow from its options."""
    names: frozenset[str] = frozenset()
    """Modalities that its options name."""

    @abstractmethod
    def __call__(self, outputs: Outputs) -> TermResult:
        """Return the losses of one batch."""
