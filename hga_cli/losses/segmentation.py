"""Segmentation losses: cross-entropy weighted by class frequency, and soft Dice."""

from torch import Tensor

from hga_cli.losses.labels import Truth, at_true_class, require_fit
from hga_cli.losses.precision import full_precision
from hga_cli.losses.probabilities import clipped_log, probabilities

_EPSILON = 1e-7


@full_precision
def cross_entropy(logits: Tensor, label: Tensor | Truth, *, weighted: bool = True, factor: int = 1) -> Tensor:
    """Cross-entropy of clipped probabilities: WCE_b = 1/V sum_v w[b,y(v)] * -log clip(q[b,y(v),v]).

    q = softmax of the logits, enlarged by ``factor``; y(v) is the true class of voxel v; w are the `class_weights`, or
    1; clip is to [0.005, 1], so a voxel that is hopelessly wrong (q < 0.005) pulls no more. The sum is not divided by
    the weights. Source: published code of PASSION and HGA, one value per sample instead of one per batch.

    Args:
        logits: (B, K, *space / factor).
        label: class indices, (B, *space) int64, or what was made of them.
        weighted: False gives every class the weight 1.
        factor: whole factor between prediction and label, for deep supervision.

    Returns:
        WCE, (B,).
    """
    q = probabilities(logits, factor=factor)
    return _cross_entropy(q, Truth.of(label, q.shape[1]), weighted=weighted)


@full_precision
def dice(logits: Tensor, label: Tensor | Truth, *, factor: int = 1, over_batch: bool = False) -> Tensor:
    """Soft Dice loss over all classes, background included: the `overlap_loss` of prediction and one-hot label.

    The published 2D script for MSSEG leaves the background out; here it counts for every data set.

    q = softmax of the logits, enlarged by ``factor``. A class that is absent from the label costs about 1/K whatever is
    predicted. Source: published code of PASSION (sums per sample) and of HGA for late fusion (``over_batch``).

    Args:
        logits: (B, K, *space / factor).
        label: class indices, (B, *space) int64, or what was made of them.
        factor: whole factor between prediction and label, for deep supervision.
        over_batch: add up over the batch before dividing; see `overlap_loss`.

    Returns:
        Dice loss, (B,).
    """
    q = probabilities(logits, factor=factor)
    return _dice(q, Truth.of(label, q.shape[1]), over_batch=over_batch)


@full_precision
def cross_entropy_and_dice(
    logits: Tensor, label: Tensor | Truth, *, factor: int = 1, over_batch: bool = False
) -> Tensor:
    """Return the weighted `cross_entropy` plus `dice`, from probabilities made once; arguments as theirs. (B,)."""
    q = probabilities(logits, factor=factor)
    truth = Truth.of(label, q.shape[1])
    return _cross_entropy(q, truth, weighted=True) + _dice(q, truth, over_batch=over_batch)


def overlap_loss(first: Tensor, second: Tensor, *, over_batch: bool = False) -> Tensor:
    """Return 1 - 1/K sum_c 2 sum_v(p q) / (sum_v p + sum_v q + 1e-7) of two soft segmentations.

    Args:
        first: p, (B, K, V), values in [0, 1].
        second: q, likewise.
        over_batch: let v run over the voxels of all samples ("batch Dice"). That one value is then returned for every
            sample, so that the mean over samples is the value.

    Returns:
        Loss, (B,).
    """
    shared = (first * second).sum(2)
    total = first.sum(2) + second.sum(2)
    if over_batch:
        shared, total = shared.sum(0, keepdim=True), total.sum(0, keepdim=True)
    return (1 - 2 * shared / (total + _EPSILON)).mean(1).expand(len(first))


def _cross_entropy(q: Tensor, truth: Truth, *, weighted: bool) -> Tensor:
    require_fit(q, truth.label)
    loss = -clipped_log(at_true_class(q, truth.label))
    return (loss * truth.weights(q.dtype) if weighted else loss).mean(1)


def _dice(q: Tensor, truth: Truth, *, over_batch: bool) -> Tensor:
    require_fit(q, truth.label)
    return overlap_loss(q.flatten(2), truth.one_hot(q.dtype), over_batch=over_batch)
