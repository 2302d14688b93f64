"""From a store to a trained model in a run folder."""

import hashlib
import json
import platform
from collections import Counter
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import torch

from hga_cli import __version__
from hga_cli.core.catalog import BACKBONES, BALANCERS, OUTER_UPDATES, SAMPLERS
from hga_cli.core.combinations import Combination, combination_name
from hga_cli.core.config import build, differences, dump, to_toml
from hga_cli.core.errors import ConfigError, DataError
from hga_cli.core.progress import Progress, Silent
from hga_cli.core.run_folder import FINISHED, RUNNING, RunFolder
from hga_cli.core.settings import Config
from hga_cli.data.description import Description, as_tree
from hga_cli.data.loading import Patches
from hga_cli.data.sampling import Sampler
from hga_cli.data.store import Store
from hga_cli.engine.checkpoint import load_checkpoint
from hga_cli.engine.loop import fit
from hga_cli.engine.objective import Objective
from hga_cli.engine.training import Scheme, Training

SECTIONS_OF_TRAINING = ("seed", "data", "augmentation", "network", "method", "optim")
FREE_ON_RESUME = ("data.workers",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is going to be trained, on what. Nothing has been written yet."""

    config: Config
    """Resolved: split, table and iterations are named."""
    store: Store
    available: dict[str, Combination]
    """Training case -> what it may use."""
    sampler: Sampler
    device: torch.device
    sources: dict[str, str]
    """Hashes of the split and of what is available: a resumed run must find the same."""


def plan(store: Store, config: Config, device: torch.device) -> Plan:
    """Resolve everything that training depends on.

    Raises:
        DataError: the store is unfinished, split or table are absent or do not fit, or a case may use nothing.
        ConfigError: patch and network do not fit, or a name is unknown.
    """
    store.require_complete()
    if len(config.data.patch) != config.network.dims:
        message = f"data.patch has {len(config.data.patch)} numbers but network.dims is {config.network.dims}"
        raise ConfigError(message, hint="give one number for each dimension")
    BACKBONES.check(config.network.backbone)
    BALANCERS.check(config.optim.balancer)
    OUTER_UPDATES.check(config.method.outer.kind)
    Objective(config.method, store.modalities)
    split, table = store.split(config.data.split), store.table(config.data.imbalance)
    if not split.train:
        message = f"split '{split.name}' has no training case"
        raise DataError(message)
    present = {case: store.cases[case].modalities for case in split.train}
    available = {case: table.available_of(case, has) if table else has for case, has in present.items()}
    if nothing := [case for case, has in available.items() if not has]:
        message = f"training cases are left without any modality: {', '.join(nothing[:5])}"
        raise DataError(message, hint="they changed since the imbalance table was made: hga make-imbalance --name NAME")
    sampler = SAMPLERS.load(config.method.sampler.kind)(
        available, store.modalities, batch=config.data.batch, order=config.method.sampler.order, seed=config.seed
    )
    return Plan(
        config=replace(
            config,
            data=replace(config.data, split=split.name, imbalance=table.name if table else "none"),
            optim=replace(config.optim, iterations=config.optim.iterations or sampler.default_iterations),
        ),
        store=store,
        available=available,
        sampler=sampler,
        device=device,
        sources={"split": _hash([split.train, split.val, split.test]), "available": _hash(available)},
    )


def train(plan: Plan, run: RunFolder, *, resume: bool = False, progress: Progress | None = None) -> dict[str, Any]:
    """Train in a run folder, from the start or from its newest checkpoint.

    Returns:
        ``run``, ``epochs``, ``best`` (None: validation during training is not there yet) and ``checkpoint``.

    Raises:
        ConfigError: resumed with settings or data that would alter the run, or the loss is not finite.
        DataError: another process trains in this folder.
        Interrupted: SIGINT or SIGTERM came.
    """
    progress = progress or Silent()
    lock = run.lock()
    try:
        training = Training(_scheme(plan))
        if resume:
            _continue(training, plan, run)
        else:
            run.write_config(to_toml(plan.config))
        run.write_about(_about_run(plan, RUNNING))
        for line in _introduction(plan, training):
            progress.say(line)
            run.log(line)
        patches = Patches(plan.store, plan.sampler, plan.config.data, plan.config.augmentation, seed=plan.config.seed)
        fit(training, patches, run, _about_model(plan), progress)
        run.write_about(_about_run(plan, FINISHED))
    finally:
        lock.release()
    return {"run": str(run.path), "epochs": plan.config.optim.epochs, "best": None, "checkpoint": str(run.last)}


def _scheme(plan: Plan) -> Scheme:
    iterations = plan.config.optim.iterations
    assert iterations is not None
    return Scheme(
        config=plan.config,
        modalities=plan.store.modalities,
        classes=plan.store.description.classes,
        device=plan.device,
        iterations=iterations,
    )


def _continue(training: Training, plan: Plan, run: RunFolder) -> None:
    tensors, about = load_checkpoint(run.last)
    changed = [
        (key, old, new)
        for key, old, new in differences(_of_training(build(about["config"])), _of_training(plan.config))
        if key not in FREE_ON_RESUME
    ]
    changed += differences(about["sources"], plan.sources)
    if changed:
        text = "; ".join(f"{key} was {old!r}, is {new!r}" for key, old, new in changed)
        message = f"run '{run.name}' cannot continue with other settings or data: {text}"
        raise ConfigError(message, hint=f"take back the change, or start a new run; settings: {run.config_file}")
    training.load(tensors, about["training"])
    run.rewind_journal(training.epoch)


def _of_training(config: Config) -> dict[str, Any]:
    tree = dump(config)
    return {section: tree[section] for section in SECTIONS_OF_TRAINING}


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
        "label_values": _label_values(description, [plan.store.cases[case].label_values for case in plan.available]),
        "sources": plan.sources,
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
    return [
        f"{len(plan.available)} training cases of split '{config.data.split}', "
        f"imbalance table: {config.data.imbalance}"
        + (f"; {outside} cases of the store are in no part of the split" if outside else ""),
        f"cases per modality: {owned}; per combination: {combinations}",
        f"method {config.method.name}, backbone {config.network.backbone} with {parameters:,} parameters "
        f"on {plan.device}",
        f"{config.optim.epochs} epochs of {iterations} steps, patch {'x'.join(map(str, config.data.patch))}, "
        f"precision {config.optim.precision}" + (f"; continues at step {training.step}" if training.step else ""),
    ]


def _hash(value: Any) -> str:
    return hashlib.blake2b(json.dumps(value, sort_keys=True).encode(), digest_size=16).hexdigest()
