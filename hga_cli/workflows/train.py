"""From a store to a trained model in a run folder."""

import hashlib
import json
import platform
from collections import Counter
from contextlib import closing, nullcontext
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import torch

from hga_cli import __version__
from hga_cli.alignment.frequency import frequency_weights
from hga_cli.core.catalog import BACKBONES, BALANCERS, OUTER_UPDATES, SAMPLERS
from hga_cli.core.combinations import Combination, combination_name, parse_combinations
from hga_cli.core.config import build, differences, dump, to_toml
from hga_cli.core.errors import ConfigError, DataError
from hga_cli.core.progress import Progress, Silent
from hga_cli.core.run_folder import FINISHED, RUNNING, RunFolder
from hga_cli.core.settings import Config, Optim
from hga_cli.data.description import Description, as_tree
from hga_cli.data.imbalance import ImbalanceTable, item_of
from hga_cli.data.loading import Patches
from hga_cli.data.ranges import ranges_of
from hga_cli.data.reading import CaseReader
from hga_cli.data.sampling import Sampler
from hga_cli.data.store import Store
from hga_cli.engine.checkpoint import load_checkpoint
from hga_cli.engine.events import Events
from hga_cli.engine.inference import TrainedModel
from hga_cli.engine.loop import fit
from hga_cli.engine.objective import Objective
from hga_cli.engine.optimiser import learning_rate
from hga_cli.engine.precision import check_precision
from hga_cli.engine.ranks import Ranks
from hga_cli.engine.training import Scheme, Training
from hga_cli.engine.validation import Examination

