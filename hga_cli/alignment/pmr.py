"""Prototypical modal rebalance: modalities that are behind gather around prototypes, those ahead are kept unsure."""

from math import inf
from typing import ClassVar

from torch import Tensor

from hga_cli.alignment.prototypes import affinity
from hga_cli.alignment.term import Need, Outputs, Term, TermResult
from hga_cli.core.errors import ConfigError
from hga_cli.losses.labels import Truth, at_true_class
from hga_cli.losses.precision import full_precision
from hga_cli.losses.probabilities import clipped_log

TINY = 1e-8


class PrototypicalRebalance(Term):
    """Loss_m = slow_m PCE_m + entropy fast_m (log n - H_m) for modality m of a sample; a modality alone has no loss.

    A is the affinity of a voxel to the prototypes of the n classes of the sample (see ``prototypes``). PCE =
    mean_v -log clip(A_y(v)) is the prototypical cross-entropy, H = mean_v -sum_c A_c log clip(A_c) the entropy, which
    log n keeps from making a loss below 0, and s = mean_v A_y(v) the score of a modality. With r_m the score over the
    mean score of the others in the sample, slow_m = clip(1 / r_m - 1) and fast_m = clip(r_m - 1), to [0, 1], both
    constants. Modalities that are equally good have no loss.

    Source: Fan et al., PMR: Prototypical Modal Rebalance for Multimodal Learning, CVPR 2023, which classifies; for two
    modalities slow and fast are those of the publication. Where segmentation of what is there departs:

    - A sample has thousands of voxels, so prototypes are those of the sample, learnt through, as in ``compactness``;
      there, they are means over a part of the training set, made anew (with momentum) for each epoch, and constants.
    - s and r are of a sample, a mean over voxels; there, sums over a batch.
    - Any number of modalities: the others are one.
    - The entropy is kept up in the whole training; there, in the first epochs.

    Args:
        entropy: weight of the entropy of modalities ahead, at least 0; 0 leaves it out.

    Raises:
        ConfigError: the weight is below 0 or not finite.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({"alone"})
    compares_modalities: ClassVar[bool] = True

    def __init__(self, *, entropy: float = 0.1) -> None:
        if not 0 <= entropy < inf:
            message = f"option 'entropy' of term 'pmr' should be 0 or more, found {entropy}"
            raise ConfigError(message, hint="--set method.terms.pmr.options.entropy=0.1")
        self._entropy = entropy

    def __call__(self, outputs: Outputs) -> TermResult:
        """Return the loss of each modality."""
        if len(outputs.alone) < 2:
            return TermResult()
        measures = {name: measure(one.feature, outputs.truth) for name, one in outputs.alone.items()}
        losses = {}
        for name, (loss, certainty, score) in measures.items():
            others = [other for task, (_, _, other) in measures.items() if task != name]
            ratio = (score + TINY) / (sum(others[1:], others[0]) / len(others) + TINY)
            slow, fast = ((one - 1).clamp(0, 1) for one in (1 / ratio, ratio))
            losses[name] = slow * loss + self._entropy * fast * certainty
        return TermResult(losses=losses)


@full_precision
def measure(feature: Tensor, truth: Truth) -> tuple[Tensor, Tensor, Tensor]:
    """Return prototypical cross-entropy, log n - H and score of one modality, (B,) each; the score is detached.

    Args:
        feature: (B, C, *space), of the modality alone.
        truth: of the label, (B, *space).
    """
    affinities, _ = affinity(feature, truth)
    own = at_true_class(affinities, truth.label.flatten(1))
    entropy = -(affinities * clipped_log(affinities)).sum(1).mean(1)
    most = (truth.counts(feature.dtype) > 0).sum(1).log()
    return -clipped_log(own).mean(1), most - entropy, own.detach().mean(1)
