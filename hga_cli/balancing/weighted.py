"""What balancers share that weigh losses: one backward pass, of the weighted sum."""

import math
from abc import abstractmethod
from collections.abc import Mapping

import torch
from torch import Tensor

from hga_cli.balancing.balancer import Balancer, Step


class WeighedLosses(Balancer):
    """The gradient of sum_i w_i L_i, for shared and other parameters alike."""

    @abstractmethod
    def weights(self, losses: Mapping[str, float]) -> Mapping[str, float]:
        """Return the weight of each of these tasks, which have these losses in a part of the batch."""

    def learn(self, losses: Mapping[str, float]) -> None:
        """Learn from the losses of the step, means over the batch; called once a step, if they are finite."""

    def begin(self, step: Step) -> None:
        """Start a step."""
        super().begin(step)
        self._seen: dict[str, float] = {}

    def backward(self, losses: Mapping[str, Tensor], share: float = 1.0) -> None:
        """Add the gradient of the weighted sum to each parameter."""
        present = self.ordered(losses)
        values = dict(zip(present, torch.stack([loss.detach() for loss in present.values()]).tolist(), strict=True))
        weights = self.weights(values)
        torch.autograd.backward([loss * (weights[task] * self.factor(share)) for task, loss in present.items()])
        for task, value in values.items():
            self._seen[task] = self._seen.get(task, 0.0) + share * value

    def merge(self) -> None:
        """Learn from the losses of the step."""
        if self._seen and all(map(math.isfinite, self._seen.values())):
            self.learn(self._seen)
