"""All losses fall at the same pace, judged after each step."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import ClassVar

from torch import Tensor, nn

from hga_cli.balancing.balancer import Step, in_range
from hga_cli.balancing.learned import Learned
from hga_cli.balancing.weighted import WeighedLosses

EPSILON = 1e-8


class FAMO(WeighedLosses):
    """Losses weigh z_i / L_i, over the sum of these, with z the softmax of learned numbers.

    After the step the losses of the same batch say by how much each logarithm fell; Adam moves weight from those that
    fell more to the others. That costs one more pass forward. Source: Liu et al., FAMO, NeurIPS 2023. The class of
    torchjd needs the same tasks in every step; with them it gives the same. Ranks weigh by the cases they have.

    Args:
        tasks: see ``Balancer``.
        shared: see ``Balancer``.
        own: see ``Balancer``.
        rate: of Adam (publication: 0.025).
        decay: of the numbers (publication: 0.001).

    Raises:
        ConfigError: an option out of range.
    """

    whole_batch: ClassVar[bool] = True
    looks_back: ClassVar[bool] = True

    def __init__(
        self,
        tasks: Sequence[str],
        shared: Iterable[nn.Parameter],
        own: Iterable[nn.Parameter],
        *,
        rate: float = 0.025,
        decay: float = 1e-3,
    ) -> None:
        super().__init__(tasks, shared, own)
        self._rate = in_range("famo", "rate", rate)
        self._decay = in_range("famo", "decay", decay, above=-EPSILON)
        self._numbers = Learned(self.tasks, 0.0)
        self._before: dict[str, float] = {}

    def begin(self, step: Step) -> None:
        """Start a step."""
        super().begin(step)
        self._before = {}

    def weights(self, losses: Mapping[str, float]) -> dict[str, float]:
        """Return the weights of these tasks, of sum 1."""
        raw = {task: share / (losses[task] + EPSILON) for task, share in self._shares(losses).items()}
        return {task: value / sum(raw.values()) for task, value in raw.items()}

    def learn(self, losses: Mapping[str, float]) -> None:
        """Keep the losses before the step."""
        self._before = dict(losses)

    def look_back(self, losses: Mapping[str, float]) -> None:
        """Move the numbers of these tasks."""
        if not losses or losses.keys() != self._before.keys() or not all(map(math.isfinite, losses.values())):
            return
        fallen = {task: math.log((self._before[task] + EPSILON) / (loss + EPSILON)) for task, loss in losses.items()}
        shares = self._shares(losses)
        mean = sum(shares[task] * fallen[task] for task in losses)
        slopes = {
            task: shares[task] * (fallen[task] - mean) + self._decay * self._numbers[task] for task in self._before
        }
        self._numbers.descend(slopes, self._rate)

    def state(self) -> dict[str, Tensor]:
        """Return the numbers and their moments."""
        return self._numbers.state()

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Continue from a state."""
        self._numbers.load(state)

    def _shares(self, tasks: Iterable[str]) -> dict[str, float]:
        raw = {task: math.exp(self._numbers[task]) for task in tasks}
        return {task: value / sum(raw.values()) for task, value in raw.items()}
