"""Segmentation losses against the label: of the fused prediction, its coarser scales and parts, of each modality."""

from typing import ClassVar

from torch import Tensor

from hga_cli.alignment.term import FUSED, Need, Outputs, Term, TermResult
from hga_cli.core.errors import ConfigError, suggestion
from hga_cli.losses.labels import Truth
from hga_cli.losses.segmentation import cross_entropy_and_dice, dice

KINDS = ("ce_dice", "dice")


class Segmentation(Term):
    """What the three terms share: which loss compares logits with the label.

    Args:
        kind: ``ce_dice``: weighted cross-entropy plus soft Dice (PASSION; HGA); ``dice``: soft Dice only (HGA with the
            ensemble U-Net).
        over_batch: Dice adds up over the batch, as published for late fusion; False: over each sample.

    Raises:
        ConfigError: no such kind.
    """

    def __init__(self, *, kind: str = "ce_dice", over_batch: bool = False) -> None:
        if kind not in KINDS:
            message = f"no kind of segmentation loss called '{kind}'"
            raise ConfigError(message, hint=suggestion(kind, KINDS))
        self._with_cross_entropy = kind == "ce_dice"
        self._over_batch = over_batch

    def loss(self, logits: Tensor, truth: Truth, *, factor: int = 1) -> Tensor:
        """Return the loss (B,) of logits (B, K, *space / factor) against a label (B, *space)."""
        kind = cross_entropy_and_dice if self._with_cross_entropy else dice
        return kind(logits, truth, factor=factor, over_batch=self._over_batch)


class FusedSegmentation(Segmentation):
    """The fused prediction against the label; options as of ``Segmentation``.

    The published late-fusion script of HGA leaves this loss out although the fused prediction is what is used; here it
    is always there (set its weight to 0 to leave it out).
    """

    is_of_modalities: ClassVar[bool] = False

    def __call__(self, outputs: Outputs) -> TermResult:
        """Return the loss of the task ``fused``."""
        return TermResult(losses={FUSED: self.loss(outputs.fused.logits, outputs.truth)})


class DeepSupervision(Segmentation):
    """The fused prediction at coarser scales; weights start at 1/2 and halve; options as of ``Segmentation``.

    Nothing where a backbone has no coarser scales.
    """

    is_of_modalities: ClassVar[bool] = False

    def __call__(self, outputs: Outputs) -> TermResult:
        """Return the loss of the task ``fused``."""
        full = outputs.label.shape[-1]
        parts = [
            self.loss(logits, outputs.truth, factor=full // logits.shape[-1]) / 2**level
            for level, logits in enumerate(outputs.fused.deep, start=1)
        ]
        return TermResult(losses={FUSED: sum(parts[1:], parts[0])} if parts else {})


class PartSegmentation(Segmentation):
    """What the fusion decoder makes of some of the modalities, drawn at each step; options as of ``Segmentation``.

    Where cases have mostly the same combination, a fusion decoder would never see another. The modalities are encoded
    already, so that a step teaches a second combination for the price of a decoder. Nothing with late fusion, where
    ``separate`` trains each modality through the same layers. Ours, not part of the published HGA.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({"part"})
    is_of_modalities: ClassVar[bool] = False
    compares_modalities: ClassVar[bool] = True

    def __call__(self, outputs: Outputs) -> TermResult:
        """Return the loss of the task ``fused``."""
        return TermResult(losses={FUSED: self.loss(outputs.part.logits, outputs.truth)} if outputs.part else {})


class ModalitySegmentation(Segmentation):
    """Each modality on its own, through the separate decoder where the backbone has one, else alone.

    Options as of ``Segmentation``.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({"separate"})

    def __call__(self, outputs: Outputs) -> TermResult:
        """Return the loss of each modality."""
        return TermResult(
            losses={modality: self.loss(logits, outputs.truth) for modality, logits in outputs.separate.items()}
        )
