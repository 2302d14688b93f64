"""Modalities that are ahead of the others, and ever more so, weigh less."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from hga_cli.balancing.weighted import WeighedLosses
from hga_cli.losses.segmentation import cross_entropy

LARGEST_EXPONENT = 7.0


class AdaptiveGradientModulation(WeighedLosses):
    """w_i = exp(min(tau_i - strength_i, 7)) for each modality; the fused prediction and one modality alone weigh 1.

    With s_i the cross-entropy of modality i and n modalities in the step, strength_i = exp(n / (n - 1) (mean s - s_i)),
    and tau_i is the same with the running means of s. Source: Li et al., Adaptive Gradient Modulation, ICCV 2023, as in
    the published code of HGA: the publication takes the share of each modality in one fused prediction and scales the
    gradients of encoders; here each modality predicts for itself and its loss is scaled, so that backbones that share
    their encoder can be modulated too. Ranks scale by the cases they have.

    Args:
        tasks: see ``Balancer``.
        shared: see ``Balancer``.
        own: see ``Balancer``.
    """

    compares: ClassVar[bool] = True
    whole_batch: ClassVar[bool] = True

    def __init__(self, tasks: Sequence[str], shared: Iterable[nn.Parameter], own: Iterable[nn.Parameter]) -> None:
        super().__init__(tasks, shared, own)
        self._running = torch.zeros(2, len(self.tasks), dtype=torch.float64)  # sums of scores, and counts
        self._scores: dict[str, float] = {}

    def observe(self, logits: Mapping[str, Tensor], label: Tensor, cases: Sequence[str]) -> None:
        """Score each modality."""
        del cases
        with torch.no_grad():
            self._scores = {
                name: float(cross_entropy(one, label, weighted=False).mean()) for name, one in logits.items()
            }

    def weights(self, losses: Mapping[str, float]) -> dict[str, float]:
        """Return the weights of these tasks."""
        ones = dict.fromkeys(losses, 1.0)
        if len(self._scores) < 2 or not all(map(math.isfinite, self._scores.values())):
            return ones
        usual = {name: self._usual(name, score) for name, score in self._scores.items()}
        now, before = _strengths(self._scores), _strengths(usual)
        return ones | {name: math.exp(min(before[name] - now[name], LARGEST_EXPONENT)) for name in now}

    def learn(self, losses: Mapping[str, float]) -> None:
        """Add to the running means."""
        del losses
        for name, score in self._scores.items():
            if math.isfinite(score):
                self._running[:, self.tasks.index(name)] += torch.tensor([score, 1.0], dtype=torch.float64)

    def state(self) -> dict[str, Tensor]:
        """Return the running means."""
        return {"running": self._running.clone()}

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Continue from a state."""
        self._running = state["running"].clone()

    def _usual(self, name: str, score: float) -> float:
        """Return the running mean, which starts with the first score."""
        total, count = self._running[:, self.tasks.index(name)].tolist()
        return total / count if count > 0 else score


def _strengths(scores: Mapping[str, float]) -> dict[str, float]:
    count = len(scores)
    mean = sum(scores.values()) / count
    return {name: math.exp(count / (count - 1) * (mean - score)) for name, score in scores.items()}
