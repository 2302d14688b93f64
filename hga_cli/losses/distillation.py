"""Distillation: what the fused prediction (teacher) teaches each modality alone (student).

The teacher is a constant in all of them: no gradient reaches it. Both arguments are logits; a teacher that is given as
probabilities p is passed as ``p.log()`` with temperature 1, because softmax(log p) = p. (Some variants of the published
code hand probabilities to a function that applies softmax once more, which flattens the teacher.)
"""

from dataclasses import dataclass

from torch import Tensor

from hga_cli.losses.labels import Truth, require_fit
from hga_cli.losses.precision import full_precision
from hga_cli.losses.probabilities import log_probabilities, probabilities
from hga_cli.losses.segmentation import overlap_loss


@full_precision
def kl(
    student: Tensor,
    teacher: Tensor,
    label: Tensor | Truth | None = None,
    *,
    temperature: float = 4.0,
    factor: int = 1,
) -> Tensor:
    """Temperature KL divergence: KL_b = T^2 / (K V) sum_cv w[b,y(v)] pt (log pt - log ps).

    ps, pt = clip(U softmax(z / T)) of student and teacher, where U enlarges by ``factor`` and clip is to [0.005, 1].
    With a label y each voxel counts with the weight of its true class, so that rare classes teach more: w are the
    `hga_cli.losses.labels.class_weights` (the weighted KL of HGA); without one, w = 1 (PASSION; HGA). T^2 keeps the
    size of the gradient when T changes. Source: published code of both. Two habits of theirs are kept, so that weights
    of the papers keep their meaning: the mean runs over classes too (a textbook divergence is K times larger), and the
    clipped distributions are not normalised again.

    Args:
        student: logits, (B, K, *space).
        teacher: logits, same shape; detached here.
        label: y, class indices, (B, *(factor * space)) int64, or what was made of them; None: no weights.
        temperature: T.
        factor: whole factor by which both are enlarged, for deep supervision.

    Returns:
        KL, (B,); 0 where student equals teacher.
    """
    return kl_from(student, soften(teacher, label, temperature=temperature, factor=factor))


@dataclass(frozen=True, slots=True, kw_only=True)
class Softened:
    """A teacher as its students see it, made once for all of them."""

    target: Tensor
    """pt, or w pt: (B, K, *(factor * space))."""
    log: Tensor
    """log pt, of the same shape."""
    temperature: float
    factor: int


@full_precision
def soften(
    teacher: Tensor, label: Tensor | Truth | None = None, *, temperature: float = 4.0, factor: int = 1
) -> Softened:
    """Prepare a teacher for `kl_from`; arguments as of `kl`."""
    log = log_probabilities(teacher.detach(), temperature=temperature, factor=factor)
    target = log.exp()
    if label is not None:
        truth = Truth.of(label, log.shape[1])
        require_fit(log, truth.label)
        target *= truth.weights(log.dtype).view_as(truth.label).unsqueeze(1)
    return Softened(target=target, log=log, temperature=temperature, factor=factor)


@full_precision
def kl_from(student: Tensor, teacher: Softened) -> Tensor:
    """Return `kl`, (B,), of a student (logits, (B, K, *space)) from a teacher that `soften` made."""
    log = log_probabilities(student, temperature=teacher.temperature, factor=teacher.factor)
    return teacher.temperature**2 * _mean_product(teacher.target, teacher.log - log)


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


def _mean_product(first: Tensor, second: Tensor) -> Tensor:
    """Mean over everything but the batch of the product, (B,).

    A matrix product is slower, and in float32 off by 1e-2 where many voxels are alike: it adds them up one by one.
    """
    return (first * second).flatten(1).mean(1)
