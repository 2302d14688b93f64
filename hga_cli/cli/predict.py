"""``hga predict``: label maps for new patients, whichever modalities they have."""

from pathlib import Path
from typing import Annotated

import typer

from hga_cli.cli import options
from hga_cli.cli.output import Terminal, reporting_errors, table

EXAMPLES = (
    "Examples:  hga predict patient_folder;  hga predict x_flair.nii.gz -o masks;  "
    "hga predict all4.nii.gz --modalities flair,t1ce,t1,t2"
)


@reporting_errors
def run(
    inputs: Annotated[
        list[Path], typer.Argument(metavar="INPUT...", help="Case folders, folders of cases, or single files.")
    ],
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
    modalities: Annotated[
        str | None, typer.Option(metavar="A,B,...", help="What the volumes of a 4D file are, in their order.")
    ] = None,
    gpu: options.Gpu = None,
    device: options.Device = None,
    align: Annotated[
        bool, typer.Option("--align", help="Resample modalities on grids of their own onto the grid of the first.")
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Predict again what is there.")] = False,
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
    from hga_cli.core.combinations import combination_name
    from hga_cli.core.config import resolve
    from hga_cli.core.run_folder import find_run
    from hga_cli.engine.devices import choose_device
    from hga_cli.engine.inference import load_model
    from hga_cli.workflows.predict import find_inputs, predict

    folder = find_run(runs_dir, run_name, finished=True)
    model = load_model(folder.last, choose_device(device, gpu))
    cases = find_inputs(
        inputs, model, [name.strip() for name in modalities.split(",")] if modalities is not None else ()
    )
    terminal = Terminal(quiet=quiet, verbose=verbose, as_json=as_json)
    settings = resolve(file=config or folder.config_file, assignments=assignments or []).evaluation
    terminal.detail(f"settings: {settings}")
    terminal.say(f"model of run {folder.name} (trained {model.step} steps), on {model.device}")
    results = predict(
        model, cases, output, overlap=settings.overlap, align=align, overwrite=overwrite, progress=terminal
    )
    for result in results:
        for warning in result.warnings:
            terminal.warn(f"{result.case}: {warning}")
    rows = [
        [
            result.case,
            combination_name(tuple(result.modalities)),
            "skipped: is there already" if result.skipped else _volumes(result.volumes_ml),
            str(result.output),
        ]
        for result in results
    ]
    terminal.show(
        {"run": folder.name, "results": [result.as_dict() for result in results]},
        people=[table(["case", "found", "volumes in ml", "label map"], rows)],
    )


def _volumes(volumes: dict[str, float]) -> str:
    return "  ".join(f"{region} {value:.1f}" for region, value in volumes.items())
