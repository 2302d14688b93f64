"""Distillation: what the fused prediction (teacher) teaches each modality alone (student).

The teacher is a constant in all of them: no gradient reaches it. Both arguments are logits; a teacher that is given as
probabilities p is passed as ``p.log()`` with temperature 1, because softmax(log p) = p. (Some variants of the published
code hand probabilities to a function that applies softmax once more, which flattens the teacher.)
"""

from torch import Tensor

from hga_cli.losses.labels import require_fit
from hga_cli.losses.precision import full_precision
from hga_cli.losses.probabilities import CLIP, clipped_log, probabilities
from hga_cli.losses.segmentation import class_weights, overlap_loss


@full_precision
def kl(student: Tensor, teacher: Tensor, *, temperature: float = 4.0, factor: int = 1) -> Tensor:
    """Temperature KL divergence: KL_b = T^2 / (K V) sum_cv pt (log pt - log ps).

    ps, pt = clip(U softmax(z / T)) of student and teacher, where U enlarges by ``factor`` and clip is to [0.005, 1].
    T^2 keeps the size of the gradient when T changes. Source: published code of PASSION and HGA. Two habits of theirs
    are kept, so that weights of the papers keep their meaning: the mean runs over classes too (a textbook divergence is
    K times larger), and the clipped distributions are not normalised again.

    Args:
        student: logits, (B, K, *space).
        teacher: logits, same shape; detached here.
        temperature: T.
        factor: whole factor by which both are enlarged, for deep supervision.

    Returns:
        KL, (B,); 0 where student equals teacher.
    """
    target, gap = _compare(student, teacher, temperature=temperature, factor=factor)
    return temperature**2 * _mean_product(target, gap)


@full_precision
def weighted_kl(
    student: Tensor, teacher: Tensor, label: Tensor, *, temperature: float = 4.0, factor: int = 1
) -> Tensor:
    """`kl` in which each voxel counts with the weight of its true class: rare classes teach more.

    WKL_b = T^2 / (K V) sum_v w[b,y(v)] sum_c pt (log pt - log ps), with w from
    `hga_cli.losses.segmentation.class_weights`. Source: published code of HGA.

    Args:
        student: logits, (B, K, *space / factor).
        teacher: logits, same shape; detached here.
        label: y, class indices, (B, *space) int64.
        temperature: T.
        factor: whole factor between predictions and label, for deep supervision.

    Returns:
        WKL, (B,).
    """
    target, gap = _compare(student, teacher, temperature=temperature, factor=factor)
    require_fit(gap, label)
    weights = class_weights(label, gap.shape[1], dtype=gap.dtype).gather(1, label.flatten(1))
    return temperature**2 * _mean_product(target * weights.view_as(label).unsqueeze(1), gap)


@full_precision
def dice_kd(student: Tensor, teacher: Tensor, *, temperature: float = 4.0, over_batch: bool = False) -> Tensor:
    """Soft Dice between softened student and teacher: the `overlap_loss` of softmax(z / T) of both.

    Greater than 0 even where student equals teacher, unless both are certain. Source: published code of HGA, which adds
    up over the batch (``over_batch``); the default is one value per sample, as the modality preference needs it.

    Args:
        student: logits, (B, K, *space).
        teacher: logits, same shape; detached here.
        temperature: T.
        over_batch: add up over the batch before dividing, as published.

    Returns:
        Dice-KD, (B,).
    """
    ps = probabilities(student, temperature=temperature).flatten(2)
    pt = probabilities(teacher.detach(), temperature=temperature).flatten(2)
    return overlap_loss(ps, pt, over_batch=over_batch)


def _compare(student: Tensor, teacher: Tensor, *, temperature: float, factor: int) -> tuple[Tensor, Tensor]:
    """Return pt and log pt - log ps, both (B, K, *(factor * space))."""
    target = probabilities(teacher.detach(), temperature=temperature, factor=factor).clamp_(CLIP, 1.0)
    return target, target.log().sub_(clipped_log(probabilities(student, temperature=temperature, factor=factor)))


def _mean_product(first: Tensor, second: Tensor) -> Tensor:
    """Mean over everything but the batch of the product, (B,).

    A matrix product is slower, and in float32 off by 1e-2 where many voxels are alike: it adds them up one by one.
    """
    return (first * second).flatten(1).mean(1)
