"""Meta-learning towards all modalities: first-order MAML.

A trial step on cases with what they have, then the gradient of a complete case at the weights of the trial moves the
weights from where the trial began: what is learnt from incomplete cases is judged by a complete one.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import SGD, Optimizer

from hga_cli.alignment.outer_update import OuterUpdate
from hga_cli.core.combinations import Combination, combination_name
from hga_cli.core.errors import DataError
from hga_cli.core.settings import Outer
from hga_cli.data.dropout import DropoutSampler
from hga_cli.data.sampling import CaseSampler, Draw, Kind, Sampler

COMPLETE_STREAM = 4
"""Keeps the shuffles of complete cases apart from those of all cases (0), dropout (1), patches (2) and steps (3)."""


class MetaSampler:
    """Even steps: a batch as of ``case``. Odd steps, which end a cycle: one case that has all modalities, with all.

    Args:
        available: case -> what it may use.
        modalities: the order of the data set.
        batch: cases in an even step; an odd one has one case, as published.
        order: not used; passes are random.
        seed: of all shuffles.

    Raises:
        DataError: no case has all modalities.
    """

    has_order: ClassVar[bool] = False
    partial: ClassVar[Callable[..., Sampler]] = CaseSampler
    """Says what even steps see."""

    def __init__(
        self, available: Mapping[str, Combination], modalities: Combination, *, batch: int, order: str, seed: int
    ) -> None:
        self._partial = self.partial(available, modalities, batch=batch, order=order, seed=seed)
        self._complete = sorted(case for case, has in available.items() if set(has) == set(modalities))
        if not self._complete:
            every = combination_name(modalities)
            message = f"meta-learning needs training cases with {every}; none of {len(available)} has all of them"
            raise DataError(message, hint="--imbalance another table or none, or --method joint")
        self._modalities, self._seed = modalities, seed
        self.default_iterations = 2 * self._partial.default_iterations

    @property
    def kinds(self) -> list[Kind]:
        """What can be drawn: half of the time what even steps see, half of the time one complete case."""
        complete = Draw(combination=self._modalities, cases=(self._complete[0],), ends_cycle=True)
        return [
            *(replace(kind, share=kind.share / 2) for kind in self._partial.kinds),
            Kind(largest=complete, share=1 / 2),
        ]

    def draw(self, step: int) -> Draw:
        """Return the batch of a step."""
        pair, is_second = divmod(step, 2)
        if not is_second:
            return self._partial.draw(pair)
        number, place = divmod(pair, len(self._complete))
        order = np.random.default_rng([self._seed, COMPLETE_STREAM, number]).permutation(len(self._complete))
        return Draw(combination=self._modalities, cases=(self._complete[order[place]],), ends_cycle=True)


class MetaDropSampler(MetaSampler):
    """As ``MetaSampler``, but an even step shows parts of what its cases have: a batch as of ``dropout``."""

    partial: ClassVar[Callable[..., Sampler]] = DropoutSampler


class MetaUpdate(OuterUpdate):
    """theta <- theta + (theta' - theta~), with the trial theta~ and theta' one step of the optimiser after it.

    The trial is a step of plain gradient descent, so that the moments of the optimiser belong to the second step only.
    The published code lets one Adam make both. After an even step the model holds the trial, so an epoch has an even
    number of steps (a plan refuses another): what is validated and kept as best are the weights proper.

    Args:
        model: its weights are moved.
        settings: ``inner_rate`` of the trial.
    """

    samplers: ClassVar[tuple[str, ...]] = ("meta", "meta_drop")
    steps: ClassVar[int] = 2

    def __init__(self, model: nn.Module, settings: Outer) -> None:
        self._names = {parameter: name for name, parameter in model.named_parameters()}
        self._trial = {name: torch.zeros_like(parameter) for parameter, name in self._names.items()}
        self._inner = SGD(model.parameters(), lr=settings.inner_rate)
        self._inner.register_step_pre_hook(self._remember)

    def optimiser(self, usual: Optimizer, *, ends_cycle: bool) -> Optimizer:
        """Return who makes a step: the usual optimiser at the end of a cycle, else plain gradient descent."""
        return usual if ends_cycle else self._inner

    @torch.no_grad()
    def end_cycle(self, model: nn.Module, epsilon: float) -> None:
        """Take the trial back; what the step after it did stays."""
        del epsilon
        for name, parameter in model.named_parameters():
            parameter.sub_(self._trial[name])
            self._trial[name].zero_()

    def state(self) -> dict[str, Tensor]:
        """Return how far the trial went."""
        return self._trial

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Continue from a state."""
        for name, value in state.items():
            self._trial[name].copy_(value)

    def _remember(self, inner: Optimizer, *_: object) -> None:
        for group in inner.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._trial[self._names[parameter]].copy_(parameter.grad).mul_(-group["lr"])
