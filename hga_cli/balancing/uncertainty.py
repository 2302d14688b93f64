"""Each loss is divided by a variance that is learned."""

import math
from collections.abc import Iterable, Mapping, Sequence

from torch import Tensor, nn

from hga_cli.balancing.balancer import in_range
from hga_cli.balancing.learned import Learned
from hga_cli.balancing.weighted import WeighedLosses


class Uncertainty(WeighedLosses):
    """sum_i exp(-s_i) L_i / 2 + s_i / 2, where s_i, the logarithm of a variance, starts at 0 and is learned by Adam.

    Source: Kendall et al., CVPR 2018. The rate of s is ``speed`` times that of the network, as in HGA's code, without
    weight decay. The class of torchjd needs the same tasks in every step; with them it gives the same gradients.

    Args:
        tasks: see ``Balancer``.
        shared: see ``Balancer``.
        own: see ``Balancer``.
        speed: rate of s over the rate of the network.

    Raises:
        ConfigError: an option out of range.
    """

    def __init__(
        self, tasks: Sequence[str], shared: Iterable[nn.Parameter], own: Iterable[nn.Parameter], *, speed: float = 10.0
    ) -> None:
        super().__init__(tasks, shared, own)
        self._speed = in_range("uncertainty", "speed", speed)
        self._variances = Learned(self.tasks, 0.0)

    def weights(self, losses: Mapping[str, float]) -> dict[str, float]:
        """Return half of one over each variance."""
        return {task: 0.5 * math.exp(-self._variances[task]) for task in losses}

    def learn(self, losses: Mapping[str, float]) -> None:
        """Move the variances of these tasks."""
        slopes = {task: 0.5 - 0.5 * math.exp(-self._variances[task]) * loss for task, loss in losses.items()}
        self._variances.descend(slopes, self._speed * self.now.rate)

    def state(self) -> dict[str, Tensor]:
        """Return variances and their moments."""
        return self._variances.state()

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Continue from a state."""
        self._variances.load(state)
