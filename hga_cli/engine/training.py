"""Everything that changes while a network is trained, one step of it, and its state."""

import math
from collections import defaultdict
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hga_cli.alignment.term import FUSED
from hga_cli.balancing.balancer import Step, mean_state
from hga_cli.balancing.build import build_balancer
from hga_cli.core.backbones import BACKBONES
from hga_cli.core.catalog import OUTER_UPDATES
from hga_cli.core.combinations import Combination, combination_name
from hga_cli.core.errors import ConfigError
from hga_cli.core.settings import Config
from hga_cli.data.loading import Batch, in_parts
from hga_cli.engine.checkpoint import with_prefix, without_prefix
from hga_cli.engine.contest import Contest
from hga_cli.engine.cosines import task_cosines
from hga_cli.engine.memory import enough_memory, keep_memory
from hga_cli.engine.network import build_network, compile_passes, memory_format, recompute
from hga_cli.engine.objective import Objective, StepLosses
from hga_cli.engine.optimiser import build_optimiser, gradient_norm, learning_rate
from hga_cli.engine.precision import autocast, refuse_two_planes
from hga_cli.engine.ranks import Ranks

LESS_MEMORY = "a smaller data.patch or data.batch, optim.accumulate=2, or optim.precision=bf16"
COSINE = "cosine/"
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
    ranks: Ranks = field(default_factory=Ranks)
    """This process among those that train together.

    Several train what one does where the network has no dropout; with dropout (mmformer, m2ftrans) each draws its own.
    """
    omega: Mapping[str, float] = field(default_factory=dict)
    """modality -> frequency weight; methods that use it need it."""

    @property
    def steps(self) -> int:
        """Steps of the whole training."""
        return self.config.optim.epochs * self.iterations


