"""From a store to a trained model in a run folder."""

import platform
from collections import Counter
from contextlib import closing, nullcontext
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import torch

from hga_cli import __version__
from hga_cli.core.combinations import combination_name, parse_combinations
from hga_cli.core.config import dump, to_toml
from hga_cli.core.progress import Progress, Silent
from hga_cli.core.run_folder import FINISHED, RUNNING, RunFolder, WatchedRun, fresh_name, new_run, require_free
from hga_cli.data.loading import Patches
from hga_cli.data.ranges import ranges_of
from hga_cli.data.raw.description import Description, as_tree
from hga_cli.engine.events import Events, summary_writer
from hga_cli.engine.inference import TrainedModel
from hga_cli.engine.loop import fit
from hga_cli.engine.training import Training
from hga_cli.engine.validation import Examination
from hga_cli.workflows.plan import Plan, patches_of, scheme_of
from hga_cli.workflows.resume import continue_run


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """What a training needs beside its run folder."""

    training: Training
    patches: Patches
    about: dict[str, Any]
    """What a checkpoint says of its model."""
    examination: Examination | None


def begin(plan: Plan, runs_dir: Path, name: str | None, *, overwrite: bool) -> tuple[RunFolder, Built]:
    """Build a training on all ranks, and only then make its run folder: an old run goes when this one can begin.

    Args:
        plan: what is trained, on what.
        runs_dir: the folder of the runs.
        name: of the run; None: data set, method, time.
        overwrite: whether an old run of this name is replaced.

    Raises:
        UsageError: the name is not a plain file name.
        DataError: a run of this name exists, or somebody trains in it, or a training case cannot be read.
        ConfigError, SetupError: see ``build``.
    """
    ranks = plan.ranks
    if ranks.is_first:
        name = fresh_name(runs_dir, f"{plan.store.path.name}-{plan.config.method.name}") if name is None else name
        require_free(runs_dir, name, overwrite=overwrite)
    name = ranks.from_first(name)
    built = build(plan)
    ranks.gather(None)  # all have built
    run = ranks.from_first(new_run(runs_dir, name, overwrite=overwrite) if ranks.is_first else None)
    return run if ranks.is_first else WatchedRun(run.path), built


def build(plan: Plan) -> Built:
    """Build what may fail, on all ranks.

    Raises:
        ConfigError: network, balancer, method and their options do not fit each other.
        DataError: a training case cannot be read.
        SetupError: the package tensorboard is asked for and not installed.
    """
    training = Training(scheme_of(plan))
    if _writes_events(plan):
        summary_writer()
    return Built(
        training=training,
        patches=patches_of(plan),
        about=_about_model(plan),
        examination=_examination(plan, training),
    )


