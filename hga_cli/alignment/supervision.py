"""Segmentation losses against the label: of the fused prediction, of its coarser scales, of each modality.

All are weighted cross-entropy plus soft Dice (PASSION; HGA).
"""

from typing import ClassVar

from torch import Tensor

from hga_cli.alignment.term import FUSED, Need, Outputs, TermResult
from hga_cli.losses.segmentation import cross_entropy, dice


class FusedSegmentation:
    """The fused prediction against the label.

    The published late-fusion script of HGA leaves this loss out although the fused prediction is what is used; here it
    is always there (set its weight to 0 to leave it out).
    """

    needs: ClassVar[frozenset[Need]] = frozenset()
    makes_preferences: ClassVar[bool] = False

    def __call__(self, outputs: Outputs) -> TermResult:
        """Return the loss of the task ``fused``."""
        return TermResult(losses={FUSED: _segmentation(outputs.fused.logits, outputs.label)})


class DeepSupervision:
    """The fused prediction at coarser scales; weights start at 1/2 and halve. Nothing where a backbone has none."""

    needs: ClassVar[frozenset[Need]] = frozenset()
    makes_preferences: ClassVar[bool] = False

    def __call__(self, outputs: Outputs) -> TermResult:
        """Return the loss of the task ``fused``."""
        full = outputs.label.shape[-1]
        parts = [
            _segmentation(logits, outputs.label, factor=full // logits.shape[-1]) / 2**level
            for level, logits in enumerate(outputs.fused.deep, start=1)
        ]
        return TermResult(losses={FUSED: sum(parts[1:], parts[0])} if parts else {})


class ModalitySegmentation:
    """Each modality on its own, through the separate decoder where the backbone has one, else alone."""

    needs: ClassVar[frozenset[Need]] = frozenset({"separate"})
    makes_preferences: ClassVar[bool] = False

    def __call__(self, outputs: Outputs) -> TermResult:
        """Return the loss of each modality."""
        return TermResult(
            losses={modality: _segmentation(logits, outputs.label) for modality, logits in outputs.separate.items()}
        )


def _segmentation(logits: Tensor, label: Tensor, *, factor: int = 1) -> Tensor:
    return cross_entropy(logits, label, factor=factor) + dice(logits, label, factor=factor)
