"""Combinations of gradients whose weights solve a small problem.

torchjd has them too, but its solvers for UPGrad, CAGrad and Nash-MTL are further packages, of which quadprog and ecos
are under the GPL; ``small_problems`` needs none. The results are those of torchjd, more exactly.
"""

from abc import abstractmethod
from collections.abc import Iterable, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from hga_cli.balancing.balancer import in_range
from hga_cli.balancing.per_task import PerTask, products
from hga_cli.balancing.small_problems import Array, bargain, conflict_averse, onto_dual_cone, shortest


class Solved(PerTask):
    """A combination of the gradients whose weights solve a small problem."""

    @abstractmethod
    def solve(self, gram: Array) -> Array:
        """Return the weights (T,) from the products (T, T) of the gradients, scaled to trace 1."""

    def direction(self, matrix: Tensor, tasks: Sequence[str]) -> Tensor:
        """Return the combination."""
        del tasks
        gram = products(matrix)
        weights = torch.from_numpy(self.solve((gram / gram.trace()).numpy()))
        return weights.to(matrix) @ matrix


class MGDA(Solved):
    """The shortest combination of the gradients, with weights of sum 1.

    Source: Sener and Koltun, Multi-Task Learning as Multi-Objective Optimization, NeurIPS 2018; torchjd and the
    publication come near the solution by Frank-Wolfe, this is exact.
    """

    def solve(self, gram: Array) -> Array:
        """Return the weights."""
        return shortest(gram)


class UPGrad(Solved):
    """Each gradient is projected onto the directions that conflict with none; the result is the mean.

    Source: Quinton and Rey, Jacobian Descent for Multi-Objective Optimization, 2024.
    """

    def solve(self, gram: Array) -> Array:
        """Return the weights."""
        starts = np.eye(len(gram)) / len(gram)
        return np.asarray(np.sum([onto_dual_cone(gram, start) for start in starts], axis=0))


class CAGrad(Solved):
    """Within ``c`` times the length of the mean gradient around it: the direction that helps the worst task most.

    Source: Liu et al., Conflict-Averse Gradient Descent, NeurIPS 2021, Algorithm 1.

    Args:
        tasks: see ``Balancer``.
        shared: see ``Balancer``.
        own: see ``Balancer``.
        c: above 0, which would be the mean; from 1 on it need no longer lower the mean loss (published: 0.2 to 0.5).

    Raises:
        ConfigError: an option out of range.
    """

    def __init__(
        self, tasks: Sequence[str], shared: Iterable[nn.Parameter], own: Iterable[nn.Parameter], *, c: float = 0.4
    ) -> None:
        super().__init__(tasks, shared, own)
        self._radius = in_range("cagrad", "c", c)

    def solve(self, gram: Array) -> Array:
        """Return the weights."""
        return conflict_averse(gram, self._radius)


class NashMTL(Solved):
    """The bargain of tasks in which each gains as much, relative to what it has: weights a with G a = 1 / a.

    G holds the products of the gradients, over their Frobenius norm, as in torchjd; publication and torchjd come near
    the bargain by a sequence of convex problems, and start from the last one; this is exact and needs no past. They cut
    the direction to length 1, here ``optim.clip_norm`` does. Source: Navon et al., Multi-Task Learning as a Bargaining
    Game, ICML 2022.
    """

    def solve(self, gram: Array) -> Array:
        """Return the weights."""
        return bargain(gram / np.linalg.norm(gram))
