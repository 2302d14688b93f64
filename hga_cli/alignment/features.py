"""Distillation of features: each modality's feature comes near to the fused one."""

from typing import ClassVar

from torch import Tensor

from hga_cli.alignment.term import Need, Outputs, Term, TermResult
from hga_cli.core.backbones import Ability
from hga_cli.core.errors import ConfigError, suggestion
from hga_cli.losses.precision import full_precision
from hga_cli.networks.backbone import Prediction

KINDS = ("mse", "l1")


class FeatureDistillation(Term):
    """Mean squared or absolute difference between the feature of each modality alone and the fused one.

    Loss_b = mean over channels and voxels of (f_m - f)^2, or of |f_m - f|. The fused feature is a constant (in HGA's
    code it is not, although it holds a share of the student). Where a sample has one modality, both are the same.
    Source: He et al., Modality-Agnostic Learning (MAG-MS), 2023, as in HGA.

    Args:
        kind: ``mse`` or ``l1``.
        deepest: the deepest feature instead of the last one; of backbones that show it.

    Raises:
        ConfigError: no such kind.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({"alone"})

    def __init__(self, *, kind: str = "mse", deepest: bool = False) -> None:
        if kind not in KINDS:
            message = f"no kind of feature distillation called '{kind}'"
            raise ConfigError(message, hint=suggestion(kind, KINDS))
        self._is_squared, self._at_deepest = kind == "mse", deepest
        if deepest:
            self.requires = frozenset({Ability.DEEPEST})

    def __call__(self, outputs: Outputs) -> TermResult:
        """Return the loss of each modality."""
        teacher = self._feature(outputs.fused).detach()
        return TermResult(
            losses={
                modality: _difference(self._feature(student), teacher, is_squared=self._is_squared)
                for modality, student in outputs.alone.items()
            }
        )

    def _feature(self, prediction: Prediction) -> Tensor:
        if not self._at_deepest:
            return prediction.feature
        assert prediction.deepest is not None
        return prediction.deepest


@full_precision
def _difference(one: Tensor, other: Tensor, *, is_squared: bool) -> Tensor:
    gap = one - other
    return (gap.square() if is_squared else gap.abs()).flatten(1).mean(1)
