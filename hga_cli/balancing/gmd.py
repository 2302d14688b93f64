"""Conflicting parts of the gradients of modalities are removed."""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

from hga_cli.balancing.per_task import PerTask, products

CLAMP = (-2.0, 1.0)
"""Bounds of the published coefficient."""


class GradientGuidedDecoupling(PerTask):
    """Each gradient is projected off those it conflicts with, in random order; the result is the mean.

    g <- g - c g_j with c = <g, g_j> / ||g_j||^2 where that is negative. HGA's code bounds c by -2 and 1, so that strong
    conflicts are removed in part only; ``clamp`` does that. Without it this is the mean of PCGrad's gradients. Source:
    Wang et al., Gradient-guided Modality Decoupling for Missing-modality Robustness, AAAI 2024; its dynamic sharing is
    the backbone unet, which has norms for each modality.

    Args:
        tasks: see ``Balancer``.
        shared: see ``Balancer``.
        own: see ``Balancer``.
        clamp: bound the coefficients as published.
    """

    def __init__(
        self, tasks: Sequence[str], shared: Iterable[nn.Parameter], own: Iterable[nn.Parameter], *, clamp: bool = False
    ) -> None:
        super().__init__(tasks, shared, own)
        self._bounds = CLAMP if clamp else (-float("inf"), float("inf"))

    def direction(self, matrix: Tensor, tasks: Sequence[str]) -> Tensor:
        """Return the mean of the projected gradients."""
        count = len(tasks)
        orders = [[j for j in torch.randperm(count).tolist() if j != i] for i in range(count)]
        weights = projections(products(matrix), orders, self._bounds)
        return weights.mean(0).to(matrix) @ matrix


def projections(gram: Tensor, orders: Sequence[Sequence[int]], bounds: tuple[float, float]) -> Tensor:
    """Return the projected gradients as sums of the gradients.

    Args:
        gram: (T, T) products of the gradients.
        orders: for each of the T gradients, the others in the order in which it is projected off them.
        bounds: of the coefficients.

    Returns:
        (T, T); row i holds what each gradient adds to the i-th projected one.
    """
    weights = torch.eye(len(gram), dtype=gram.dtype)
    for row, order in zip(weights, orders, strict=True):
        for j in order:
            product = float(gram[j] @ row)
            if product < 0:
                row[j] -= min(max(product / float(gram[j, j]), bounds[0]), bounds[1])
    return weights
