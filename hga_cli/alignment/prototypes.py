"""Prototype losses: how well the features of one modality separate the classes.

The prototype of class c in sample b is the mean feature of its voxels, mu[b,c] = sum_v f(v) y[b,c,v] / (n[b,c] + 1e-5).
Gradients flow through the prototypes too. Besides the loss, each function returns the number from which the preference
between modalities is made; mind its direction, which turned round between the two papers.

Departure from the published code, in both: it keeps only the classes that every sample of the batch has, so the loss
of one sample depends on its neighbours, voxels of the other classes add a constant, and a batch without a common class
crashes. Here each sample has its own set of classes, to which all of its voxels belong.
"""

from math import gcd
from typing import Any

import torch
from torch import Tensor

from hga_cli.losses.labels import Truth, at_true_class, require_fit
from hga_cli.losses.precision import full_precision
from hga_cli.losses.probabilities import clipped_log

PARTS = 8
"""Of the voxels of a single sample, at most."""
_EMPTY = 1e-5  # added to the number of voxels of a class
_SMALLEST_NORM = 1e-5
_SMALLEST_SQUARE = 1e-12


@full_precision
def compactness(
    feature: Tensor, label: Tensor | Truth, classes: int, *, compactness_weight: float = 0.001
) -> tuple[Tensor, Tensor]:
    """Prototype loss of HGA: each voxel shall be nearest to the prototype of its own class, and near to it.

    With the distance D_c(v) = sqrt(||f(v) - mu_c||^2 + 1e-12) and the affinity A = softmax over present classes of -D:
    loss_b = mean_v -log clip(A_y(v)) + compactness_weight * mean_v D_y(v), where y is the true class of the voxel and
    clip is to [0.005, 1]. Source: HGA, published code, with three repairs: sets of classes per sample (see above), one
    value per sample instead of one per batch, and the 1e-12 under the root, without which a voxel that coincides with
    its prototype has an infinite derivative. ||f - mu||^2 is computed as |f|^2 - 2 f mu + |mu|^2, much cheaper than the
    difference itself and in float32 exact to about 1e-7 |f|^2: where the mean of a feature is 30 (100) times its
    spread, which norms before the last layer prevent, the gradient is off by 1e-3 (2e-2).

    Args:
        feature: f of one modality alone, (B, C, *space).
        label: class indices, (B, *space) int64, or what was made of them.
        classes: K.
        compactness_weight: weight of the second part; 0.001 in the published code.

    Returns:
        Loss (B,), and confidence (B,) = mean_v A_y(v) in (0, 1], detached. **High confidence = strong modality.**
    """
    truth = Truth.of(label, classes)
    affinities, distance = affinity(feature, truth)
    own = at_true_class(affinities, truth.label.flatten(1))
    apart = truth.one_hot(distance.dtype)
    spread = (distance * apart).sum((1, 2)) / apart.shape[2]
    loss = -clipped_log(own).mean(1) + compactness_weight * spread
    return loss, own.detach().mean(1)


@full_precision
def affinity(feature: Tensor, truth: Truth) -> tuple[Tensor, Tensor]:
    """Return which class each voxel belongs to, by the prototypes of its sample; see ``compactness``.

    Args:
        feature: (B, C, *space).
        truth: of the label, (B, *space).

    Returns:
        Affinity A and distance D, (B, K, V) each; A is 0 for classes that a sample does not have.
    """
    require_fit(feature, truth.label)
    inner, square, prototypes = _products(feature, truth)
    constant = prototypes.square().sum(1).unsqueeze(2) + _SMALLEST_SQUARE
    distance = torch.sub(square, inner, alpha=2).add_(constant).clamp(min=_SMALLEST_SQUARE).sqrt()
    is_there = truth.counts(feature.dtype).unsqueeze(2) > 0
    offset = torch.where(is_there, 0.0, -torch.inf)  # leaves absent classes out
    return torch.softmax(offset - distance, 1), distance


