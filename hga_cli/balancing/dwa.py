"""Tasks whose loss falls slowly weigh more."""

import math
from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor, nn

from hga_cli.balancing.balancer import in_range
from hga_cli.balancing.weighted import WeighedLosses


class DynamicWeightAverage(WeighedLosses):
    """w_i = T softmax_i(r_i / temperature) with r_i = L_i(e - 1) / L_i(e - 2), over the T tasks of the step.

    L_i(e) is the mean loss of epoch e, over the steps that had the task; r_i is 1 until two epochs had it. Source: Liu
    et al., CVPR 2019. The class of torchjd needs the same tasks in every step; with them it gives the same weights.

    Args:
        tasks: see ``Balancer``.
        shared: see ``Balancer``.
        own: see ``Balancer``.
        temperature: the higher, the more equal.

    Raises:
        ConfigError: an option out of range.
    """

    def __init__(
        self,
        tasks: Sequence[str],
        shared: Iterable[nn.Parameter],
        own: Iterable[nn.Parameter],
        *,
        temperature: float = 2.0,
    ) -> None:
        super().__init__(tasks, shared, own)
        self._temperature = in_range("dwa", "temperature", temperature)
        self._running = torch.zeros(2, len(self.tasks), dtype=torch.float64)  # sums and counts of this epoch
        self._means = torch.zeros(2, len(self.tasks), dtype=torch.float64)  # of the epoch before last, and the last

    def weights(self, losses: Mapping[str, float]) -> dict[str, float]:
        """Return the weights of the epoch for these tasks."""
        raw = {task: math.exp(self._ratio(task) / self._temperature) for task in losses}
        return {task: len(raw) * value / sum(raw.values()) for task, value in raw.items()}

    def learn(self, losses: Mapping[str, float]) -> None:
        """Add to the means of the epoch."""
        for task, loss in losses.items():
            self._running[:, self.tasks.index(task)] += torch.tensor([loss, 1.0], dtype=torch.float64)

    def end_epoch(self) -> None:
        """Take the means of the epoch; a task that it did not have keeps its older ones."""
        sums, counts = self._running
        seen = counts > 0
        self._means[:, seen] = torch.stack([self._means[1], sums / counts.clamp(min=1)])[:, seen]
        self._running = torch.zeros_like(self._running)

    def state(self) -> dict[str, Tensor]:
        """Return the means of epochs."""
        return {"running": self._running.clone(), "means": self._means.clone()}

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Continue from a state."""
        self._running, self._means = state["running"].clone(), state["means"].clone()

    def _ratio(self, task: str) -> float:
        before, last = self._means[:, self.tasks.index(task)].tolist()
        return last / before if before > 0 and last > 0 else 1.0
