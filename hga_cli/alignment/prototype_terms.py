"""The prototype losses as terms: they also say how strong each modality is."""

from typing import ClassVar

from hga_cli.alignment.prototypes import compactness, similarity
from hga_cli.alignment.term import Need, Outputs, Preferences, Term, TermResult


class Compactness(Term):
    """Prototype loss of HGA. A confident modality is a strong one.

    Args:
        compactness_weight: weight of the distance of a voxel to the prototype of its class.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({"alone"})
    makes_preferences: ClassVar[bool] = True

    def __init__(self, *, compactness_weight: float = 0.001) -> None:
        self._weight = compactness_weight

    def __call__(self, outputs: Outputs) -> TermResult:
        """Return loss and confidence of each modality."""
        pairs = {
            modality: compactness(alone.feature, outputs.label, outputs.classes, compactness_weight=self._weight)
            for modality, alone in outputs.alone.items()
        }
        confidence = {modality: value for modality, (_, value) in pairs.items()}
        return TermResult(
            losses={modality: loss for modality, (loss, _) in pairs.items()},
            preferences=Preferences(values=confidence, higher_is_stronger=True),
        )


class Similarity(Term):
    """Prototype loss of PASSION. A modality far from the fused prediction is a weak one."""

    needs: ClassVar[frozenset[Need]] = frozenset({"alone"})
    makes_preferences: ClassVar[bool] = True

    def __call__(self, outputs: Outputs) -> TermResult:
        """Return loss and distance of each modality."""
        pairs = {
            modality: similarity(alone.feature, outputs.fused.feature, outputs.label, outputs.classes)
            for modality, alone in outputs.alone.items()
        }
        distance = {modality: value for modality, (_, value) in pairs.items()}
        return TermResult(
            losses={modality: loss for modality, (loss, _) in pairs.items()},
            preferences=Preferences(values=distance, higher_is_stronger=False),
        )
