"""Now and then, the modality that learns slowest learns alone."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from hga_cli.balancing.balancer import Step, in_range
from hga_cli.balancing.per_task import Gradients, PerTask, added

TINY = 1e-8


class BalancedLearning(PerTask):
    """Every ``every`` steps the slowest modality is found, and the next steps that have it train it alone.

    The speed of a modality is the mean over steps of ||g_i|| / ||theta_i||, its own gradient over its own parameters,
    those that it does not share. Source: Wu et al., Characterizing and Overcoming the Greedy Nature of Learning in
    Multi-modal Deep Neural Networks, ICML 2022, in the form of HGA's code: the publication accumulates squared norms
    and looks at the logarithm of their ratio. A rebalancing begins in the step after it is found, so that all ranks do
    the same; steps of rebalancing measure no speed.

    Args:
        tasks: see ``Balancer``.
        shared: see ``Balancer``.
        own: see ``Balancer``.
        every: steps between two looks (published in HGA's code: 10).
        window: steps of the slow modality alone (HGA's code: 1; publication: several).
        tolerance: a modality is slow if its speed is below (1 - tolerance) times the mean (HGA's code: 0).

    Raises:
        ConfigError: an option out of range.
    """

    touches_own: ClassVar[bool] = True

    def __init__(
        self,
        tasks: Sequence[str],
        shared: Iterable[nn.Parameter],
        own: Iterable[nn.Parameter],
        *,
        every: int = 10,
        window: int = 1,
        tolerance: float = 0.0,
    ) -> None:
        super().__init__(tasks, shared, own)
        self._every = in_range("bml", "every", every)
        self._window = in_range("bml", "window", window)
        self._tolerance = in_range("bml", "tolerance", tolerance, above=-TINY, below=1)
        self._speeds = torch.zeros(2, len(self.modalities), dtype=torch.float64)  # sums and counts
        self._plan = torch.tensor([0.0, -1.0, 0.0], dtype=torch.float64)  # steps since a look, who is slow, steps left
        self._gradients: dict[str, Gradients] = {}

    def begin(self, step: Step) -> None:
        """Start a step, with a look at the speeds where it is due."""
        super().begin(step)
        self._gradients = {}
        if round(float(self._plan[0])) >= self._every:
            self._look()

    def backward(self, losses: Mapping[str, Tensor], share: float = 1.0) -> None:
        """Keep the gradients of all tasks, or in a rebalancing that of the slow one."""
        slow = self._slow()
        super().backward({slow: losses[slow]} if slow is not None and slow in losses else losses, share)

    def add_own(self, task: str, gradients: Sequence[Tensor | None]) -> None:
        """Add the gradients of a task on parameters that are not shared, and keep those of a modality."""
        super().add_own(task, gradients)
        if task in self.modalities:
            self._gradients[task] = added(self._gradients.get(task, [None] * len(self.own)), gradients)

    def merge(self) -> None:
        """Write the sums, and measure."""
        super().merge()
        slow = self._slow()
        if slow in self._gradients:
            self._plan[2] -= 1
            return
        self._plan[0] += 1
        for task, gradients in self._gradients.items():
            speed = self._speed(gradients)
            if math.isfinite(speed):
                self._speeds[:, self.modalities.index(task)] += torch.tensor([speed, 1.0], dtype=torch.float64)

    def state(self) -> dict[str, Tensor]:
        """Return the sums of speeds, and the plan."""
        return {"speeds": self._speeds.clone(), "plan": self._plan.clone()}

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Continue from a state."""
        self._speeds, self._plan = state["speeds"].clone(), state["plan"].clone()

    def _slow(self) -> str | None:
        """Return the modality that learns alone now, if there is one."""
        _, slow, left = self._plan.round().int().tolist()
        return self.modalities[slow] if left > 0 else None

    def _look(self) -> None:
        """Find the slow modality, if there is one, and start measuring again."""
        sums, counts = self._speeds.tolist()
        means = {place: total / count for place, (total, count) in enumerate(zip(sums, counts, strict=True)) if total}
        self._plan[0] = 0
        self._speeds = torch.zeros_like(self._speeds)
        if not means:
            return
        slow = min(means, key=means.__getitem__)
        if means[slow] < (1 - self._tolerance) * sum(means.values()) / len(means):
            self._plan = torch.tensor([0.0, slow, self._window], dtype=torch.float64)

    def _speed(self, gradients: Gradients) -> float:
        """Return the length of a gradient over that of the parameters it is about."""
        pairs = [(gradient, one) for gradient, one in zip(gradients, self.own, strict=True) if gradient is not None]
        if not pairs:
            return 0.0
        lengths = [torch.nn.utils.get_total_norm([pair[side].detach() for pair in pairs]) for side in (0, 1)]
        return float(lengths[0]) / self.now.scale / (float(lengths[1]) + TINY)
