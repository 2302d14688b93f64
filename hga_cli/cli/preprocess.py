"""``hga preprocess``: raw folders become a store."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from hga_cli.cli import options
from hga_cli.cli.output import Terminal, problem_table, reporting_errors, table
from hga_cli.cli.values import numbers, part_of
from hga_cli.core.catalog import shipped
from hga_cli.core.errors import DataError

if TYPE_CHECKING:
    from rich.table import Table

    from hga_cli.data.raw.description import Description
    from hga_cli.workflows.preprocess import Report

DATASETS = ", ".join(shipped("data/raw/descriptions"))

EXAMPLES = (
    "Examples:  hga preprocess raw/brats;  hga preprocess raw/brats --dry-run;  "
    "hga preprocess raw --dataset mine.toml --spacing 1,1,1 --align --on-problem skip;  "
    "hga preprocess raw --dataset brats --shard 1/4"
)


@reporting_errors
def run(
    raw_dir: Annotated[Path, typer.Argument(help="Folder that holds the cases, at any depth.")],
    dataset: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|FILE.toml",
            help=f"What the data set is: {DATASETS}, or your own file (default: what the names of the files fit).",
        ),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder of the store (default: data/NAME).")
    ] = None,
    spacing: Annotated[
        str | None, typer.Option(metavar="X,Y,Z", help="Resample to this voxel size in mm (R, A, S).")
    ] = None,
    align: Annotated[
        bool, typer.Option("--align", help="Resample images and label on grids of their own onto one grid.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Read and check everything, write nothing.")] = False,
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
    from hga_cli.data.raw.description import load_description
    from hga_cli.data.raw.recognise import recognise
    from hga_cli.workflows.preprocess import Shard, preprocess

    flags = {
        "preprocess.spacing": numbers(spacing, "--spacing", 3),
        "preprocess.align": align or None,
        "preprocess.on_problem": on_problem,
        "preprocess.workers": workers,
    }
    settings = resolve(file=config, assignments=assignments or [], flags=flags).preprocess
    part = part_of(shard)
    terminal = Terminal(quiet=quiet, verbose=verbose, as_json=as_json)
    terminal.detail(f"settings: {settings}")
    description = load_description(dataset, raw_dir) if dataset else recognise(raw_dir)
    if dataset is None:
        terminal.say(f"'{raw_dir}' is recognised as {description.name}: {description.title or 'dataset.json'}")
    report = preprocess(
        raw_dir,
        description,
        output or data_dir / description.name,
        settings,
        shard=Shard(index=part[0], count=part[1]) if part else None,
        overwrite=overwrite,
        dry_run=dry_run,
        progress=terminal,
    )
    terminal.show(_document(report), people=_tables(report, description, dry_run=dry_run))
    if dry_run and report.problems and settings.on_problem == "stop":
        raise typer.Exit(DataError.exit_code)


def _document(report: "Report") -> dict[str, object]:
    document: dict[str, object] = {
        "store": str(report.store),
        "cases": report.cases,
        "written": report.written,
        "unchanged": report.unchanged,
        "problems": [problem.as_dict() for problem in report.problems],
        "skipped": report.skipped,
        "warnings": report.warnings,
    }
    if report.seen:
        document["seen"] = {
            case: {
                "modalities": seen.modalities,
                "shape": seen.shape,
                "spacing": seen.spacing,
                "label_voxels": seen.label_voxels,
                "new": seen.is_new,
            }
            for case, seen in report.seen.items()
        }
    return document


def _tables(report: "Report", description: "Description", *, dry_run: bool) -> list["Table"]:
    from hga_cli.core.combinations import dots

    problems = [problem_table(report.problems)] if report.problems else []
    if not dry_run:
        counts = [
            [name, str(len(cases))]
            for name, cases in (
                ("written", report.written),
                ("unchanged", report.unchanged),
                ("skipped", report.skipped),
            )
        ]
        return [*problems, table([str(report.store), "cases"], counts, numbers=1)]
    labels = [entry.name for entry in description.labels]
    rows = [
        [
            case,
            dots(seen.modalities, description.modalities),
            "x".join(map(str, seen.shape)),
            " ".join(f"{size:.3g}" for size in seen.spacing),
            *(str(seen.label_voxels.get(label, 0)) for label in labels),
            "new" if seen.is_new else "same",
        ]
        for case, seen in report.seen.items()
    ]
    columns = ["case", " ".join(description.modalities), "voxels", "mm (R A S)", *labels, "store"]
    title = f"{len(rows)} cases for '{report.store}', nothing was written; voxels of each label"
    return [table(columns, rows, title=title, numbers=len(labels) + 1), *problems]
