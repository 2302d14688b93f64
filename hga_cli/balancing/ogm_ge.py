"""The parameters of modalities that are ahead learn less, with noise."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from hga_cli.balancing.balancer import Step, in_range
from hga_cli.balancing.per_task import PerTask
from hga_cli.losses.labels import at_true_class
from hga_cli.losses.probabilities import probabilities

TINY = 1e-8


class OnTheFlyModulation(PerTask):
    """Gradients of a modality's own parameters times k_i = 1 - tanh(alpha r_i) where r_i > 1, plus noise.

    s_i is the mean probability that modality i gives the true class; r_i is s_i over the mean of the others in the step
    (publication: two modalities, so one other). Shared parameters get the sum. The noise is normal, with the standard
    deviation of each parameter's gradient, as published. Source: Peng et al., Balanced Multimodal Learning via
    On-the-fly Gradient Modulation, CVPR 2022. Whose a parameter is follows from which single modality trains it.

    Args:
        tasks: see ``Balancer``.
        shared: see ``Balancer``.
        own: see ``Balancer``.
        alpha: how strongly those ahead are held back (published: between 0 and 1).
        noise: add the noise ("GE"); False is OGM.

    Raises:
        ConfigError: an option out of range.
    """

    compares: ClassVar[bool] = True
    touches_own: ClassVar[bool] = True

    def __init__(
        self,
        tasks: Sequence[str],
        shared: Iterable[nn.Parameter],
        own: Iterable[nn.Parameter],
        *,
        alpha: float = 0.1,
        noise: bool = True,
    ) -> None:
        super().__init__(tasks, shared, own)
        self._alpha = in_range("ogm_ge", "alpha", alpha)
        self._noise = noise
        self._owned: dict[str, set[int]] = {}
        self._latest: dict[str, float] = {}
        self._scores: dict[str, float] = {}

    def begin(self, step: Step) -> None:
        """Start a step."""
        super().begin(step)
        self._owned, self._scores = {}, {}

    def observe(self, logits: Mapping[str, Tensor], label: Tensor, cases: Sequence[str]) -> None:
        """Score each modality."""
        del cases
        with torch.no_grad():
            self._latest = {
                name: float(at_true_class(probabilities(one.float()), label).mean()) for name, one in logits.items()
            }

    def backward(self, losses: Mapping[str, Tensor], share: float = 1.0) -> None:
        """Add the gradients of all tasks, and note whose parameters are whose."""
        super().backward(losses, share)
        for name, score in self._latest.items():
            self._scores[name] = self._scores.get(name, 0.0) + share * score

    def add_own(self, task: str, gradients: Sequence[Tensor | None]) -> None:
        """Add the gradients of a task on parameters that are not shared, and note which they are."""
        super().add_own(task, gradients)
        if task in self.modalities:
            self._owned[task] = {place for place, gradient in enumerate(gradients) if gradient is not None}

    def merge(self) -> None:
        """Write the sums, and change those of parameters that belong to one modality."""
        super().merge()
        if len(self._scores) < 2:
            return
        torch.manual_seed(self.now.seed)
        for task in (name for name in self.modalities if name in self._scores):
            factor = self._factor_of(task)
            for parameter in (self.own[place] for place in sorted(self._owned.get(task, ()))):
                assert parameter.grad is not None
                modulated = factor * parameter.grad
                if self._noise and parameter.numel() > 1:
                    modulated = modulated + torch.randn_like(modulated) * (parameter.grad.std() + TINY)
                parameter.grad = modulated

    def _factor_of(self, task: str) -> float:
        """Return k of a modality of the step."""
        others = [score for name, score in self._scores.items() if name != task]
        ahead = self._scores[task] / (sum(others) / len(others) + TINY)
        return 1 - math.tanh(self._alpha * ahead) if ahead > 1 else 1.0