@full_precision
def similarity(feature: Tensor, teacher: Tensor, label: Tensor | Truth, classes: int) -> tuple[Tensor, Tensor]:
    """Prototype loss of PASSION: a voxel shall resemble the class prototypes as it does in the fused feature.

    With the cosine s_c(v) = <f(v), mu_c> / (|f(v)| |mu_c|), norms at least 1e-5, each feature with its own prototypes:
    loss_b = mean over present classes and v of (s^student - s^teacher)^2. Source: PASSION; the published code with sets
    of classes per sample (see above).

    Args:
        feature: student, (B, C, *space), of one modality alone.
        teacher: fused feature, (B, C', *space); detached here.
        label: class indices, (B, *space) int64, or what was made of them.
        classes: K.

    Returns:
        Loss (B,), and distance (B,) = mean of |s^student - s^teacher|, detached. **High distance = weak modality.**
    """
    truth = Truth.of(label, classes)
    require_fit(feature, truth.label)
    require_fit(teacher, truth.label)
    gap = _cosine(feature, truth) - _cosine(teacher.detach(), truth)
    present = (truth.counts(gap.dtype) > 0).sum(1)
    entries = present * gap.shape[2]  # absent classes have prototype 0 and cosine 0: no gap
    return gap.square().sum((1, 2)) / entries, gap.detach().abs().sum((1, 2)) / entries


def _cosine(feature: Tensor, truth: Truth) -> Tensor:
    """Cosine between each voxel of (B, C, *space) and each class prototype: (B, K, V)."""
    inner, square, prototypes = _products(feature, truth)
    lengths = square.clamp(min=_SMALLEST_NORM**2).sqrt()
    prototype_lengths = prototypes.square().sum(1).clamp(min=_SMALLEST_NORM**2).sqrt()
    return inner / lengths / prototype_lengths.unsqueeze(2)


def _products(feature: Tensor, truth: Truth) -> tuple[Tensor, Tensor, Tensor]:
    """Return <f(v), mu_c> (B, K, V), |f(v)|^2 (B, 1, V) and mu (B, C, K) of a feature (B, C, *space)."""
    kind = feature.dtype
    size = truth.counts(kind).unsqueeze(1) + _EMPTY
    products: tuple[Tensor, Tensor, Tensor] = _Products.apply(  # type: ignore[no-untyped-call]
        feature.flatten(2), truth.one_hot(kind), size
    )
    return products


class _Products(torch.autograd.Function):
    """The part of the prototype losses that touches the wide (B, C, V) feature.

    Written with its derivative by hand because the three paths of the gradient (|f|^2, f mu, mu) then share one
    (B, C, V) buffer, which lies in memory as the feature does: half the time of what autograd makes of the same lines.
    """

    @staticmethod
    def forward(ctx: Any, feature: Tensor, truth: Tensor, size: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        prototypes = _sums(truth, feature).mT / size
        ctx.save_for_backward(feature, truth, size, prototypes)
        inner = (prototypes.mT.unsqueeze(1) @ _apart(feature)).movedim(1, 2).flatten(2)
        return inner, (feature * feature).sum(1, keepdim=True), prototypes

    @staticmethod
    def backward(ctx: Any, inner: Tensor, square: Tensor, through: Tensor) -> tuple[Tensor, None, None]:
        feature, truth, size, prototypes = ctx.saved_tensors
        left = torch.cat([prototypes, (through + _sums(inner, feature).mT) / size], 2)
        right = torch.cat([inner, truth], 1)
        if feature.is_contiguous():
            return torch.baddbmm(feature * (2 * square), left, right), None, None
        return (feature.mT * (2 * square).mT).baddbmm_(right.mT, left.mT).mT, None, None


def _sums(values: Tensor, feature: Tensor) -> Tensor:
    """Sum values (B, K, V) times feature (B, C, V) over the voxels: (B, K, C).

    In the order (C, V) (V, K) the product takes up to five times as long on a CPU, and in float32 is off by 1e-3 where
    many voxels are alike.
    """
    return (_apart(values) @ _apart(feature).mT).sum(1)


def _apart(values: Tensor) -> Tensor:
    """View (B, C, V) as (B, P, C, V / P): a CPU multiplies the matrices of a batch side by side, a single one alone."""
    parts = gcd(values.shape[2], PARTS) if len(values) == 1 else 1
    return values.view(*values.shape[:2], parts, -1).movedim(2, 1)
