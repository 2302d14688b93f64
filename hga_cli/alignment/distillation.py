"""Self-distillation: each modality alone learns from the fused prediction, voxel by voxel."""

from typing import ClassVar

from torch import Tensor

from hga_cli.alignment.term import Need, Outputs, Term, TermResult
from hga_cli.core.errors import ConfigError, suggestion
from hga_cli.losses.distillation import dice_kd, kl, weighted_kl

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
        losses = {}
        for modality, student in outputs.alone.items():
            loss = self._divergence(student.logits, outputs.fused.logits, outputs.label)
            if self._deep:
                for level, pair in enumerate(zip(student.deep, outputs.fused.deep, strict=True), start=1):
                    factor = outputs.label.shape[-1] // pair[0].shape[-1]
                    loss = loss + kl(*pair, temperature=self._temperature, factor=factor) / 2**level
            losses[modality] = loss
        return TermResult(losses=losses)

    def _divergence(self, student: Tensor, teacher: Tensor, label: Tensor) -> Tensor:
        if self._kind == "weighted_kl":
            return weighted_kl(student, teacher, label, temperature=self._temperature)
        if self._kind == "dice_kd":
            return dice_kd(student, teacher, temperature=self._temperature, over_batch=self._over_batch)
        return kl(student, teacher, temperature=self._temperature)