class Training:
    """Network, objective, optimiser, balancer and outer update, and how far they have come."""

    def __init__(self, scheme: Scheme) -> None:
        config = scheme.config
        self.scheme = scheme
        if scheme.device.type == "cpu":
            keep_memory()
        torch.manual_seed(config.seed)
        network = build_network(config, scheme.modalities, scheme.classes)
        self.model = network.to(scheme.device).to(memory_format=memory_format(config)).train()  # type: ignore[call-overload]
        if scheme.device.type == "cpu" and config.optim.precision == "bf16":
            refuse_two_planes(self.model)
        if config.optim.recompute:
            recompute(self.model, config.network.backbone)
        if config.optim.compile:
            compile_passes(self.model)
        self.objective = Objective(config.method, scheme.modalities, scheme.omega, seed=config.seed)
        tasks, objective = (FUSED, *scheme.modalities), self.objective
        self.balancer = build_balancer(
            config,
            self.model,
            tasks=tasks,
            has_modalities=objective.has_modalities,
            predicts_alone=objective.predicts_alone,
        )
        self.outer = OUTER_UPDATES.load(config.method.outer.kind)(self.model, config.method.outer)
        self.optimiser = build_optimiser(self.model.parameters(), config.optim)
        self.scaler = torch.amp.GradScaler(scheme.device.type, enabled=config.optim.precision == "fp16")
        self.contest = Contest()
        self.step = 0
        self._merged = True
        self._sums: dict[str, float] = defaultdict(float)
        self._counts: dict[str, int] = defaultdict(int)

    @property
    def epoch(self) -> int:
        """The running epoch (0, 1, ...)."""
        return self.step // self.scheme.iterations

    def learn(self, batch: Batch) -> float:
        """Do one step and return the loss; nothing moves where the balancer has no gradient.

        Parameters of modalities that are not there get no gradient and stay as they are, moments and decay included;
        the published code gives them zeros, on which AdamW goes on drifting.

        Raises:
            ConfigError: the loss or the gradient is not finite; the weights are still those of the step before. Or
                the memory of the GPU does not suffice: for the passes, or for the moments of the first step.
        """
        can_recompute = BACKBONES.check(self.scheme.config.network.backbone).recompute
        hint = f"{LESS_MEMORY}; or optim.recompute=true" if can_recompute else LESS_MEMORY
        with enough_memory(f"a step with {combination_name(batch.combination)}", hint):
            total = self._learn(batch)
        self.step += 1
        self._note({"loss": total})
        return total

    def _learn(self, batch: Batch) -> float:
        optim = self.scheme.config.optim
        ranks, device = self.scheme.ranks, self.scheme.device
        torch.manual_seed(_step_seed(self.scheme.config.seed, self.step, ranks.rank))
        for group in self.optimiser.param_groups:
            group["lr"] = learning_rate(optim, self.epoch)
        self.optimiser.zero_grad(set_to_none=True)
        self.balancer.begin(self._balancing_step())
        loss = sum(self._learn_part(part, share) for part, share in in_parts(batch, optim.accumulate))
        self.balancer.merge()
        everyone, movers = ranks.sum(len(batch.cases), self._has_gradients(), device=device)
        mine = len(batch.cases) / everyone
        (total,) = ranks.sum(loss * mine, device=device)
        is_sound = ranks.count == 1 or self._is_finite(loss)
        optimiser = self.outer.optimiser(self.optimiser, ends_cycle=batch.ends_cycle)
        if movers:
            ranks.average_gradients(self.model.parameters(), mine)
            self.scaler.unscale_(optimiser)
        self._require_finite(batch, total, is_sound=is_sound)
        if movers:
            self._move(optimiser)
        self._teach_balancer(batch, mine)
        self._merge(ends_cycle=batch.ends_cycle, step=self.step)
        return total

    def _learn_part(self, part: Batch, share: float) -> float:
        """Add the gradient of a part of a batch, and return its share of the loss."""
        label = part.label.to(self.scheme.device).long()
        losses = self._losses_of(part, label)
        every = self.scheme.config.log.cosine_every
        if every and self.step % every == 0:
            cosines = task_cosines(losses.tasks, self.model.shared_parameters())
            self._note({f"{COSINE}{pair}": value for pair, value in cosines.items()}, weight=len(part.cases))
        if self.balancer.compares:
            self.balancer.observe(losses.alone, label, part.cases)
        self.balancer.backward(losses.tasks, share)
        self._note(losses.terms, weight=len(part.cases))
        return share * float(torch.stack([loss.detach() for loss in losses.tasks.values()]).sum())

    def _losses_of(self, part: Batch, label: Tensor) -> StepLosses:
        device, layout = self.scheme.device, memory_format(self.scheme.config)
        images = {name: image.to(device).contiguous(memory_format=layout) for name, image in part.images.items()}
        with autocast(device, self.scheme.config.optim.precision):
            return self.objective(
                self.model, images, label, epoch=self.epoch, step=self.step, apart=self.balancer.apart
            )

    def _has_gradients(self) -> bool:
        return any(parameter.grad is not None for parameter in self.model.parameters())

    def _move(self, optimiser: torch.optim.Optimizer) -> None:
        """Move the weights by gradients that are averaged and free of the scale of fp16."""
        if (longest := self.scheme.config.optim.clip_norm) is not None:
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), longest)
        self.scaler.step(optimiser)
        self.scaler.update()

    def _balancing_step(self) -> Step:
        """Return what the balancer has to know; what it draws is the same on all ranks."""
        scale = self.scaler.scale(torch.ones((), device=self.scheme.device))
        seed = _step_seed(self.scheme.config.seed, self.step, rank=0)
        return Step(seed=seed, rate=self.optimiser.param_groups[0]["lr"], scale=float(scale))

    def _teach_balancer(self, batch: Batch, mine: float) -> None:
        """Let it look back if it asks for that, and let all ranks have the mean of what theirs learnt."""
        if self.balancer.looks_back and batch.cases:
            self.balancer.look_back(self._losses_now(batch))
        if self.scheme.ranks.count > 1 and (state := self.balancer.learnt()):
            self.balancer.load(mean_state(self.scheme.ranks.gather((mine, state))))

    @torch.no_grad()
    def _losses_now(self, batch: Batch) -> dict[str, float]:
        """Return the losses of a batch with the weights as they are, and what is random drawn as in its step."""
        seen = deepcopy(self.objective.preference.state())
        torch.manual_seed(_step_seed(self.scheme.config.seed, self.step, self.scheme.ranks.rank))
        losses = self._losses_of(batch, batch.label.to(self.scheme.device).long())
        self.objective.preference.load(seen)
        return {task: float(loss) for task, loss in losses.tasks.items()}

    def end_epoch(self) -> dict[str, Any]:
        """Move beta and return the line of the journal for the epoch that just ended."""
        epoch, optim = self.epoch - 1, self.scheme.config.optim
        self._pool()
        self.balancer.end_epoch()
        sums, counts, preference = self.scheme.ranks.from_first(
            (dict(self._sums), dict(self._counts), self.objective.preference.state())
        )
        self.objective.preference.load(preference)
        means = {name: value / counts[name] for name, value in sorted(sums.items())}
        line = {
            "epoch": epoch,
            "step": self.step,
            "learning_rate": learning_rate(optim, epoch),
            "epsilon": self.outer.epsilon(epoch, optim.epochs),
            **self.objective.end_epoch(epoch),
            "losses": {name: mean for name, mean in means.items() if not name.startswith(COSINE)},
            "cosines": {name.removeprefix(COSINE): mean for name, mean in means.items() if name.startswith(COSINE)},
        }
        self._sums.clear()
        self._counts.clear()
        return line

    def finish(self) -> None:
        """Merge a cycle that the end of the training cut short."""
        if not self._merged:
            self._merge(ends_cycle=True, step=self.step - 1)

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
        """Return all plain values a checkpoint has to keep. With several ranks all must ask; the first one has them."""
        self._pool()
        return {
            "step": self.step,
            "merged": self._merged,
            "sums": dict(self._sums),
            "counts": dict(self._counts),
            "preference": self.objective.preference.state(),
            "contest": self.contest.state(),
            "scaler": self.scaler.state_dict(),
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
        self.contest.load(state.get("contest", {}))
        if state.get("scaler"):
            self.scaler.load_state_dict(state["scaler"])
        self.step, self._merged = state["step"], state["merged"]
        self._sums.update(state["sums"])
        self._counts.update(state["counts"])
        if not self.scheme.ranks.is_first:
            self._sums.clear()
            self._counts.clear()
            self.objective.preference.merge([])

    def _merge(self, *, ends_cycle: bool, step: int) -> None:
        """Tell the outer update that a cycle ended with ``step``: epsilon is that of its epoch."""
        if ends_cycle:
            epsilon = self.outer.epsilon(step // self.scheme.iterations, self.scheme.config.optim.epochs)
            self.outer.end_cycle(self.model, epsilon)
        self._merged = ends_cycle

    def _pool(self) -> None:
        """Give what all ranks have noted in this epoch to the first one; the others start again."""
        ranks = self.scheme.ranks
        noted = ranks.gather((dict(self._sums), dict(self._counts), self.objective.preference.state()))
        mine = noted if ranks.is_first else []
        self._sums.clear()
        self._counts.clear()
        for sums, counts, _ in mine:
            for name, value in sums.items():
                self._sums[name] += value
                self._counts[name] += counts[name]
        self.objective.preference.merge([preference for *_, preference in mine])

    def _note(self, values: dict[str, float], *, weight: int = 1) -> None:
        """Add to the means of the epoch; a mean over samples weighs as many as there were."""
        for name, value in values.items():
            self._sums[name] += weight * value
            self._counts[name] += weight

    def _is_finite(self, loss: float) -> bool:
        """Tell whether loss and gradients are numbers; fp16 may have scaled the gradients too far, and scales less."""
        is_scaled_too_far = self.scaler.is_enabled() and self.scaler.get_scale() > 1
        return math.isfinite(loss) and (is_scaled_too_far or math.isfinite(gradient_norm(self.model.parameters())))

    def _require_finite(self, batch: Batch, loss: float, *, is_sound: bool) -> None:
        """Stop where the loss or the gradient of all ranks is none; those whose own part was sound are not named."""
        if self._is_finite(loss):
            return
        mine = f"combination {combination_name(batch.combination)}, cases {', '.join(batch.cases)}"
        told = self.scheme.ranks.gather((is_sound, mine))
        culprits = [text for sound, text in told if not sound] or [text for _, text in told]
        message = f"the loss or its gradient is not finite at epoch {self.epoch}, step {self.step}, "
        hint = "the last checkpoint is good; try a lower optim.learning_rate, or look at these cases"
        raise ConfigError(message + "; ".join(culprits), hint=hint)


def _step_seed(seed: int, step: int, rank: int) -> int:
    return int(np.random.SeedSequence([seed, STEP_STREAM, step, *([rank] if rank else [])]).generate_state(1)[0])
