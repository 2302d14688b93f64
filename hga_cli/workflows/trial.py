"""One real step for each number of modalities, before a long training: does it fit, and how long will it take."""

import resource
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch

from hga_cli.core.combinations import combination_name
from hga_cli.core.progress import Progress, Silent, stage
from hga_cli.data.loading import Batch, Patches
from hga_cli.engine.training import Training
from hga_cli.workflows.plan import Plan, scheme_of

REPEATS = 2
"""Steps of each kind; the fastest counts, because the first one also prepares things."""
CYCLES = 4
"""Cycles of all combinations that are searched for one of each size."""


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
    peak_gib: float
    """Most memory so far, of the process or of the GPU."""


def dry_run(plan: Plan, progress: Progress | None = None) -> dict[str, Any]:
    """Build everything and do steps with the fewest to the most modalities that occur. Nothing is written.

    Several ranks do them together, each with its part of the batch, and each measures itself.

    Returns:
        ``parameters``, ``steps`` of the whole training, ``hours`` they would take as a mean over the sizes, and
        ``trials`` (one for each number of modalities).

    Raises:
        ConfigError: a step fails or the memory of the GPU does not suffice.
    """
    progress = progress or Silent()
    training = Training(scheme_of(plan))
    config = plan.config
    patches = Patches(
        plan.store,
        plan.sampler,
        config.data,
        config.augmentation,
        seed=config.seed,
        part=(plan.ranks.rank, plan.ranks.count),
        by_slice=plan.by_slice,
    )
    steps = list(_steps(plan)) if config.optim.epochs else []
    trials = []
    with stage(progress, "trial", len(steps)):
        for step in steps:
            trials.append(_try(training, patches, step))
            progress.advance(trials[-1].combination)
    mean = sum(max(one.step_s, one.reading_s / max(1, config.data.workers)) for one in trials) / max(1, len(trials))
    return {
        "parameters": sum(parameter.numel() for parameter in training.model.parameters()),
        "steps": training.scheme.steps,
        "hours": training.scheme.steps * mean / 3600,
        "trials": [
            {
                name: getattr(one, name)
                for name in ("combination", "cases", "shape", "loss", "reading_s", "step_s", "peak_gib")
            }
            for one in trials
        ],
    }


def _steps(plan: Plan) -> Iterator[int]:
    """Yield the first step with each number of modalities, from few to many."""
    first: dict[int, int] = {}
    for step in range(max(CYCLES * 2 ** len(plan.store.modalities), plan.sampler.default_iterations)):
        first.setdefault(len(plan.sampler.draw(step).combination), step)
    yield from (first[size] for size in sorted(first))


def _try(training: Training, patches: Patches, step: int) -> Trial:
    started = time.perf_counter()
    batch = patches[step]
    reading_s = time.perf_counter() - started
    times, loss = [], 0.0
    for _ in range(REPEATS):
        started = time.perf_counter()
        training.step = 0
        loss = _learn(training, batch)
        times.append(time.perf_counter() - started)
    return Trial(
        combination=combination_name(batch.combination),
        cases=len(batch.cases),
        shape=tuple(next(iter(batch.images.values())).shape),
        loss=loss,
        reading_s=reading_s,
        step_s=min(times),
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
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**30
