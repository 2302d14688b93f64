"""The average of slow weights: what HGA's outer interpolation is without braking the training."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from hga_cli.alignment.outer_update import OuterUpdate
from hga_cli.core.settings import Outer


class Average(OuterUpdate):
    """An average of the weights at the ends of cycles predicts; training goes on from its own weights.

    After each cycle: phi <- phi + a (theta - phi), with theta the trained weights and phi the slow ones. Unlike
    `Interpolation` theta is not set back to phi, so that the steps of the optimiser keep their length. a is
    ``settings.share``, at least 1 / n at the n-th cycle, so that the first cycles count equally and the weights before
    training do not. Source: averages along the trajectory (Izmailov et al., UAI 2018; Polyak and Juditsky 1992), taken
    where each combination has had its turn. Ours, not part of the published HGA.

    Args:
        model: its weights now are used until the first cycle ends.
        settings: ``share`` of the newest weights.
    """

    def __init__(self, model: nn.Module, settings: Outer) -> None:
        self._share = settings.share
        self._trained = dict(model.named_parameters())
        self._average = {name: value.detach().clone() for name, value in self._trained.items()}
        self._cycles = torch.zeros((), dtype=torch.int64)

    @torch.no_grad()
    def end_cycle(self, model: nn.Module, epsilon: float) -> None:
        """Take the trained weights into the average."""
        del model, epsilon
        self._cycles += 1
        share = max(self._share, 1 / int(self._cycles))
        for name, value in self._trained.items():
            self._average[name].lerp_(value, share)

    @contextmanager
    def weights_in_use(self) -> Iterator[None]:
        """Let the model have the average for as long as this lasts."""
        trained = {name: value.detach().clone() for name, value in self._trained.items()}
        self._set(self._average)
        try:
            yield
        finally:
            self._set(trained)

    def weights(self) -> dict[str, Tensor]:
        """Return the average: what a checkpoint keeps as the model."""
        return self._average

    def state(self) -> dict[str, Tensor]:
        """Return the trained weights, and how many cycles are in the average."""
        return {**{f"trained.{name}": value for name, value in self._trained.items()}, "cycles": self._cycles}

    @torch.no_grad()
    def load(self, state: Mapping[str, Tensor]) -> None:
        """Continue from a state: the model was loaded with the average, and gets its trained weights back."""
        self._cycles.copy_(state["cycles"])
        for name, value in self._trained.items():
            self._average[name].copy_(value)
            value.copy_(state[f"trained.{name}"])

    @torch.no_grad()
    def _set(self, weights: Mapping[str, Tensor]) -> None:
        for name, value in self._trained.items():
            value.copy_(weights[name])
