"""Gradients of all tasks as long as their pace of learning asks for."""

from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor, nn

from hga_cli.balancing.balancer import Step, in_range
from hga_cli.balancing.learned import Learned
from hga_cli.balancing.per_task import PerTask

TINY = 1e-8


class GradNorm(PerTask):
    """Weights w_i that make the norms n_i = ||w_i g_i|| on the shared parameters follow the pace of each task.

    With r_i = L_i / L_i(first) over its mean, the wanted norm is mean(n) r_i^alpha, taken as a constant; w follows the
    gradient of sum_i |n_i - wanted_i| by Adam, whose rate is ``speed`` times that of the network. Then w is made
    positive, and the weights of the tasks of the step keep their sum. Source: Chen et al., ICML 2018. Where we depart:
    all shared parameters instead of the last shared layer; absent tasks rest.

    Args:
        tasks: see ``Balancer``.
        shared: see ``Balancer``.
        own: see ``Balancer``.
        alpha: how strongly slow tasks are helped.
        speed: rate of w over the rate of the network.

    Raises:
        ConfigError: an option out of range.
    """

    def __init__(
        self,
        tasks: Sequence[str],
        shared: Iterable[nn.Parameter],
        own: Iterable[nn.Parameter],
        *,
        alpha: float = 1.5,
        speed: float = 10.0,
    ) -> None:
        super().__init__(tasks, shared, own)
        self._alpha = in_range("gradnorm", "alpha", alpha, above=-TINY)
        self._speed = in_range("gradnorm", "speed", speed)
        self._weights = Learned(self.tasks, 1.0)
        self._first = torch.zeros(len(self.tasks), dtype=torch.float64)
        self._losses: dict[str, float] = {}

    def begin(self, step: Step) -> None:
        """Start a step."""
        super().begin(step)
        self._losses = {}

    def backward(self, losses: Mapping[str, Tensor], share: float = 1.0) -> None:
        """Keep the gradients of the weighted losses."""
        for task, loss in losses.items():
            self._losses[task] = self._losses.get(task, 0.0) + share * float(loss.detach())
        super().backward({task: self._weights[task] * loss for task, loss in losses.items()}, share)

    def direction(self, matrix: Tensor, tasks: Sequence[str]) -> Tensor:
        """Return the sum of the rows, which are weighted already, and move the weights."""
        norms = matrix.norm(dim=1).tolist()
        paces = [self._pace(task) for task in tasks]
        mean_norm, mean_pace = sum(norms) / len(norms), sum(paces) / len(paces)
        slopes = {}
        for task, norm, pace in zip(tasks, norms, paces, strict=True):
            wanted = mean_norm * (pace / mean_pace) ** self._alpha
            slopes[task] = (1.0 if norm > wanted else -1.0 if norm < wanted else 0.0) * norm / self._weights[task]
        total = sum(self._weights[task] for task in tasks)
        self._weights.descend(slopes, self._speed * self.now.rate)
        positive = {task: max(self._weights[task], TINY) for task in tasks}
        self._weights.set({task: value * total / sum(positive.values()) for task, value in positive.items()})
        return matrix.sum(0)

    def state(self) -> dict[str, Tensor]:
        """Return weights, their moments, and the first losses (0: not yet seen)."""
        return {**self._weights.state(), "first": self._first.clone()}

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Continue from a state."""
        self._weights.load(state)
        self._first = state["first"].clone()

    def _pace(self, task: str) -> float:
        place = self.tasks.index(task)
        if self._first[place] == 0:
            self._first[place] = self._losses[task]
        return self._losses[task] / (float(self._first[place]) + TINY)