SECTIONS_OF_TRAINING = ("seed", "data", "augmentation", "network", "method", "optim")
FREE_ON_RESUME = ("data.workers",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is going to be trained, on what. Nothing has been written yet."""

    config: Config
    """Resolved: split, table and iterations are named."""
    store: Store
    available: dict[str, Combination]
    """Training case, or slice of one -> what it may use."""
    by_slice: bool
    """Whether slices are trained on, one by one."""
    left_out: int
    """Training cases or slices that the imbalance table leaves nothing."""
    sampler: Sampler
    device: torch.device
    ranks: Ranks
    """This process among those that train together."""
    sources: dict[str, str]
    """Hashes of the split and of what is available: a resumed run must find the same."""

    @property
    def cases(self) -> list[str]:
        """The training cases that are seen."""
        return sorted({item_of(name)[0] for name in self.available}) if self.by_slice else sorted(self.available)


def plan(store: Store, config: Config, device: torch.device, ranks: Ranks | None = None) -> Plan:
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
    check_precision(device, config.optim.precision)
    parse_combinations(config.validation.combinations, store.modalities)
    Objective(config.method, store.modalities)
    split, table = store.split(config.data.split), store.table(config.data.imbalance)
    if not split.train:
        message = f"split '{split.name}' has no training case"
        raise DataError(message)
    by_slice = table is not None and table.by_slice
    if by_slice and config.network.dims != 2:
        message = f"imbalance table '{config.data.imbalance}' is about slices, but network.dims is 3"
        raise ConfigError(message, hint="--set network.dims=2 --set data.patch=[80,80], or a table of cases")
    found = _found(store, split.train, table)
    available = {name: has for name, has in found.items() if has}
    if not available:
        message = f"imbalance table '{config.data.imbalance}' leaves no training case of split '{split.name}' anything"
        raise DataError(message, hint="make another: hga make-imbalance --name NAME")
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
        by_slice=by_slice,
        left_out=len(found) - len(available),
        sampler=sampler,
        device=device,
        ranks=ranks or Ranks(),
        sources={"split": _hash([split.train, split.val, split.test]), "available": _hash(available)},
    )


def train(plan: Plan, run: RunFolder, *, resume: bool = False, progress: Progress | None = None) -> dict[str, Any]:
    """Train in a run folder, from the start or from its newest checkpoint.

    Returns:
        ``run``, ``epochs`` (that were trained), ``best`` (checkpoint, epoch, mean_dice; None where nothing was
        validated) and ``checkpoint``.

    Raises:
        ConfigError: resumed with settings or data that would alter the run, or the loss is not finite.
        DataError: another process trains in this folder.
        Interrupted: SIGINT or SIGTERM came.
    """
    progress = progress or Silent()
    lock = run.lock()
    try:
        training = Training(scheme_of(plan))
        if resume:
            _continue(training, plan, run, progress)
        else:
            run.write_config(to_toml(plan.config))
        run.write_about(_about_run(plan, RUNNING))
        for line in _introduction(plan, training):
            progress.say(line)
            run.log(line)
        patches = Patches(
            plan.store,
            plan.sampler,
            plan.config.data,
            plan.config.augmentation,
            seed=plan.config.seed,
            part=(plan.ranks.rank, plan.ranks.count),
            by_slice=plan.by_slice,
        )
        events = Events(run.path / "events", training.epoch) if _writes_events(plan) else None
        with closing(events) if events else nullcontext():
            fit(training, patches, run, _about_model(plan), progress, _examination(plan, training), events)
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


def _found(store: Store, cases: list[str], table: ImbalanceTable | None) -> dict[str, Combination]:
    """Return what each training case, or each slice of one that is in the table, may use."""
    present = {case: store.cases[case].modalities for case in cases}
    found = table.available_of(present) if table else present
    if table and table.by_slice:
        reader = CaseReader(store, None)
        for name in found:
            reader.level(*item_of(name))
    return found


def _writes_events(plan: Plan) -> bool:
    return plan.config.log.tensorboard and plan.ranks.is_first


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


def scheme_of(plan: Plan) -> Scheme:
    """Return what does not change during the training of a plan."""
    iterations = plan.config.optim.iterations
    assert iterations is not None
    return Scheme(
        config=plan.config,
        modalities=plan.store.modalities,
        classes=plan.store.description.classes,
        device=plan.device,
        iterations=iterations,
        ranks=plan.ranks,
        omega=frequency_weights(plan.available.values()),
    )


def _continue(training: Training, plan: Plan, run: RunFolder, progress: Progress) -> None:
    tensors, about = _newest(run, progress)
    old = build(about["config"])
    changed = [
        (key, before, now)
        for key, before, now in differences(_of_training(old), _of_training(plan.config))
        if key not in FREE_ON_RESUME
    ]
    changed += differences(about["sources"], plan.sources)
    if changed:
        text = "; ".join(f"{key} was {before!r}, is {now!r}" for key, before, now in changed)
        message = f"run '{run.name}' cannot continue with other settings or data: {text}"
        if old.optim.epochs != plan.config.optim.epochs:
            message += (
                f"; {_jump(old.optim, plan.config.optim, about['training']['step'], plan.config.optim.iterations)}"
            )
        raise ConfigError(message, hint=f"take back the change, or start a new run; settings: {run.config_file}")
    training.load(tensors, about["training"])
    run.rewind_journal(training.epoch)


def _newest(run: RunFolder, progress: Progress) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Read the newest checkpoint, or the one before where that is damaged, which is said (case T03)."""
    try:
        return load_checkpoint(run.last)
    except ConfigError as error:
        if not run.last.exists() or not run.previous.exists():
            raise
        progress.warn(f"{error.message}; continuing from the one before, '{run.previous}'")
        return load_checkpoint(run.previous)


def _jump(old: Optim, new: Optim, step: int, iterations: int | None) -> str:
    """Say what another number of epochs would do to the learning rate (case T01)."""
    epoch = step // (iterations or 1)
    last, following = (learning_rate(optim, min(epoch, optim.epochs - 1)) for optim in (old, new))
    return f"the learning rate would jump from {last:.3g} to {following:.3g}"


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
        "clip": plan.store.preparation.clip,
        "label_values": _label_values(description, [plan.store.cases[case].label_values for case in plan.cases]),
        "seen": ranges_of(plan.store, plan.cases).as_tree(),
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
    kind = f"slices of {len(plan.cases)} training cases" if plan.by_slice else "training cases"
    return [
        f"{len(plan.available)} {kind} of split '{config.data.split}', imbalance table: {config.data.imbalance}"
        + (f"; {plan.left_out} have nothing available and are left out" if plan.left_out else "")
        + (f"; {outside} cases of the store are in no part of the split" if outside else ""),
        f"{'slices' if plan.by_slice else 'cases'} per modality: {owned}; per combination: {combinations}",
        f"method {config.method.name}, backbone {config.network.backbone} with {parameters:,} parameters "
        f"on {plan.device}",
        f"{config.optim.epochs} epochs of {iterations} steps, patch {'x'.join(map(str, config.data.patch))}, "
        f"precision {config.optim.precision}" + (f"; continues at step {training.step}" if training.step else ""),
    ]


def _hash(value: Any) -> str:
    return hashlib.blake2b(json.dumps(value, sort_keys=True).encode(), digest_size=16).hexdigest()
