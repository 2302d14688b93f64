"""What a balancer is, and what it may ask of a training step.

In each step the engine calls ``begin``, then for each part of the batch ``observe`` and ``backward``, then ``merge``,
and when the weights have moved ``look_back``; after each epoch ``end_epoch``. It knows no names: what a balancer needs
besides, it declares.

- Tasks are ``fused`` and each modality of the step. An absent task is not there: it has no loss, and nothing of it
  changes, neither its weights nor its state.
- Shared parameters are those that the backbone declares. All others get the gradient of their own tasks, as a sum. A
  parameter that no task reaches keeps None.
- Several ranks: each merges what it has seen; then gradients, and what ``learnt`` returns, are averaged over the ranks
  with their shares of the batch. So a state consists of sums and means, and all ranks have the same. What is drawn
  follows the seed of the step, the same on all ranks.
- fp16: gradients are kept times ``Step.scale``; what a balancer learns from has that taken out.
- What is not finite teaches nothing. Those that learn from losses look at losses only: they learn from a step whose
  gradients fp16 scaled too far, and that moves no weight.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from hga_cli.core.errors import ConfigError, suggestion


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What holds for a whole step of the training."""

    seed: int = 0
    """For what is drawn in this step."""
    rate: float = 1e-4
    """Learning rate of the network now."""
    scale: float = 1.0
    """What fp16 multiplies gradients by."""


class Balancer:
    """How the losses of several tasks become one gradient.

    Args:
        tasks: all names there can be, ``fused`` first, then the modalities.
        shared: parameters that all tasks train.
        own: all other parameters of the network.
    """

    apart: ClassVar[bool] = False
    """Asks for a pass of the network for each modality, so that a backward pass of a task touches nothing else."""
    compares: ClassVar[bool] = False
    """Asks for ``observe``."""
    looks_back: ClassVar[bool] = False
    """Asks for ``look_back``, which costs one more pass forward."""
    whole_batch: ClassVar[bool] = False
    """Cannot work on parts of a batch one after another."""
    alone: ClassVar[bool] = False
    """Makes sense with one task."""
    touches_own: ClassVar[bool] = False
    """Acts on parameters that belong to one modality: useless where all are shared."""
    moves_weights: ClassVar[bool] = False
    """Moves weights itself, which an outer update would take back."""

    def __init__(self, tasks: Sequence[str], shared: Iterable[nn.Parameter], own: Iterable[nn.Parameter]) -> None:
        self.tasks = tuple(tasks)
        self.shared = [parameter for parameter in shared if parameter.requires_grad]
        self.own = [parameter for parameter in own if parameter.requires_grad]
        self.now = Step()

    @property
    def modalities(self) -> tuple[str, ...]:
        """The tasks but ``fused``."""
        return self.tasks[1:]

    def require_time(self, epochs: int) -> None:
        """Refuse a training of so few epochs that the balancer would never act."""

    def begin(self, step: Step) -> None:
        """Start a step."""
        self.now = step

    def observe(self, logits: Mapping[str, Tensor], label: Tensor, cases: Sequence[str]) -> None:
        """Look at the predictions of each modality alone.

        Args:
            logits: modality -> (B, K, *space).
            label: (B, *space) class indices, int64.
            cases: ids of the B cases, or names of slices.
        """

    def backward(self, losses: Mapping[str, Tensor], share: float = 1.0) -> None:
        """Add the gradients of a part of the batch, or keep them for ``merge``.

        Where a balancer adds none in the whole batch, on all ranks, nothing moves.

        Args:
            losses: task -> scalar, a mean over the part; only tasks that exist in this step.
            share: of the part in the batch.
        """
        raise NotImplementedError

    def merge(self) -> None:
        """End the gradient of the step: every ``grad`` is then what this rank wants; and learn from the step."""

    def look_back(self, losses: Mapping[str, float]) -> None:
        """Look at the losses of the same batch after the step: task -> mean over the batch."""

    def end_epoch(self) -> None:
        """Learn from an epoch; on all ranks, which have the same state."""

    def state(self) -> dict[str, Tensor]:
        """Return what a checkpoint has to keep, on the CPU: float64, but copies of weights as the weights are."""
        return {}

    def learnt(self) -> dict[str, Tensor]:
        """Return the part of the state in which ranks may differ after a step; float64."""
        return self.state()

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Continue from a state, or take over what ranks have learnt."""

    def ordered(self, losses: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the losses in the order of the tasks, so that their order as given cannot matter."""
        return {task: losses[task] for task in self.tasks if task in losses}

    def factor(self, share: float) -> float:
        """Return what a loss is multiplied by before its gradient is taken."""
        return share * self.now.scale


def mean_state(states: Sequence[tuple[float, Mapping[str, Tensor]]]) -> dict[str, Tensor]:
    """Return the mean of the states of all ranks, weighted with their shares of the batch.

    Args:
        states: (share, state) of each rank.
    """
    total = sum(share for share, _ in states)
    return {
        name: sum((share * state[name] for share, state in states), 0 * value) / total
        for name, value in states[0][1].items()
    }


def one_of(balancer: str, option: str, value: str, known: Sequence[str]) -> str:
    """Return the value of an option, if it is one of these.

    Raises:
        ConfigError: it is not.
    """
    if value not in known:
        message = f"option '{option}' of balancer '{balancer}' cannot be '{value}'"
        raise ConfigError(message, hint=suggestion(value, known))
    return value


def in_range(balancer: str, option: str, value: float, *, above: float = 0.0, below: float = float("inf")) -> float:
    """Return the value of an option, if it lies between two bounds.

    Raises:
        ConfigError: it does not.
    """
    if not above < value < below:
        bound = f"above {above:g}" + ("" if below == float("inf") else f" and below {below:g}")
        message = f"option '{option}' of balancer '{balancer}' should be {bound}, found {value}"
        raise ConfigError(message, hint=f"--set optim.balancer_options.{option}=VALUE")
    return value
