"""``hga train``: from a store to a trained model."""

from pathlib import Path
from typing import Annotated, Any

import typer

from hga_cli.cli import options
from hga_cli.cli.output import Terminal, reporting_errors, table
from hga_cli.cli.several_gpus import start_one_for_each
from hga_cli.core.backbones import BACKBONES
from hga_cli.core.catalog import BALANCERS, shipped
from hga_cli.core.errors import HgaError, UsageError

METHODS, RECIPES = (", ".join(shipped(f"presets/{folder}")) for folder in ("methods", "recipes"))
WHICH = (
    "Default: hga, for modalities missing unequally, the more so with few cases; joint for complete cases; "
    "hga-published to compare with the paper, with its many steps."
)
BACKBONE_NAMES, BALANCER_NAMES = ", ".join(BACKBONES.entries), ", ".join(BALANCERS.entries)

EXAMPLES = (
    "Examples:  hga train --dataset brats --preset quick --device cpu;  "
    "hga train --dataset brats --gpu 0 --method joint --run joint-1;  hga train --resume --run joint-1"
)


@reporting_errors
def run(
    dataset: Annotated[
        str | None,
        typer.Option("--dataset", metavar="NAME|STORE", help="Name below --data-dir, or folder of a store."),
    ] = None,
    split: options.SplitName = None,
    imbalance: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Imbalance table, or none (default: the only one of the store, if any)."),
    ] = None,
    method: Annotated[
        str | None,
        typer.Option(help=f"What is trained towards: {METHODS}. {WHICH}", rich_help_panel=options.MODEL),
    ] = None,
    backbone: Annotated[
        str | None, typer.Option(help=f"Network: {BACKBONE_NAMES} (default: unet).", rich_help_panel=options.MODEL)
    ] = None,
    balancer: Annotated[
        str | None,
        typer.Option(help=f"How tasks are merged: {BALANCER_NAMES} (default: equal).", rich_help_panel=options.MODEL),
    ] = None,
    preset: Annotated[
        str | None, typer.Option(help=f"Recipe for everything else: {RECIPES}.", rich_help_panel=options.MODEL)
    ] = None,
    gpu: options.Gpus = None,
    device: options.Device = None,
    epochs: Annotated[int | None, typer.Option(min=0, help="Epochs; 0 keeps the random start.")] = None,
    iterations: Annotated[int | None, typer.Option(min=1, help="Steps in an epoch.")] = None,
    seed: options.Seed = None,
    run_name: Annotated[
        str | None, typer.Option("--run", metavar="NAME", help="Name of the run (default: data set, method, time).")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue --run, or the latest run, on its device if none is named.")
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the run of this name.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Do one step for each number of modalities, write nothing.")
    ] = False,
    config: options.ConfigFile = None,
    assignments: options.Assignments = None,
    data_dir: options.DataDir = options.DATA_DIR,
    runs_dir: options.RunsDir = options.RUNS_DIR,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
    as_json: options.AsJson = False,
    debug: options.Debug = False,
) -> None:
    """Train on what each patient really has; what is absent is neither read nor encoded."""
    del debug
    from hga_cli.core.config import resolve
    from hga_cli.core.orphans import follow_stdin
    from hga_cli.core.progress import Silent
    from hga_cli.core.run_folder import WatchedRun, find_run
    from hga_cli.engine.devices import choose_device, gpu_numbers
    from hga_cli.engine.ranks import Ranks, joined_ranks
    from hga_cli.workflows.plan import plan
    from hga_cli.workflows.stores import store_of
    from hga_cli.workflows.train import begin, train
    from hga_cli.workflows.trial import dry_run as trial

    follow_stdin()
    flags = {
        "data.split": split,
        "data.imbalance": imbalance,
        "method.name": method,
        "network.backbone": backbone,
        "optim.balancer": balancer,
        "optim.epochs": epochs,
        "optim.iterations": iterations,
        "seed": seed,
    }
    chosen = choose_device(device, gpu, before=_device_of(runs_dir, run_name) if resume else None)
    gpus = len(gpu_numbers(gpu)) if gpu else 1
    with joined_ranks(chosen) as ranks:
        _refuse_contradictions(resume=resume, overwrite=overwrite, preset=preset)
        old = find_run(runs_dir, run_name, finished=False) if resume else None
        terminal = Terminal(quiet=quiet, verbose=verbose, as_json=as_json)
        progress = terminal if ranks.is_first else Silent()
        settings = resolve(
            recipe=preset,
            file=config or (old.config_file if old else None),
            assignments=assignments or [],
            flags=flags,
            progress=progress,
        )
        store = store_of(dataset, data_dir, old)
        if ranks.is_first:
            terminal.detail(f"settings: {settings}")
        if gpus > 1 and ranks.count == 1:
            plan(store, settings, chosen, Ranks(count=gpus))
            start_one_for_each(gpu)
        planned = plan(store, settings, chosen, ranks)
        if dry_run:
            document = trial(planned, progress=progress)
            if ranks.is_first:
                terminal.show(document, people=_trial_tables(document))
            return
        if resume:
            folder, built = ranks.from_first(old), None
            folder = folder if ranks.is_first else WatchedRun(folder.path)
        else:
            folder, built = begin(planned, runs_dir, run_name, overwrite=overwrite)
        progress.say(f"run folder {folder.path}")
        document = train(planned, folder, resume=resume, built=built, progress=progress)
        if ranks.is_first:
            terminal.show(document, people=[f"trained: {document['checkpoint']}", "next: hga evaluate"])


def _device_of(runs_dir: Path, name: str | None) -> str | None:
    """Return the device of the run that continues, None where there is no such run: that is said later, by one rank."""
    from hga_cli.core.run_folder import find_run

    try:
        return find_run(runs_dir, name, finished=False).about().get("device")
    except HgaError:
        return None


def _refuse_contradictions(*, resume: bool, overwrite: bool, preset: str | None) -> None:
    """Stop where one option says that another has no meaning."""
    if resume and overwrite:
        message = "--resume and --overwrite contradict each other"
        raise UsageError(message, hint="--resume continues a run, --overwrite replaces it; give one of them")
    if resume and preset:
        message = "--resume continues with the settings of the run; --preset has no say in them"
        raise UsageError(message, hint="leave out --preset, or start a new run")


def _trial_tables(document: dict[str, Any]) -> list[Any]:
    rows = [
        [
            one["combination"],
            "x".join(map(str, one["shape"])),
            f"{one['loss']:.3f}",
            f"{1000 * one['reading_s']:.0f}",
            f"{one['step_s']:.2f}",
            f"{one['peak_gib']:.2f}",
        ]
        for one in document["trials"]
    ]
    title = f"{document['parameters']:,} parameters; nothing was written"
    columns = ["combination", "image", "loss", "reading (ms)", "step (s)", "peak memory (GiB)"]
    return [
        table(columns, rows, title=title, numbers=5),
        f"{document['steps']} steps would take about {document['hours']:.1f} hours",
    ]
