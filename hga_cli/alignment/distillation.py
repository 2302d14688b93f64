"""Self-distillation: each modality alone learns from the fused prediction, voxel by voxel."""

from typing import ClassVar

from torch import Tensor

from hga_cli.alignment.term import Need, Outputs, Term, TermResult
from hga_cli.core.errors import ConfigError, suggestion
from hga_cli.losses.distillation import Softened, dice_kd, kl_from, soften
from hga_cli.networks.backbone import Prediction

KINDS = ("kl", "weighted_kl", "dice_kd")


class PixelDistillation(Term):
    """Divergence of each student (modality alone) from the teacher (fused), at all scales the backbone gives.

    Coarser scales weigh 1/2, 1/4, ... (kind ``kl`` only, as published); the fused prediction and each student have the
    same scales. Where a sample has one modality, student and teacher are the same prediction.

    Args:
        kind: ``kl`` (PASSION; HGA), ``weighted_kl`` (HGA with per-modality networks) or ``dice_kd`` (HGA with the
            ensemble U-Net).
        temperature: T, softens both.
        deep: the coarser scales too; False: the full one only.
        over_batch: ``dice_kd`` adds up over the batch, as published; False: over each sample.

    Raises:
        ConfigError: no such kind, or ``over_batch`` with one that has nothing to add up.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({"alone"})

    def __init__(
        self, *, kind: str = "kl", temperature: float = 4.0, deep: bool = True, over_batch: bool = False
    ) -> None:
        if kind not in KINDS:
            message = f"no kind of distillation called '{kind}'"
            raise ConfigError(message, hint=suggestion(kind, KINDS))
        if over_batch and kind != "dice_kd":
            message = f"option 'over_batch' of term 'distillation' needs kind 'dice_kd', found kind '{kind}'"
            options = "method.terms.distillation.options"
            raise ConfigError(message, hint=f"--set {options}.over_batch=false, or --set {options}.kind=dice_kd")
        self._kind, self._temperature = kind, temperature
        self._deep, self._over_batch = deep and kind == "kl", over_batch

    def __call__(self, outputs: Outputs) -> TermResult:
        """Return the loss of each modality."""
        if self._kind == "dice_kd":
            return TermResult(losses={name: self._overlap(one, outputs) for name, one in outputs.alone.items()})
        teachers = self._teachers(outputs)
        losses = {}
        for modality, student in outputs.alone.items():
            students = [student.logits, *student.deep][: len(teachers)]
            parts = [
                kl_from(logits, teacher) / 2**level
                for level, (logits, teacher) in enumerate(zip(students, teachers, strict=True))
            ]
            losses[modality] = sum(parts[1:], parts[0])
        return TermResult(losses=losses)

    def _teachers(self, outputs: Outputs) -> list[Softened]:
        """Prepare the fused prediction at each scale."""
        scales = [outputs.fused.logits, *(outputs.fused.deep if self._deep else ())]
        label = outputs.truth if self._kind == "weighted_kl" else None
        full = outputs.label.shape[-1]
        return [
            soften(logits, label, temperature=self._temperature, factor=full // logits.shape[-1]) for logits in scales
        ]

    def _overlap(self, student: Prediction, outputs: Outputs) -> Tensor:
        return dice_kd(student.logits, outputs.fused.logits, temperature=self._temperature, over_batch=self._over_batch)
