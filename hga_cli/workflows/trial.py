"""One real step for each number of modalities, before a long training: does it fit, and how long will it take."""

import time
from collections import defaultdict
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch

from hga_cli.core.combinations import combination_name
from hga_cli.core.progress import Progress, Silent, stage
from hga_cli.data.loading import Batch, Patches
from hga_cli.data.sampling import Draw, Kind, Sampler
from hga_cli.engine.memory import peak_of_process
from hga_cli.engine.training import Scheme, Training
from hga_cli.workflows.plan import Plan, patches_of, scheme_of

REPEATS = 2
"""Steps of each kind; the fastest counts, because the first one also prepares things."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Chosen:
    """Draws that were chosen, one of each kind."""

    kinds: list[Kind]

    def draw(self, step: int) -> Draw:
        """Return the chosen draw of a kind."""
        return self.kinds[step].largest


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """What one step of a kind takes."""

    combination: str
    cases: int
    shape: tuple[int, ...]
    """Of an image, B x 1 x space."""
    loss: float
    reading_s: float
    """Seconds to read and augment the batch, in this process."""
    step_s: float
    """Seconds of the step."""
    share: float
    """Of the steps of the training: those with as many modalities."""
    peak_gib: float
    """Most memory so far, of the process or of the GPU."""


def dry_run(plan: Plan, progress: Progress | None = None) -> dict[str, Any]:
    """Build everything and do steps with the fewest to the most modalities that occur. Nothing is written.

    The steps are as those after the warm-up that measure no cosines, each with as many cases as there can be. What
    follows the last step of a cycle over combinations, the interpolation of weights, is not timed. Several ranks do the
    steps together, each with its part of the batch, and each measures itself.

    Returns:
        ``parameters``, ``steps`` of the whole training, ``hours`` they would take, each number of modalities as often
        as it is drawn, and ``trials`` (one for each number of modalities, and one more for the complete case
        of meta-learning, which another optimiser learns from).

    Raises:
        ConfigError: a step fails or the memory of the GPU does not suffice.
    """
    progress = progress or Silent()
    training = Training(scheme_of(plan))
    config = plan.config
    chosen = _Chosen(kinds=_one_of_each_size(plan.sampler) if config.optim.epochs else [])
    patches = patches_of(plan, chosen)
    trials = []
    with stage(progress, "trial", len(chosen.kinds)):
        for place, kind in enumerate(chosen.kinds):
            trials.append(_try(training, patches, place, kind.share))
            progress.advance(trials[-1].combination)
    mean = sum(one.share * max(one.step_s, one.reading_s / max(1, config.data.workers)) for one in trials)
    return {
        "parameters": sum(parameter.numel() for parameter in training.model.parameters()),
        "steps": training.scheme.steps,
        "hours": training.scheme.steps * mean / 3600,
        "trials": [asdict(one) for one in trials],
    }


def _one_of_each_size(sampler: Sampler) -> list[Kind]:
    """Return the kind with most cases of each number of modalities, for all of that number, from few to many.

    The complete case of meta-learning, alone in that it ends a cycle here, comes before others of its size: from then
    on the memory holds the moments of the optimiser that moves there.
    """
    alike: dict[tuple[int, bool], list[Kind]] = defaultdict(list)
    for kind in sampler.kinds:
        alike[len(kind.largest.combination), not kind.largest.ends_cycle].append(kind)
    return [
        replace(max(kinds, key=lambda kind: len(kind.largest.cases)), share=sum(kind.share for kind in kinds))
        for _, kinds in sorted(alike.items())
    ]


def _usual_step(scheme: Scheme) -> int:
    """Return the first step after the warm-up, or the next one if that measures cosines; a step of the training."""
    start = min(scheme.config.method.warm_up, scheme.config.optim.epochs - 1) * scheme.iterations
    every = scheme.config.log.cosine_every
    usual = start + 1 if every > 1 and start % every == 0 else start
    return min(usual, scheme.steps - 1)


def _try(training: Training, patches: Patches, place: int, share: float) -> Trial:
    started = time.perf_counter()
    batch = patches[place]
    reading_s = time.perf_counter() - started
    times, loss = [], 0.0
    for _ in range(REPEATS):
        started = time.perf_counter()
        training.step = _usual_step(training.scheme)
        loss = _learn(training, batch)
        times.append(time.perf_counter() - started)
    return Trial(
        combination=combination_name(batch.combination),
        cases=len(batch.cases),
        shape=tuple(next(iter(batch.images.values())).shape),
        loss=loss,
        reading_s=reading_s,
        step_s=min(times),
        share=share,
        peak_gib=_peak_gib(training.scheme.device),
    )


def _learn(training: Training, batch: Batch) -> float:
    loss = training.learn(batch)
    if training.scheme.device.type == "cuda":
        torch.cuda.synchronize(training.scheme.device)
    return loss


def _peak_gib(device: torch.device) -> float:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**30
    return peak_of_process() / 2**30
