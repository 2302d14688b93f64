"""What is going to be trained, on what: everything resolved and checked before anything is written."""

from dataclasses import dataclass, replace

import torch

from hga_cli.alignment.frequency import frequency_weights
from hga_cli.alignment.requirements import require_fit, require_mark, require_sampler
from hga_cli.core.backbones import BACKBONES
from hga_cli.core.catalog import BALANCERS, OUTER_UPDATES, SAMPLERS
from hga_cli.core.combinations import Combination, parse_combinations
from hga_cli.core.digest import digest
from hga_cli.core.errors import ConfigError, DataError
from hga_cli.core.settings import Config
from hga_cli.data.imbalance import ImbalanceTable, item_of
from hga_cli.data.loading import Patches
from hga_cli.data.patches import CaseReader
from hga_cli.data.sampling import Draws, Sampler
from hga_cli.data.store import Store
from hga_cli.engine.objective import Objective
from hga_cli.engine.precision import check_precision
from hga_cli.engine.ranks import Ranks
from hga_cli.engine.training import Scheme
from hga_cli.workflows.split import check_again


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
    """Hashes of the split, of what is available and of the stored cases: a resumed run must find the same."""
    fingerprints: dict[str, str]
    """Training or validation case -> what the store has of it."""

    @property
    def cases(self) -> list[str]:
        """The training cases that are seen."""
        return sorted({item_of(name)[0] for name in self.available}) if self.by_slice else sorted(self.available)


def plan(store: Store, config: Config, device: torch.device, ranks: Ranks | None = None) -> Plan:
    """Resolve everything that training depends on.

    Raises:
        DataError: the store is unfinished, split or table are absent or do not fit, or a case may use nothing.
        ConfigError: patch and network, or method and network, do not fit, or a name is unknown.
    """
    ranks = ranks or Ranks()
    store.require_complete()
    if len(config.data.patch) != config.network.dims:
        message = f"data.patch has {len(config.data.patch)} numbers but network.dims is {config.network.dims}"
        raise ConfigError(message, hint="give one number for each dimension")
    if ranks is not None and config.data.batch < ranks.count:
        message = f"{ranks.count} processes share a batch of {config.data.batch}: some would never have a case"
        raise ConfigError(message, hint=f"--set data.batch={ranks.count}, or fewer of them")
    BACKBONES.check(config.network.backbone)
    BALANCERS.check(config.optim.balancer)
    OUTER_UPDATES.check(config.method.outer.kind)
    check_precision(device, config.optim.precision)
    require_mark(config)
    _refuse_parts_of_batches(config, ranks)
    parse_combinations(config.validation.combinations, store.modalities)
    require_sampler(config.method)
    Objective(config.method, store.modalities, seed=config.seed)
    require_fit(config.method, config.network.backbone, store.modalities)
    split, table = store.split(config.data.split), store.table(config.data.imbalance)
    check_again(split, store)
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
    iterations = config.optim.iterations or sampler.default_iterations
    _require_whole_cycles(config, iterations)
    fingerprints = {case: store.cases[case].fingerprint for case in sorted({*split.train, *split.val})}
    return Plan(
        config=replace(
            config,
            data=replace(config.data, split=split.name, imbalance=table.name if table else "none"),
            optim=replace(config.optim, iterations=iterations),
        ),
        store=store,
        available=available,
        by_slice=by_slice,
        left_out=len(found) - len(available),
        sampler=sampler,
        device=device,
        ranks=ranks,
        sources={
            "split": digest([split.train, split.val, split.test]),
            "available": digest(available),
            "cases": digest(fingerprints),
        },
        fingerprints=fingerprints,
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


def patches_of(plan: Plan, sampler: Draws | None = None) -> Patches:
    """Return what the steps of a plan see, on this rank; with another sampler, what that draws."""
    return Patches(
        plan.store,
        sampler or plan.sampler,
        plan.config.data,
        plan.config.augmentation,
        seed=plan.config.seed,
        part=(plan.ranks.rank, plan.ranks.count),
        by_slice=plan.by_slice,
    )


def _found(store: Store, cases: list[str], table: ImbalanceTable | None) -> dict[str, Combination]:
    """Return what each training case, or each slice of one that is in the table, may use."""
    present = {case: store.cases[case].modalities for case in cases}
    found = table.available_of(present) if table else present
    if table and table.by_slice:
        reader = CaseReader(store, None)
        for name in found:
            reader.level(*item_of(name))
    return found


def _refuse_parts_of_batches(config: Config, ranks: Ranks) -> None:
    """Stop where a batch is computed in parts and a loss adds up over the whole of it: the parts are other losses."""
    whole = [name for name, term in config.method.terms.items() if term.weight and term.options.get("over_batch")]
    parts = min(config.optim.accumulate, config.data.batch)
    if whole and (parts > 1 or ranks.count > 1):
        why = f"{ranks.count} processes share it" if ranks.count > 1 else f"optim.accumulate={parts} splits it"
        message = f"the terms {', '.join(whole)} add up over the batch (over_batch), and {why}: that is another loss"
        other = " ".join(f"--set method.terms.{name}.options.over_batch=false" for name in whole)
        raise ConfigError(message, hint=f"{other}; or one process and optim.accumulate=1")


def _require_whole_cycles(config: Config, iterations: int) -> None:
    kind = config.method.outer.kind
    steps = OUTER_UPDATES.load(kind).steps
    if iterations % steps:
        message = f"outer.kind {kind} makes steps by {steps}, and an epoch has {iterations}: its end would be a trial"
        raise ConfigError(message, hint=f"--set optim.iterations={iterations + -iterations % steps}")
