"""The outer interpolation of HGA: what happens to the weights when a cycle over the combinations ends."""

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn

from hga_cli.alignment.outer_update import OuterUpdate
from hga_cli.core.settings import Outer


class Interpolation(OuterUpdate):
    """Direction alignment between combinations (HGA; the outer loop of Reptile).

    After each cycle: theta <- phi + epsilon (theta - phi), phi <- theta, with theta the weights and phi the slow
    weights (theta at the end of the cycle before). epsilon grows linearly over the epochs from ``settings.epsilon``
    towards 1. The moments of the optimiser stay as they are. The published code merges at the first step of the next
    cycle, so that the last cycle is never merged; here a cycle is merged when it ends.

    Args:
        model: its weights now are the first slow weights.
        settings: ``epsilon`` of the first epoch.
    """

    samplers: ClassVar[tuple[str, ...]] = ("cycle",)

    def __init__(self, model: nn.Module, settings: Outer) -> None:
        self._start = settings.epsilon
        self._slow = {name: value.detach().clone() for name, value in model.named_parameters()}

    def epsilon(self, epoch: int, epochs: int) -> float:
        """Return epsilon of an epoch (0, 1, ...)."""
        return self._start + (1 - self._start) * epoch / max(epochs, 1)

    @torch.no_grad()
    def end_cycle(self, model: nn.Module, epsilon: float) -> None:
        """Merge weights and slow weights."""
        for name, fast in model.named_parameters():
            slow = self._slow[name]
            fast.copy_(slow + epsilon * (fast - slow))
            slow.copy_(fast)

    def state(self) -> dict[str, Tensor]:
        """Return the slow weights."""
        return self._slow

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Continue from slow weights."""
        for name, value in state.items():
            self._slow[name].copy_(value)