def train(
    plan: Plan,
    run: RunFolder,
    *,
    resume: bool = False,
    built: Built | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Train in a run folder, from the start or from its newest checkpoint.

    Args:
        plan: what is trained, on what.
        run: where.
        resume: whether to continue what the folder has.
        built: what ``build`` made of the plan; it is made here where none is given.
        progress: is told what happens.

    Returns:
        ``run``, ``epochs`` (that were trained), ``best`` (checkpoint, epoch, mean_dice; None where nothing was
        validated) and ``checkpoint``.

    Raises:
        ConfigError: what is built does not fit, resumed with settings, data or processes that would alter the
            run, or the loss is not finite.
        DataError: another process trains in this folder, or a case cannot be read.
        Interrupted: SIGINT or SIGTERM came.
    """
    progress = progress or Silent()
    lock = run.lock()
    try:
        built = built or build(plan)
        training = built.training
        if resume:
            continue_run(training, plan, run, progress)
        else:
            run.write_config(to_toml(plan.config))
        run.write_about(_about_run(plan, RUNNING))
        for line in _introduction(plan, training):
            progress.say(line)
            run.log(line)
        events = Events(run.path / "events", training.epoch) if _writes_events(plan) else None
        with closing(events) if events else nullcontext():
            fit(training, built.patches, run, built.about, progress, built.examination, events)
        run.write_about(_about_run(plan, FINISHED))
    finally:
        lock.release()
    contest = training.contest
    best = {"checkpoint": str(run.best), "epoch": contest.best_epoch, "mean_dice": contest.best}
    return {
        "run": str(run.path),
        "epochs": training.epoch,
        "best": None if contest.best is None else best,
        "checkpoint": str(run.last),
    }


def _examination(plan: Plan, training: Training) -> Examination | None:
    """Return how the network is validated: on the validation cases of the split, if there are any."""
    settings, store = plan.config.validation, plan.store
    cases = store.split(plan.config.data.split).val[: settings.cases]
    if not settings.every or not cases:
        return None
    return Examination(
        model=TrainedModel(
            network=training.model,
            config=plan.config,
            description=store.description,
            preparation=replace(store.preparation, spacing=plan.config.data.spacing or store.spacing),
            label_values={},
            device=plan.device,
            step=0,
        ),
        store=store,
        cases=cases,
        combinations=parse_combinations(settings.combinations, store.modalities),
        overlap=settings.overlap,
        every=settings.every,
        patience=settings.patience,
    )


def _writes_events(plan: Plan) -> bool:
    return plan.config.log.tensorboard and plan.ranks.is_first


def _about_run(plan: Plan, status: str) -> dict[str, Any]:
    return {
        "status": status,
        "changed": datetime.now().isoformat(),
        "store": str(plan.store.path.resolve()),
        "device": str(plan.device),
        "sources": plan.sources,
        "versions": {"hga": __version__, "torch": torch.__version__, "python": platform.python_version()},
    }


def _about_model(plan: Plan) -> dict[str, Any]:
    """Return what a checkpoint says of its model: enough to use it without the store."""
    description = plan.store.description
    return {
        "config": dump(plan.config),
        "description": as_tree(description),
        "spacing": plan.config.data.spacing or plan.store.spacing,
        "clip": plan.store.preparation.clip,
        "label_values": _label_values(description, [plan.store.cases[case].label_values for case in plan.cases]),
        "seen": ranges_of(plan.store, plan.cases).as_tree(),
        "sources": plan.sources,
        "fingerprints": plan.fingerprints,
        "processes": plan.ranks.count,
    }


def _label_values(description: Description, found: list[dict[str, int]]) -> dict[str, int]:
    """Return the value predictions write for each label: the one most training cases use."""
    values = {}
    for entry in description.labels:
        counts = Counter(case[entry.name] for case in found if entry.name in case)
        values[entry.name] = counts.most_common(1)[0][0] if counts else entry.values[0]
    return values


def _introduction(plan: Plan, training: Training) -> list[str]:
    config, iterations = plan.config, plan.config.optim.iterations
    counts = Counter(plan.available.values())
    owned = ", ".join(f"{name} {sum(name in has for has in plan.available.values())}" for name in plan.store.modalities)
    split = plan.store.split(config.data.split)
    outside = len(set(plan.store.cases) - {*split.train, *split.val, *split.test})
    parameters = sum(parameter.numel() for parameter in training.model.parameters())
    combinations = ", ".join(f"{combination_name(key)} {count}" for key, count in sorted(counts.items()))
    terms = config.method.terms.items()
    kind = f"slices of {len(plan.cases)} training cases" if plan.by_slice else "training cases"
    return [
        f"{len(plan.available)} {kind} of split '{config.data.split}', imbalance table: {config.data.imbalance}"
        + (f"; {plan.left_out} have nothing available and are left out" if plan.left_out else "")
        + (f"; {outside} cases of the store are in no part of the split" if outside else ""),
        f"{'slices' if plan.by_slice else 'cases'} per modality: {owned}; per combination: {combinations}",
        f"method {config.method.name}, backbone {config.network.backbone} with {parameters:,} parameters "
        f"on {plan.device}",
        f"terms: {', '.join(' x '.join([f'{name} {term.weight:g}', *term.scale]) for name, term in terms)}",
        f"{config.optim.epochs} epochs of {iterations} steps, patch {'x'.join(map(str, config.data.patch))}, "
        f"precision {config.optim.precision}" + (f"; continues at step {training.step}" if training.step else ""),
    ]
