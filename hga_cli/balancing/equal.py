"""All tasks count alike."""

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn


class Equal:
    """The gradient of the sum of all losses: what PASSION and HGA do."""

    def backward(self, losses: Mapping[str, Tensor], shared: Iterable[nn.Parameter]) -> None:
        """Add the gradient to each parameter.

        Args:
            losses: task -> scalar; only tasks that exist in this step.
            shared: parameters that all tasks train.
        """
        del shared
        torch.autograd.backward(list(losses.values()))

    def state(self) -> dict[str, Tensor]:
        """Return what a checkpoint has to keep: nothing."""
        return {}

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Take nothing."""
