"""``hga preprocess``: raw folders become a store."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from hga_cli.cli import options
from hga_cli.cli.output import Terminal, problem_table, reporting_errors, table
from hga_cli.cli.values import numbers, part_of
from hga_cli.core.catalog import shipped

DATASETS = ", ".join(shipped("data/descriptions"))

EXAMPLES = (
    "Examples:  hga preprocess raw/brats --dataset brats;  "
    "hga preprocess raw --dataset mine.toml --spacing 1,1,1 --on-problem skip;  "
    "hga preprocess raw --dataset brats --shard 1/4"
)


@reporting_errors
def run(
    raw_dir: Annotated[Path, typer.Argument(help="Folder that holds the cases, at any depth.")],
    dataset: Annotated[
        str, typer.Option(metavar="NAME|FILE.toml", help=f"What the data set is: {DATASETS}, or your own file.")
    ] = "brats",
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder of the store (default: data/NAME).")
    ] = None,
    spacing: Annotated[
        str | None, typer.Option(metavar="X,Y,Z", help="Resample to this voxel size in mm (R, A, S).")
    ] = None,
    on_problem: Annotated[
        Literal["stop", "skip"] | None, typer.Option(help="Stop at bad cases, or leave them out (default: stop).")
    ] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes (default: one per core).")] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Drop cases of the store that RAW_DIR does not have.")
    ] = False,
    shard: Annotated[str | None, typer.Option(metavar="I/N", help="Do only part I of N.")] = None,
    config: options.ConfigFile = None,
    assignments: options.Assignments = None,
    data_dir: options.DataDir = options.DATA_DIR,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
    as_json: options.AsJson = False,
    debug: options.Debug = False,
) -> None:
    """Turn raw NIfTI folders into a store. Cases may lack modalities; a second run does only what is missing."""
    del debug
    from hga_cli.core.config import resolve
    from hga_cli.data.description import load_description
    from hga_cli.workflows.preprocess import Shard, preprocess

    flags = {
        "preprocess.spacing": numbers(spacing, "--spacing", 3),
        "preprocess.on_problem": on_problem,
        "preprocess.workers": workers,
    }
    settings = resolve(file=config, assignments=assignments or [], flags=flags).preprocess
    description = load_description(dataset)
    part = part_of(shard)
    terminal = Terminal(quiet=quiet, verbose=verbose, as_json=as_json)
    terminal.detail(f"settings: {settings}")
    report = preprocess(
        raw_dir,
        description,
        output or data_dir / description.name,
        settings,
        shard=Shard(index=part[0], count=part[1]) if part else None,
        overwrite=overwrite,
        progress=terminal,
    )
    document = {
        "store": str(report.store),
        "cases": report.cases,
        "written": report.written,
        "unchanged": report.unchanged,
        "problems": [problem.as_dict() for problem in report.problems],
        "warnings": report.warnings,
    }
    counts = [["written", str(len(report.written))], ["unchanged", str(len(report.unchanged))]]
    people = [
        *([problem_table(report.problems)] if report.problems else []),
        table([str(report.store), "cases"], counts, numbers=1),
    ]
    terminal.show(document, people=people)
