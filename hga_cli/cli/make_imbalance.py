"""``hga make-imbalance``: who misses what, at chosen unequal rates."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from hga_cli.cli import options
from hga_cli.cli.output import Terminal, reporting_errors, table
from hga_cli.core.combinations import combination_name, dots
from hga_cli.core.errors import UsageError

if TYPE_CHECKING:
    from rich.console import RenderableType

    from hga_cli.data.raw.description import Description
    from hga_cli.workflows.make_imbalance import Report

EXAMPLES = (
    "Examples:  hga make-imbalance --dataset brats --rates mr2468;  "
    "hga make-imbalance --dataset brats --rates t1=0.2,t1ce=0.4,flair=0.6,t2=0.8 --name unequal;  "
    "hga make-imbalance --dataset brats --names brats2020 --rates mr2468 --published -o mr2468.csv"
)


@reporting_errors
def run(
    dataset: Annotated[
        str,
        typer.Option(
            metavar="NAME|STORE", help="Name below --data-dir, or folder of a store; for --names -o a description."
        ),
    ],
    rates: Annotated[
        str | None,
        typer.Option(metavar="mrABCD|NAME=RATE,...", help="Missing rates, shares of the units (tenths in mrABCD)."),
    ] = None,
    rule: Annotated[
        Literal["expected", "bernoulli"] | None,
        typer.Option(
            help="Blocks of expected size (published), or each modality drawn on its own (default: expected)."
        ),
    ] = None,
    unit: Annotated[
        Literal["subject", "case", "slice"] | None, typer.Option(help="What misses together (default: subject).")
    ] = None,
    names: Annotated[
        str | None,
        typer.Option(
            metavar="FILE.txt|TABLE.csv|SPLIT", help="Draw for these names, or read a table, instead of a split."
        ),
    ] = None,
    published: Annotated[
        bool, typer.Option("--published", help="CSV in the published layout: data_name,mask_id,mask,pos_mask_ids.")
    ] = False,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write a CSV file; with --names, only that.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace another file of that name.")] = False,
    split: options.SplitName = None,
    name: Annotated[str | None, typer.Option(help="Name of the table (default: made from the rates).")] = None,
    seed: options.Seed = None,
    config: options.ConfigFile = None,
    assignments: options.Assignments = None,
    data_dir: options.DataDir = options.DATA_DIR,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
    as_json: options.AsJson = False,
    debug: options.Debug = False,
) -> None:
    """Hide modalities of training cases at chosen unequal rates, for research. Truly incomplete data need no table."""
    del debug
    from hga_cli.core.config import resolve
    from hga_cli.workflows.make_imbalance import imbalance_of_names, make_imbalance
    from hga_cli.workflows.stores import store_of
    from hga_cli.workflows.table_output import TableOutput

    drawn = {"--rates": rates, "--rule": rule, "--seed": seed}
    _refuse_contradictions(names, {"--unit": unit, "--split": split}, drawn, in_vain=published and output is None)
    flags = {f"imbalance.{flag.strip('-')}": value for flag, value in drawn.items()}
    flags |= {"imbalance.unit": unit, "imbalance.name": name}
    settings = resolve(file=config, assignments=assignments or [], flags=flags).imbalance
    terminal = Terminal(quiet=quiet, verbose=verbose, as_json=as_json)
    terminal.detail(f"settings: {settings}")
    store = store_of(dataset, data_dir) if names is None or output is None else None
    description = store.description if store else _description(dataset, data_dir)
    file = TableOutput(path=output, published=published, overwrite=overwrite) if output else None
    if names is not None:
        report = imbalance_of_names(names, description, settings, terminal, store=store, output=file)
    elif store is not None:
        report = make_imbalance(store, settings, split, terminal, output=file)
    if not report.is_new:
        terminal.say(f"the same table '{report.table.name}' was there already")
    if output is not None:
        terminal.say(f"table written to '{output}'")
    terminal.show(_document(report), people=_tables(report))


def _refuse_contradictions(
    names: str | None, of_split: dict[str, Any], drawn: dict[str, Any], *, in_vain: bool
) -> None:
    """Stop where one option says that another has no meaning."""
    is_table = names is not None and names.lower().endswith(".csv")
    given = [flag for flag, value in of_split.items() if value is not None]
    if names is not None and given:
        message = f"--names says what the units are, and so does {given[0]}"
        raise UsageError(message, hint=f"leave out {given[0]} or --names")
    given = [flag for flag, value in drawn.items() if value is not None]
    if is_table and given:
        message = f"'{names}' is a table and says who misses what; {given[0]} is for drawing one"
        raise UsageError(message, hint=f"leave out {given[0]}, or name a text file with one name a line")
    if in_vain and not is_table:
        message = "--published is about CSV files, and none is read or written"
        raise UsageError(message, hint="add -o FILE.csv")


def _description(dataset: str, data_dir: Path) -> "Description":
    """Return a shipped description, one from a TOML file, or that of a store."""
    from hga_cli.core.catalog import shipped
    from hga_cli.data.raw.description import load_description
    from hga_cli.workflows.stores import store_of

    if dataset.endswith(".toml") or dataset in shipped("data/raw/descriptions"):
        return load_description(dataset)
    return store_of(dataset, data_dir).description


def _document(report: "Report") -> dict[str, Any]:
    return {
        "name": report.table.name,
        "wanted": report.wanted,
        "realised": report.realised,
        "bound": report.bound,
        "combinations": {combination_name(key): count for key, count in report.counts.items()},
        "nothing": report.nothing,
    }


def _tables(report: "Report") -> "list[RenderableType]":
    modalities = report.table.modalities
    by_rate = [
        [key, f"{report.wanted[key]:.2f}" if report.wanted else "-", f"{report.realised[key]:.2f}"]
        for key in modalities
    ]
    by_count = [
        [dots(key, modalities), combination_name(key), str(count)] for key, count in report.counts.items() if count
    ]
    by_rate.append(["mean", *("-" if mean is None else f"{mean:.2f}" for mean in report.means)])
    kind = "slices" if report.table.by_slice else "cases"
    shown: list[RenderableType] = [
        table(
            ["missing", "wanted", "realised"],
            by_rate,
            title=f"table '{report.table.name}' for {len(report.table.cases)} {kind}",
            numbers=2,
        ),
        table([" ".join(modalities), "combination", kind], by_count, numbers=1),
    ]
    shown.append(f"a mean of {report.bound['most']:.2f} is the most, since each of the {kind} keeps a modality")
    if nobody := sum(not count for count in report.counts.values()):
        shown.append(f"{nobody} of {len(report.counts)} combinations nobody has")
    if report.nothing:
        shown.append(f"{report.nothing} {kind} have nothing available: training leaves them out")
    return shown
