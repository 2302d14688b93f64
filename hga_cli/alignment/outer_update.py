"""What happens to the weights besides the steps of the optimiser."""

from collections.abc import Mapping
from typing import ClassVar

from torch import Tensor, nn
from torch.optim import Optimizer

from hga_cli.core.settings import Outer


class OuterUpdate:
    """Plain training; the others say what they do otherwise.

    Args:
        model: what is trained.
        settings: of the method.
    """

    samplers: ClassVar[tuple[str, ...]] = ()
    """Those whose cycles it needs; none: any sampler will do."""
    steps: ClassVar[int] = 1
    """Steps between two moments at which the weights are those proper: an epoch must not end elsewhere."""

    def __init__(self, model: nn.Module, settings: Outer) -> None:
        del model, settings

    def optimiser(self, usual: Optimizer, *, ends_cycle: bool) -> Optimizer:
        """Return who makes a step: the usual optimiser."""
        del ends_cycle
        return usual

    def epsilon(self, epoch: int, epochs: int) -> float:
        """Return 1: the weights stay as training made them."""
        del epoch, epochs
        return 1.0

    def end_cycle(self, model: nn.Module, epsilon: float) -> None:
        """Do nothing."""

    def state(self) -> dict[str, Tensor]:
        """Return nothing."""
        return {}

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Take nothing."""
