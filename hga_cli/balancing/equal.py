"""All tasks count alike."""

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor

from hga_cli.balancing.balancer import Balancer


class Equal(Balancer):
    """The gradient of the sum of all losses: what PASSION and HGA do."""

    alone: ClassVar[bool] = True

    def backward(self, losses: Mapping[str, Tensor], share: float = 1.0) -> None:
        """Add the gradient to each parameter."""
        torch.autograd.backward([loss * self.factor(share) for loss in losses.values()])
