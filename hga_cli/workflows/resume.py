"""Continuing a training exactly where it stopped, or refusing to."""

import shutil
from typing import Any

import torch

from hga_cli.core.atomic import replacing
from hga_cli.core.config import build, differences, dump, resolve
from hga_cli.core.errors import ConfigError
from hga_cli.core.progress import Progress
from hga_cli.core.run_folder import RUNNING, RunFolder
from hga_cli.core.settings import Config, Optim
from hga_cli.data.raw.description import as_tree
from hga_cli.engine.checkpoint import load_checkpoint
from hga_cli.engine.optimiser import learning_rate
from hga_cli.engine.training import Training
from hga_cli.workflows.plan import Plan

SECTIONS_OF_TRAINING = ("seed", "data", "augmentation", "network", "method", "optim", "validation")
FREE_ON_RESUME = ("data.workers",)
SOURCES = ("split", "available")
DESCRIPTION = ("modalities", "labels", "regions")
"""What a training sees of the description of a data set; how files are found and named is over by then."""
SHOWN = 5
"""Changed cases that are named."""


def continue_run(training: Training, plan: Plan, run: RunFolder, progress: Progress) -> None:
    """Load the newest checkpoint of a run, or leave the training at its start where a kill came before the first one.

    Another device is said, on stderr and in the log.

    Raises:
        DataError: this is no run folder.
        ConfigError: settings, data or the number of processes differ from those of the run, or no checkpoint can be
            read.
    """
    told = run.about()
    if is_new := _stopped_at_once(told, run):
        about = _at_start(told, plan, run)
    else:
        tensors, about = _newest(run, progress, is_first=plan.ranks.is_first)
    _require_as_many(about.get("processes", plan.ranks.count), plan.ranks.count, run)
    _require_same(about, plan, run)
    if (before := told.get("device")) not in (None, str(plan.device)):
        text = f"run '{run.name}' was on {before}, continues on {plan.device}: not to the same numbers bit for bit"
        progress.warn(text)
        run.log(text)
    if is_new:
        text = f"run '{run.name}' was stopped before its first checkpoint: it begins at step 0"
        progress.say(text)
        run.log(text)
    else:
        training.load(tensors, about["training"])
    run.rewind_journal(training.epoch)


def _stopped_at_once(told: dict[str, Any], run: RunFolder) -> bool:
    """Tell whether a kill came before the first checkpoint; where epochs are over, there must be one."""
    is_saved = run.last.exists() or run.previous.exists()
    return told["status"] == RUNNING and not is_saved and not run.has_journal()


def _at_start(told: dict[str, Any], plan: Plan, run: RunFolder) -> dict[str, Any]:
    """Return what the first checkpoint of a run would have said of its settings and data."""
    return {
        "config": dump(resolve(file=run.config_file)),
        "sources": told.get("sources", plan.sources),
        "description": as_tree(plan.store.description),
        "training": {"step": 0},
    }


def _require_same(about: dict[str, Any], plan: Plan, run: RunFolder) -> None:
    """Refuse settings and data that are not those of a checkpoint."""
    old, new = build(about["config"]), plan.config
    changed = differences(_of_training(old), _of_training(new))
    changed += differences(
        _of_data(about["sources"], about["description"]), _of_data(plan.sources, as_tree(plan.store.description))
    )
    texts = [f"{key} was {before!r}, is {now!r}" for key, before, now in changed if key not in FREE_ON_RESUME]
    texts += _changed_cases(about.get("fingerprints", plan.fingerprints), plan.fingerprints)
    if texts:
        texts += _jump(old.optim, new.optim, about["training"]["step"], new.optim.iterations)
        message = f"run '{run.name}' cannot continue with other settings or data: {'; '.join(texts)}"
        raise ConfigError(message, hint=f"take back the change, or start a new run; settings: {run.config_file}")


def _require_as_many(before: int, now: int, run: RunFolder) -> None:
    """Refuse another number of processes: each draws its own dropout (older runs kept nothing of it)."""
    if before == now:
        return
    message = f"run '{run.name}' cannot continue with another number of processes: it was {before}, is {now}"
    again = f"train --resume --run {run.name}"
    if before == 1:
        raise ConfigError(message, hint=f"hga {again}, as one process on one device")
    gpus = ",".join(map(str, range(before)))
    raise ConfigError(
        message, hint=f"hga {again} --gpu {gpus}, or torchrun --nproc-per-node={before} -m hga_cli -- {again}"
    )


def _changed_cases(before: dict[str, str], now: dict[str, str]) -> list[str]:
    """Return what is to be said of cases of the store that were written again since (older runs kept nothing of it)."""
    changed = [(case, before[case], now[case]) for case in sorted(before.keys() & now) if before[case] != now[case]]
    texts = [f"case '{case}' of the store was {old[:8]}, is {new[:8]}" for case, old, new in changed[:SHOWN]]
    return texts + ([f"{len(changed) - SHOWN} more cases changed"] if len(changed) > SHOWN else [])


def _newest(run: RunFolder, progress: Progress, *, is_first: bool) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Read the newest checkpoint, or the one before where that is damaged, which is said (case T03).

    The whole one then takes the place of the damaged one, or the next save would make two damaged ones of them.
    """
    try:
        return load_checkpoint(run.last)
    except ConfigError as error:
        if not run.last.exists() or not run.previous.exists():
            raise
        progress.warn(f"{error.message}; continuing from the one before, '{run.previous}'")
        found = load_checkpoint(run.previous)
        if is_first:
            with replacing(run.last) as temporary:
                shutil.copyfile(run.previous, temporary)
        return found


def _jump(old: Optim, new: Optim, step: int, iterations: int | None) -> list[str]:
    """Say what another number of epochs would do to the learning rate (case T01); with 0 epochs there is none."""
    if old.epochs == new.epochs or 0 in (old.epochs, new.epochs):
        return []
    epoch = step // (iterations or 1)
    last, following = (learning_rate(optim, min(epoch, optim.epochs - 1)) for optim in (old, new))
    return [f"the learning rate would jump from {last:.3g} to {following:.3g}"]


def _of_training(config: Config) -> dict[str, Any]:
    tree = dump(config)
    return {section: tree[section] for section in SECTIONS_OF_TRAINING}


def _of_data(sources: dict[str, str], description: dict[str, Any]) -> dict[str, Any]:
    return {
        **{key: sources[key] for key in SOURCES},
        "description": {key: description[key] for key in DESCRIPTION},
    }
