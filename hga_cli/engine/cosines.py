"""The angles between the gradients of the tasks: what "direction alignment" claims to make smaller."""

from collections.abc import Iterable, Mapping
from itertools import combinations

import torch
from torch import Tensor, nn

TINY = 1e-20


def task_cosines(losses: Mapping[str, Tensor], shared: Iterable[nn.Parameter]) -> dict[str, float]:
    """Return the cosine between the gradients of each pair of tasks on the shared parameters.

    One backward pass for each task; the graph stays for the training step. Source: the gradient visualiser of HGA,
    which reports angles; ours takes the parameters that the backbone declares as shared.

    Args:
        losses: task -> scalar.
        shared: parameters that all tasks train; those that a task does not reach count as zero.

    Returns:
        ``flair~t2`` -> cosine, -1 to 1; 0 where a gradient is zero.
    """
    parameters = list(shared)
    gradients = {}
    for task, loss in losses.items():
        parts = torch.autograd.grad(loss, parameters, retain_graph=True, allow_unused=True, materialize_grads=True)
        gradients[task] = torch.cat([part.reshape(-1).float() for part in parts])
    return {
        f"{first}~{second}": _cosine(gradients[first], gradients[second])
        for first, second in combinations(gradients, 2)
    }


def _cosine(first: Tensor, second: Tensor) -> float:
    return float(first @ second / (first.norm() * second.norm()).clamp(min=TINY))
