"""Modalities that fit what they were trained on better than other cases go back towards their first weights."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import ClassVar
from zlib import crc32

import torch
from torch import Tensor, nn

from hga_cli.balancing.balancer import Step, in_range
from hga_cli.balancing.per_task import PerTask
from hga_cli.core.errors import ConfigError
from hga_cli.data.imbalance import SLICE
from hga_cli.losses.labels import one_hot

TRAINED, HELD_BACK = 0, 1


class DiagnoseAndRelearn(PerTask):
    """Every ``every`` epochs the own parameters of modality i become theta - alpha_i (theta - theta_first).

    alpha_i = tanh(strength |P_i - Q_i|), where P_i and Q_i are means of the purity of the modality alone (see
    ``purity``), before each step of the last epoch of a round: P over cases that the round trained on, Q over those
    that it held back. The gradient is the sum over tasks. Source: Wei et al., Diagnosing and Re-learning for Balanced
    Multimodal Learning, ECCV 2024. Where we depart:

    - Q is of training cases, never of those for validation (publication and HGA's code): in each round one of ``folds``
      parts of them is held back, another in the next one, so that no case is lost. A part of a batch that holds such a
      case gives no gradient; a step without any moves nothing.
    - Purity is about the nearest prototype, as in HGA's code, not about k-means of the features of encoders.
    - What goes back are parameters that exactly one modality trains, on any backbone; that is found from the gradients
      of the tasks. A modality that was not seen on both sides stays as it is. The optimiser keeps its moments.

    The weights move before the first step of the next round: never at the end of a training, where nothing would be
    learnt again.

    Args:
        tasks: see ``Balancer``.
        shared: see ``Balancer``.
        own: see ``Balancer``.
        every: epochs of a round.
        folds: parts of the cases, by their names; with few cases a part may be empty, and its round judges nobody.
        strength: how far a gap moves the weights (published: 3).

    Raises:
        ConfigError: an option out of range.
    """

    compares: ClassVar[bool] = True
    touches_own: ClassVar[bool] = True
    moves_weights: ClassVar[bool] = True

    def __init__(
        self,
        tasks: Sequence[str],
        shared: Iterable[nn.Parameter],
        own: Iterable[nn.Parameter],
        *,
        every: int = 10,
        folds: int = 10,
        strength: float = 3.0,
    ) -> None:
        super().__init__(tasks, shared, own)
        self._every = in_range("dre", "every", every)
        self._folds = in_range("dre", "folds", folds, above=1)
        self._strength = in_range("dre", "strength", strength)
        self._first = [parameter.detach().clone() for parameter in self.own]
        count = len(self.modalities)
        self._trains = torch.zeros(count, len(self.own), dtype=torch.float64)  # above 0: modality trains parameter
        self._purities = torch.zeros(2, 2, count, dtype=torch.float64)  # trained on or held back; sums and counts
        self._epochs = 0  # that are over
        self._alphas = torch.zeros(count, dtype=torch.float64)  # how far to go back before the next step
        self._is_held_back = False

    def require_time(self, epochs: int) -> None:
        """Refuse a training that ends with its first round: nothing would be learnt again.

        Raises:
            ConfigError: it does.
        """
        if epochs <= self._every:
            message = f"balancer 'dre' acts after every {self._every} epochs, and optim.epochs is {epochs}: never"
            raise ConfigError(message, hint=f"--epochs {2 * self._every}, or --set optim.balancer_options.every=1")

    def begin(self, step: Step) -> None:
        """Start a step; the first one of a round with weights that went back."""
        super().begin(step)
        self._go_back()

    def observe(self, logits: Mapping[str, Tensor], label: Tensor, cases: Sequence[str]) -> None:
        """Note whether this part of the batch counts, and in the last epoch of a round how pure each modality is."""
        held = [self._holds_back(case) for case in cases]
        self._is_held_back = any(held)
        if (self._epochs + 1) % self._every:
            return
        for name, one in logits.items():
            for is_held, value in zip(held, purity(one, label).tolist(), strict=True):
                if math.isfinite(value):
                    side, place = HELD_BACK if is_held else TRAINED, self.modalities.index(name)
                    self._purities[side, :, place] += torch.tensor([value, 1.0], dtype=torch.float64)

    def backward(self, losses: Mapping[str, Tensor], share: float = 1.0) -> None:
        """Add the gradients of all tasks; none of a part that is held back."""
        if not self._is_held_back:
            super().backward(losses, share)

    def add_own(self, task: str, gradients: Sequence[Tensor | None]) -> None:
        """Add the gradients of a task on parameters that are not shared, and note which they are."""
        super().add_own(task, gradients)
        if task in self.modalities:
            reached = torch.tensor([gradient is not None for gradient in gradients], dtype=torch.float64)
            place = self.modalities.index(task)
            self._trains[place] = torch.maximum(self._trains[place], reached)

    def end_epoch(self) -> None:
        """At the end of a round, find how far each modality has to go back."""
        self._epochs += 1
        if self._epochs % self._every:
            return
        sums, counts = self._purities.unbind(1)
        means = sums / counts
        gaps = torch.where((counts > 0).all(0), (means[TRAINED] - means[HELD_BACK]).abs(), 0.0)
        self._alphas = torch.tanh(self._strength * gaps)
        self._purities = torch.zeros_like(self._purities)

    def learnt(self) -> dict[str, Tensor]:
        """Return the state but for the first weights, which are the same on all ranks."""
        return {
            "trains": self._trains.clone(),
            "purities": self._purities.clone(),
            "epochs": torch.tensor(self._epochs, dtype=torch.float64),
            "alphas": self._alphas.clone(),
        }

    def state(self) -> dict[str, Tensor]:
        """Return the sums of purities, what the next step does, who trains what, and the first weights in a line."""
        return {**self.learnt(), "first": torch.cat([one.flatten() for one in self._first]).cpu()}

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Continue from a state, or from what ranks have averaged."""
        self._trains, self._purities = state["trains"].clone(), state["purities"].clone()
        self._epochs, self._alphas = round(float(state["epochs"])), state["alphas"].clone()
        if "first" in state:
            parts = torch.split(state["first"], [one.numel() for one in self._first])
            self._first = [part.view_as(one).to(one) for part, one in zip(parts, self._first, strict=True)]

    @torch.no_grad()
    def _go_back(self) -> None:
        belongs_to_one = (self._trains > 0).sum(0) == 1
        for alpha, trains in zip(self._alphas.tolist(), self._trains > 0, strict=True):
            for place in (trains & belongs_to_one).nonzero().flatten().tolist() if alpha else ():
                self.own[place].lerp_(self._first[place], alpha)
        self._alphas = torch.zeros_like(self._alphas)

    def _holds_back(self, case: str) -> bool:
        """Tell whether a case is not trained on in this round; all slices of a case are or are not."""
        part = crc32(case.partition(SLICE)[0].encode()) % self._folds
        return part == self._epochs // self._every % self._folds


@torch.no_grad()
def purity(logits: Tensor, label: Tensor) -> Tensor:
    """Return how well the classes of each sample lie apart: the share of voxels nearest to their own prototype.

    The prototype of a class is the mean of the logits of its voxels in the sample; the share is a mean over the classes
    that the sample has, or else nearly all of it were background (HGA's code: over all voxels).

    Args:
        logits: of one modality alone, (B, K, *space).
        label: (B, *space) class indices, int64.

    Returns:
        (B,) in [0, 1]; NaN where a sample has one class, which says nothing, or a logit is not finite.
    """
    truth = one_hot(label, logits.shape[1], dtype=torch.float32)
    size = truth.sum(2)
    is_hit = nearest_prototype(logits, label) == label.flatten(1)
    shares = (truth * is_hit.unsqueeze(1)).sum(2) / size.clamp(min=1)
    classes = (size > 0).sum(1)
    speaks = (classes > 1) & logits.isfinite().flatten(1).all(1)
    return torch.where(speaks, shares.sum(1) / classes, torch.nan)


@torch.no_grad()
def nearest_prototype(logits: Tensor, label: Tensor) -> Tensor:
    """Return the class whose prototype lies nearest to each voxel, (B, V) int64; see ``purity``."""
    values = logits.flatten(2).float()
    truth = one_hot(label, logits.shape[1], dtype=values.dtype)
    size = truth.sum(2, keepdim=True)
    prototypes = truth @ values.mT / size.clamp(min=1)
    nearness = prototypes @ values - prototypes.square().sum(2, keepdim=True) / 2
    return nearness.masked_fill(size == 0, -torch.inf).argmax(1)
