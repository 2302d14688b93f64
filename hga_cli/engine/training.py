"""Everything that changes while a network is trained, one step of it, and its state."""

import math
from collections import defaultdict
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hga_cli.core.catalog import BACKBONES, BALANCERS, OUTER_UPDATES
from hga_cli.core.combinations import Combination, combination_name
from hga_cli.core.errors import ConfigError
from hga_cli.core.settings import Config, Network, Optim
from hga_cli.data.loading import Batch
from hga_cli.engine.checkpoint import with_prefix, without_prefix
from hga_cli.engine.objective import Objective
from hga_cli.networks.backbone import Backbone

STEP_STREAM = 3
"""Keeps the random numbers of steps (dropout) apart from those of samplers (0, 1) and patches (2)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scheme:
    """What does not change during a training."""

    config: Config
    modalities: Combination
    classes: int
    device: torch.device
    iterations: int
    """Steps in an epoch."""

    @property
    def steps(self) -> int:
        """Steps of the whole training."""
        return self.config.optim.epochs * self.iterations

    @property
    def memory_format(self) -> torch.memory_format:
        """How images and weights lie in memory."""
        if self.config.optim.layout == "contiguous":
            return torch.contiguous_format
        return torch.channels_last_3d if self.config.network.dims == 3 else torch.channels_last


class Training:
    """Network, objective, optimiser, balancer and outer update, and how far they have come."""

    def __init__(self, scheme: Scheme) -> None:
        config = scheme.config
        self.scheme = scheme
        torch.manual_seed(config.seed)
        network = build_network(config.network, scheme.modalities, scheme.classes)
        self.model = network.to(scheme.device).to(memory_format=scheme.memory_format).train()  # type: ignore[call-overload]
        self.objective = Objective(config.method, scheme.modalities)
        self.balancer = BALANCERS.load(config.optim.balancer)()
        self.outer = OUTER_UPDATES.load(config.method.outer.kind)(self.model, config.method.outer)
        self.optimiser = torch.optim.AdamW(
            self.model.parameters(),
            lr=config.optim.learning_rate,
            weight_decay=config.optim.weight_decay,
            amsgrad=True,
        )
        self.step = 0
        self._merged = True
        self._sums: dict[str, float] = defaultdict(float)
        self._counts: dict[str, int] = defaultdict(int)

    @property
    def epoch(self) -> int:
        """The running epoch (0, 1, ...)."""
        return self.step // self.scheme.iterations

    def learn(self, batch: Batch) -> float:
        """Do one step and return the loss.

        Raises:
            ConfigError: the loss or the gradient is not finite; the weights are still those of the step before.
        """
        optim = self.scheme.config.optim
        torch.manual_seed(_step_seed(self.scheme.config.seed, self.step))
        for group in self.optimiser.param_groups:
            group["lr"] = learning_rate(optim, self.epoch)
        device, layout = self.scheme.device, self.scheme.memory_format
        images = {name: image.to(device).contiguous(memory_format=layout) for name, image in batch.images.items()}
        label = batch.label.to(device).long()
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=optim.precision == "bf16"):
            losses = self.objective(self.model, images, label)
        self.optimiser.zero_grad(set_to_none=True)
        self.balancer.backward(losses.tasks, self.model.shared_parameters())
        total = float(torch.stack([loss.detach() for loss in losses.tasks.values()]).sum())
        self._require_finite(batch, total)
        self.optimiser.step()
        self._merge(ends_cycle=batch.ends_cycle)
        self.step += 1
        self._note({"loss": total, **losses.terms})
        return total

    def end_epoch(self) -> dict[str, Any]:
        """Move beta and return the line of the journal for the epoch that just ended."""
        epoch, optim = self.epoch - 1, self.scheme.config.optim
        preference = self.objective.preference
        eta = preference.eta(epoch)
        preference.end_epoch(epoch)
        line = {
            "epoch": epoch,
            "step": self.step,
            "learning_rate": learning_rate(optim, epoch),
            "epsilon": self.outer.epsilon(epoch, optim.epochs),
            "eta": eta,
            "beta": dict(preference.beta),
            "losses": {name: value / self._counts[name] for name, value in sorted(self._sums.items())},
        }
        self._sums.clear()
        self._counts.clear()
        return line

    def finish(self) -> None:
        """Merge a cycle that the end of the training cut short."""
        if not self._merged:
            self._merge(ends_cycle=True)

    def tensors(self) -> dict[str, Tensor]:
        """Return all tensors a checkpoint has to keep."""
        moments = {
            f"{index}.{name}": value
            for index, state in self.optimiser.state_dict()["state"].items()
            for name, value in state.items()
        }
        return {
            **with_prefix("model", self.model.state_dict()),
            **with_prefix("optimiser", moments),
            **with_prefix("outer", self.outer.state()),
            **with_prefix("balancer", self.balancer.state()),
        }

    def state(self) -> dict[str, Any]:
        """Return all plain values a checkpoint has to keep."""
        return {
            "step": self.step,
            "merged": self._merged,
            "sums": dict(self._sums),
            "counts": dict(self._counts),
            "preference": self.objective.preference.state(),
        }

    def load(self, tensors: dict[str, Tensor], state: dict[str, Any]) -> None:
        """Continue from a checkpoint, exactly."""
        self.model.load_state_dict(without_prefix("model", tensors))
        moments: dict[int, dict[str, Tensor]] = defaultdict(dict)
        for name, value in without_prefix("optimiser", tensors).items():
            index, key = name.split(".", 1)
            moments[int(index)][key] = value
        groups = self.optimiser.state_dict()["param_groups"]
        self.optimiser.load_state_dict({"state": dict(moments), "param_groups": groups})
        self.outer.load(without_prefix("outer", tensors))
        self.balancer.load(without_prefix("balancer", tensors))
        self.objective.preference.load(state["preference"])
        self.step, self._merged = state["step"], state["merged"]
        self._sums.update(state["sums"])
        self._counts.update(state["counts"])

    def _merge(self, *, ends_cycle: bool) -> None:
        if ends_cycle:
            epochs = self.scheme.config.optim.epochs
            self.outer.end_cycle(self.model, self.outer.epsilon(min(self.epoch, epochs - 1), epochs))
        self._merged = ends_cycle

    def _note(self, values: dict[str, float]) -> None:
        for name, value in values.items():
            self._sums[name] += value
            self._counts[name] += 1

    def _require_finite(self, batch: Batch, loss: float) -> None:
        gradients = [parameter.grad for parameter in self.model.parameters() if parameter.grad is not None]
        if math.isfinite(loss) and math.isfinite(float(torch.nn.utils.get_total_norm(gradients))):
            return
        where = f"epoch {self.epoch}, step {self.step}, combination {combination_name(batch.combination)}"
        message = f"the loss or its gradient is not finite at {where}, cases {', '.join(batch.cases)}"
        hint = "the last checkpoint is good; try a lower optim.learning_rate, or look at these cases"
        raise ConfigError(message, hint=hint)


def build_network(settings: Network, modalities: Combination, classes: int) -> Backbone:
    """Return the backbone that the settings name, with fresh weights."""
    network: Backbone = BACKBONES.load(settings.backbone)(modalities, classes, dims=settings.dims, width=settings.width)
    return network


def learning_rate(settings: Optim, epoch: int) -> float:
    """Return base (1 - e / E) ** power: the polynomial schedule of PASSION and HGA, constant within an epoch."""
    share_left: float = 1 - epoch / settings.epochs
    return float(settings.learning_rate * share_left**settings.power)


def _step_seed(seed: int, step: int) -> int:
    return int(np.random.SeedSequence([seed, STEP_STREAM, step]).generate_state(1)[0])
