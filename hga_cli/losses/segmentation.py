"""Segmentation losses: cross-entropy weighted by class frequency, and soft Dice."""

import torch
from torch import Tensor

from hga_cli.losses.labels import at_true_class, one_hot, require_fit
from hga_cli.losses.precision import full_precision
from hga_cli.losses.probabilities import clipped_log, probabilities

_EPSILON = 1e-7


def class_weights(label: Tensor, classes: int, *, dtype: torch.dtype = torch.float32) -> Tensor:
    """Weight classes by their rarity in the patch: w[b,c] = 1 - n[b,c] / V.

    n[b,c] is the number of voxels of class c in sample b, V that of all its voxels. An absent class weighs 1, the only
    class of a patch weighs 0. Source: published code of PASSION and HGA.

    Args:
        label: class indices, (B, *space) int64.
        classes: K.
        dtype: type of the weights.

    Returns:
        w, (B, K).
    """
    flat = label.flatten(1)
    counts = torch.stack([(flat == c).sum(1) for c in range(classes)], 1)
    return 1 - counts.to(dtype) / flat.shape[1]


@full_precision
def cross_entropy(logits: Tensor, label: Tensor, *, weighted: bool = True, factor: int = 1) -> Tensor:
    """Cross-entropy of clipped probabilities: WCE_b = 1/V sum_v w[b,y(v)] * -log clip(q[b,y(v),v]).

    q = softmax of the logits, enlarged by ``factor``; y(v) is the true class of voxel v; w are the `class_weights`, or
    1; clip is to [0.005, 1], so a voxel that is hopelessly wrong (q < 0.005) pulls no more. The sum is not divided by
    the weights. Source: published code of PASSION and HGA, one value per sample instead of one per batch.

    Args:
        logits: (B, K, *space / factor).
        label: class indices, (B, *space) int64.
        weighted: False gives every class the weight 1.
        factor: whole factor between prediction and label, for deep supervision.

    Returns:
        WCE, (B,).
    """
    q = probabilities(logits, factor=factor)
    require_fit(q, label)
    loss = -clipped_log(at_true_class(q, label))
    if weighted:
        loss = loss * class_weights(label, q.shape[1], dtype=q.dtype).gather(1, label.flatten(1))
    return loss.mean(1)


@full_precision
def dice(logits: Tensor, label: Tensor, *, factor: int = 1, over_batch: bool = False) -> Tensor:
    """Soft Dice loss over all classes, background included: the `overlap_loss` of prediction and one-hot label.

    The published 2D script for MSSEG leaves the background out; here it counts for every data set.

    q = softmax of the logits, enlarged by ``factor``. A class that is absent from the label costs about 1/K whatever is
    predicted. Source: published code of PASSION (sums per sample) and of HGA for late fusion (``over_batch``).

    Args:
        logits: (B, K, *space / factor).
        label: class indices, (B, *space) int64.
        factor: whole factor between prediction and label, for deep supervision.
        over_batch: add up over the batch before dividing; see `overlap_loss`.

    Returns:
        Dice loss, (B,).
    """
    q = probabilities(logits, factor=factor)
    require_fit(q, label)
    return overlap_loss(q.flatten(2), one_hot(label, q.shape[1], dtype=q.dtype), over_batch=over_batch)


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
