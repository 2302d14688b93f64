"""``hga make-imbalance``: who misses what, at chosen unequal rates."""

from typing import Annotated, Literal

import typer

from hga_cli.cli import options
from hga_cli.cli.output import Terminal, reporting_errors, table

EXAMPLES = (
    "Examples:  hga make-imbalance --dataset brats --rates mr2468;  "
    "hga make-imbalance --dataset brats --rates t1=0.2,t1ce=0.4,flair=0.6,t2=0.8 --name unequal"
)


@reporting_errors
def run(
    dataset: options.StoreName,
    rates: Annotated[
        str | None,
        typer.Option(metavar="mrABCD|NAME=RATE,...", help="Missing rates, shares of the training subjects."),
    ] = None,
    rule: Annotated[
        Literal["expected", "bernoulli"] | None,
        typer.Option(
            help="Blocks of expected size (published), or each modality drawn on its own (default: expected)."
        ),
    ] = None,
    unit: Annotated[
        Literal["subject", "case"] | None, typer.Option(help="What misses together (default: subject).")
    ] = None,
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
    from hga_cli.core.combinations import combination_name, dots
    from hga_cli.core.config import resolve
    from hga_cli.workflows.make_imbalance import make_imbalance
    from hga_cli.workflows.stores import store_of

    flags = {
        "imbalance.rates": rates,
        "imbalance.rule": rule,
        "imbalance.unit": unit,
        "imbalance.name": name,
        "imbalance.seed": seed,
    }
    settings = resolve(file=config, assignments=assignments or [], flags=flags).imbalance
    store = store_of(dataset, data_dir)
    report = make_imbalance(store, settings, split)
    terminal = Terminal(quiet=quiet, verbose=verbose, as_json=as_json)
    terminal.detail(f"settings: {settings}")
    if not report.is_new:
        terminal.say(f"the same table '{report.table.name}' was there already")
    document = {
        "name": report.table.name,
        "wanted": report.wanted,
        "realised": report.realised,
        "combinations": {combination_name(key): count for key, count in report.counts.items()},
    }
    by_rate = [[key, f"{report.wanted[key]:.2f}", f"{report.realised[key]:.2f}"] for key in store.modalities]
    by_count = [
        [dots(key, store.modalities), combination_name(key), str(count)]
        for key, count in report.counts.items()
        if count
    ]
    title = f"table '{report.table.name}' for {len(report.table.cases)} training cases"
    terminal.show(
        document,
        people=[
            table(["missing", "wanted", "realised"], by_rate, title=title, numbers=2),
            table([" ".join(store.modalities), "combination", "cases"], by_count, numbers=1),
        ],
    )
