"""What happens to the weights besides the steps of the optimiser."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from torch import Tensor, nn
from torch.optim import Optimizer

from hga_cli.core.settings import Outer


class OuterUpdate:
    """Plain training; the others say what they do otherwise.

    Args:
        model: what is trained.
        settings: of the method.
    """

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

    @contextmanager
    def weights_in_use(self) -> Iterator[None]:
        """Let the model have the weights that predict, for as long as this lasts: here those that are trained."""
        yield

    def weights(self) -> dict[str, Tensor]:
        """Return those weights that predict and are not the trained ones, by name."""
        return {}

    def state(self) -> dict[str, Tensor]:
        """Return nothing."""
        return {}

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Take nothing; the model has been loaded before, with the weights that predict."""
