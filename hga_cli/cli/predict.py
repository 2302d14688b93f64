"""``hga predict``: label maps for new patients, whichever modalities they have."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import RenderableType

from hga_cli.cli import options
from hga_cli.cli.output import Terminal, reporting_errors, table
from hga_cli.cli.several_gpus import start_one_for_each
from hga_cli.cli.values import part_of
from hga_cli.core.errors import DataError, Problem, UsageError

if TYPE_CHECKING:
    from hga_cli.workflows.records import Result

EXAMPLES = (
    "Examples:  hga predict patient_folder;  hga predict x_flair.nii.gz -o masks;  "
    "hga predict --image flair=a.nii.gz --image t2=b.nrrd;  hga predict all4.nii.gz --modalities flair,t1ce,t1,t2;  "
    "hga predict patient_folder --model model.hga"
)


@reporting_errors
def run(
    inputs: Annotated[
        list[Path] | None,
        typer.Argument(metavar="INPUT...", help="Case folders, folders of cases, or single files."),
    ] = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the label maps.")] = Path("predictions"),
    run_name: Annotated[
        str | None,
        typer.Option(
            "--run",
            metavar="RUN",
            help="Run, by name or folder (default: the latest finished).",
            rich_help_panel=options.MODEL,
        ),
    ] = None,
    model_file: Annotated[
        Path | None,
        typer.Option(
            "--model", metavar="FILE", help="A file of 'hga export', or a run folder.", rich_help_panel=options.MODEL
        ),
    ] = None,
    images: Annotated[
        list[str] | None,
        typer.Option("--image", metavar="MODALITY=FILE", help="One image of one case, whatever the file is called."),
    ] = None,
    modalities: Annotated[
        str | None, typer.Option(metavar="A,B,...", help="What the volumes of a 4D file are, in their order.")
    ] = None,
    gpu: options.Gpus = None,
    device: options.Device = None,
    align: Annotated[
        bool, typer.Option("--align", help="Resample modalities on grids of their own onto the grid of the first.")
    ] = False,
    overlay: Annotated[
        bool, typer.Option("--overlay", help="Also a PNG of each case: slices with the outlines of what was found.")
    ] = False,
    shard: Annotated[str | None, typer.Option(metavar="I/N", help="Predict only part I of N of the cases.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace label maps that are there.")] = False,
    config: options.ConfigFile = None,
    assignments: options.Assignments = None,
    runs_dir: options.RunsDir = options.RUNS_DIR,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
    as_json: options.AsJson = False,
    debug: options.Debug = False,
) -> None:
    """Predict label maps on the grid of the scans that came in, from any subset of the modalities."""
    del debug
    if bool(inputs) == bool(images) or (images and modalities is not None):
        message = "give either INPUT (with --modalities, if it is a 4D file) or --image, one of them"
        raise UsageError(message, hint="hga predict FOLDER, or hga predict --image flair=a.nii.gz --image t2=b.nii.gz")
    from hga_cli.core.config import resolve
    from hga_cli.core.progress import Silent
    from hga_cli.core.run_folder import RunFolder
    from hga_cli.engine.devices import choose_device
    from hga_cli.engine.ranks import joined_ranks
    from hga_cli.workflows.inputs import assigned_input, find_inputs
    from hga_cli.workflows.models import load_from, run_or_file
    from hga_cli.workflows.predict import IncompleteError, predict
    from hga_cli.workflows.records import How

    part, chosen = part_of(shard) or (1, 1), choose_device(device, gpu)
    start_one_for_each(gpu)
    with joined_ranks(chosen) as ranks:
        source = run_or_file(runs_dir, run_name, model_file)
        of_run = source.config_file if isinstance(source, RunFolder) else None
        flags = {"prediction.overlay": overlay or None}
        settings = resolve(file=config or of_run, assignments=assignments or [], flags=flags)
        model = load_from(source, settings.evaluation.checkpoint, chosen)
        channels = [name.strip() for name in modalities.split(",")] if modalities is not None else ()
        cases = [assigned_input(images, model)] if images else find_inputs(inputs or [], model, channels)
        terminal = Terminal(quiet=quiet, verbose=verbose, as_json=as_json)
        progress = terminal if ranks.is_first else Silent()
        if ranks.is_first:
            terminal.detail(f"settings: {settings.evaluation} {settings.prediction}")
        origin = f"{settings.evaluation.checkpoint} checkpoint" if of_run else f"file {source}"
        progress.say(f"model of run {model.name} ({origin}, trained {model.step} steps), on {model.device}")
        if not cases[part[0] - 1 :: part[1]]:
            progress.warn(f"part {part[0]} of {part[1]} has no case: there are only {len(cases)}")
        how = How(overlap=settings.evaluation.overlap, align=align, what=settings.prediction)
        about = {"run": model.name, "checkpoint": settings.evaluation.checkpoint if of_run else str(source)}
        try:
            results = predict(
                model, cases, output, how=how, overwrite=overwrite, shard=part, ranks=ranks, progress=progress
            )
        except IncompleteError as error:
            if ranks.is_first:
                _show(terminal, about, error.results, error.problems)
            ranks.from_first(None)  # nobody ends before the first has shown what is written
            raise DataError(error.message, hint=error.hint) from None
        if ranks.is_first:
            _show(terminal, about, results)


def _show(
    terminal: Terminal, about: dict[str, str], results: "Sequence[Result]", problems: Sequence[Problem] = ()
) -> None:
    for result in results:
        for warning in result.warnings:
            terminal.warn(f"{result.case}: {warning}")
    for problem in problems:
        terminal.warn(f"{problem.case}: {problem.file}: {problem.problem}")
    document = {**about, "results": [result.as_dict() for result in results]}
    if problems:
        document["problems"] = [problem.as_dict() for problem in problems]
    terminal.show(document, people=_for_people(results))


def _for_people(results: "Sequence[Result]") -> list[RenderableType]:
    """Return a table of the label maps, and what to expect of each combination in it."""
    from hga_cli.core.combinations import combination_name

    if not results:
        return []
    rows = [
        [
            result.case,
            combination_name(tuple(result.modalities)),
            "  ".join(f"{region} {value:.1f}" for region, value in result.volumes_ml.items()),
            f"{result.output}{' (skipped: is there already)' if result.skipped else ''}",
        ]
        for result in results
    ]
    expected = {combination_name(tuple(result.modalities)): _expected(result) for result in results}
    lines = [f"{name}: {text}" for name, text in expected.items()]
    return [table(["case", "found", "volumes in ml", "label map"], rows), *lines]


def _expected(result: "Result") -> str:
    if result.expected is None:
        return "how good the model is with these modalities was never measured ('hga evaluate' does)"
    dice = "  ".join(f"{region} {value:.2f}" for region, value in result.expected["dice"].items())
    adding = result.expected["adding"]
    where = result.expected["measured_on"]
    text = f"expect a Dice of {dice} (mean in {where})"
    if adding is None:
        return text
    return (
        f"{text}; adding {adding['modality']}: {adding['region']} Dice {adding['before']:.2f} -> "
        f"{adding['after']:.2f} (n={adding['n']}, the same cases in {where})"
    )
