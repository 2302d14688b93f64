"""``hga export``: a trained model as one file that can be given away."""

from pathlib import Path
from typing import Annotated

import typer

from hga_cli.cli import options
from hga_cli.cli.output import Terminal, reporting_errors

EXAMPLES = "Examples:  hga export my-run model.hga;  hga predict patient_folder --model model.hga"


@reporting_errors
def run(
    run_name: Annotated[str, typer.Argument(metavar="RUN", help="Run, by name or folder.")],
    target: Annotated[Path, typer.Argument(metavar="FILE", help="The file to write, usually NAME.hga.")],
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the file.")] = False,
    config: options.ConfigFile = None,
    assignments: options.Assignments = None,
    runs_dir: options.RunsDir = options.RUNS_DIR,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
    as_json: options.AsJson = False,
    debug: options.Debug = False,
) -> None:
    """Write a trained model into one file, with all that is needed to use it and nothing of the patients."""
    del debug
    from hga_cli.core.config import resolve
    from hga_cli.core.run_folder import find_run
    from hga_cli.workflows.export import export

    folder = find_run(runs_dir, run_name, finished=False)
    terminal = Terminal(quiet=quiet, verbose=verbose, as_json=as_json)
    settings = resolve(file=config or folder.config_file, assignments=assignments or []).evaluation
    terminal.detail(f"settings: {settings}")
    model = export(folder, target, which=settings.checkpoint, overwrite=overwrite)
    size = target.stat().st_size
    document = {
        "run": folder.name,
        "checkpoint": settings.checkpoint,
        "file": str(target),
        "bytes": size,
        "digest": model.digest,
        "steps": model.step,
        "modalities": list(model.modalities),
        "regions": [region.name for region in model.description.regions],
        "expected": model.expected and model.expected.as_tree(),
    }
    measured = f"measured in {model.expected.measured_on}" if model.expected else "never measured: unknown"
    terminal.show(
        document,
        people=[
            f"written: {target} ({size / 1e6:.1f} MB, model {model.digest[:8]}): the {settings.checkpoint} checkpoint "
            f"of run {folder.name}, {model.step} steps; what to expect of it is {measured}",
            f"next: hga predict CASE_FOLDER --model {target}",
        ],
    )
