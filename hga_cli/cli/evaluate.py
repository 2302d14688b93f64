"""``hga evaluate``: how well a model does with every combination."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.box import SIMPLE_HEAD
from rich.table import Table

from hga_cli.cli import options
from hga_cli.cli.output import Terminal, reporting_errors

EXAMPLES = (
    "Examples:  hga evaluate;  hga evaluate my-run --combinations flair+t2,flair;  "
    "hga evaluate my-run --split val --convention brats --json"
)


@reporting_errors
def run(
    run_name: Annotated[
        str | None, typer.Argument(metavar="RUN", help="Run, by name or folder (default: the latest finished).")
    ] = None,
    dataset: Annotated[
        str | None, typer.Option(metavar="NAME|STORE", help="Another store (default: the one of the run).")
    ] = None,
    split: Annotated[
        str, typer.Option(metavar="PART|NAME/PART", help="train, val or test of the split of the run, or of another.")
    ] = "test",
    combinations: Annotated[str, typer.Option(metavar="all|A+B,C", help="Combinations to score.")] = "all",
    scoring: Annotated[
        str | None,
        typer.Option("--convention", help="What empty structures score: hga, brats, diagonal, exclude (default: hga)."),
    ] = None,
    gpu: options.Gpu = None,
    device: options.Device = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder of metrics.json and .csv (default: in the run).")
    ] = None,
    data_dir: options.DataDir = options.DATA_DIR,
    config: options.ConfigFile = None,
    assignments: options.Assignments = None,
    runs_dir: options.RunsDir = options.RUNS_DIR,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
    as_json: options.AsJson = False,
    debug: options.Debug = False,
) -> None:
    """Score a model with every combination of modalities, on the original grid: Dice and HD95 per region."""
    del debug
    from hga_cli.core.combinations import parse_combinations
    from hga_cli.core.config import resolve
    from hga_cli.core.run_folder import find_run
    from hga_cli.engine.devices import choose_device
    from hga_cli.engine.inference import load_model
    from hga_cli.metrics.conventions import convention
    from hga_cli.workflows.evaluate import evaluate, metrics_folder, part_of_split, write_metrics
    from hga_cli.workflows.stores import store_of

    folder = find_run(runs_dir, run_name, finished=True)
    terminal = Terminal(quiet=quiet, verbose=verbose, as_json=as_json)
    settings = resolve(
        file=config or folder.config_file, assignments=assignments or [], flags={"evaluation.convention": scoring}
    ).evaluation
    terminal.detail(f"settings: {settings}")
    model = load_model(folder.last, choose_device(device, gpu))
    store = store_of(dataset, data_dir, folder)
    cases = part_of_split(store, split, model.config.data.split)
    terminal.say(f"run {folder.name}, {len(cases)} cases of '{split}', on {model.device}")
    document = evaluate(
        model,
        store,
        cases,
        parse_combinations(combinations, model.modalities),
        convention(settings.convention),
        overlap=settings.overlap,
        progress=terminal,
    )
    target = output or metrics_folder(folder, split=split, combinations=combinations, dataset=dataset)
    paths = write_metrics(target, {"run": folder.name, "split": split, **document})
    rule = document["conventions"]
    head = f"dots: {' '.join(model.modalities)}; Dice in %, HD95 ({rule['hd95']}) below 'mm'; n: cases scored"
    foot = f"Convention '{rule['name']}': {rule['empty']}"
    terminal.show(document, people=[head, _table(document), foot, f"written: {paths[0]} and {paths[1].name}"])


def _table(document: dict[str, Any]) -> Table:
    """Return the result as a picture of filled and empty dots with Dice (%) and HD95 (mm)."""
    from hga_cli.core.combinations import dots

    regions, modalities = list(document["mean"]), document["modalities"]
    made = Table(box=SIMPLE_HEAD, header_style="bold", pad_edge=False, padding=(0, 1, 0, 0))
    made.add_column("combination", no_wrap=True)
    for title in [*regions, *(f"{region}\nmm" for region in regions), "n"]:
        made.add_column(title, justify="right", no_wrap=True)
    for name, row in document["combinations"].items():
        picture = dots(tuple(name.split("+")), modalities)
        made.add_row(f"{picture} {name}", *_cells(row, regions), str(row[regions[0]]["n"]))
    made.add_section()
    made.add_row("mean", *_cells(document["mean"], regions), "", style="bold")
    return made


def _cells(row: dict[str, Any], regions: list[str]) -> list[str]:
    dice = [_number(row[region]["dice"] * 100) for region in regions]
    return dice + [_number(row[region]["hd95"]) for region in regions]


def _number(value: float) -> str:
    return f"{value:.1f}" if value == value else "-"
