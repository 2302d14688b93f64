"""The prototype losses as terms: they also say how strong each modality is."""

from math import inf
from typing import ClassVar

from hga_cli.alignment.prototypes import compactness, similarity
from hga_cli.alignment.term import Need, Outputs, Preferences, Term, TermResult
from hga_cli.core.errors import ConfigError


class Compactness(Term):
    """Prototype loss of HGA. A confident modality is a strong one.

    Args:
        compactness_weight: weight of the distance of a voxel to the prototype of its class, at least 0.

    Raises:
        ConfigError: the weight is below 0 or not finite.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({"alone"})
    makes_preferences: ClassVar[bool] = True

    def __init__(self, *, compactness_weight: float = 0.001) -> None:
        if not 0 <= compactness_weight < inf:
            option = "compactness_weight"
            message = f"option '{option}' of term 'compactness' should be 0 or more, found {compactness_weight}"
            raise ConfigError(message, hint=f"--set method.terms.compactness.options.{option}=0.001")
        self._weight = compactness_weight

    def __call__(self, outputs: Outputs) -> TermResult:
        """Return loss and confidence of each modality."""
        pairs = {
            modality: compactness(alone.feature, outputs.truth, outputs.classes, compactness_weight=self._weight)
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
        teacher = outputs.fused.feature
        pairs = {
            modality: similarity(alone.feature, teacher, outputs.truth, outputs.classes)
            for modality, alone in outputs.alone.items()
        }
        distance = {modality: value for modality, (_, value) in pairs.items()}
        return TermResult(
            losses={modality: loss for modality, (loss, _) in pairs.items()},
            preferences=Preferences(values=distance, higher_is_stronger=False),
        )
