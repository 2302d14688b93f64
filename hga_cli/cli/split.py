"""``hga split``: who trains, validates and tests."""

from typing import Annotated

import typer

from hga_cli.cli import options
from hga_cli.cli.output import Terminal, reporting_errors, table
from hga_cli.cli.values import numbers

EXAMPLES = "Examples:  hga split --dataset brats;  hga split --dataset brats --ratios 0.8,0,0.2 --name no-val --seed 1"


@reporting_errors
def run(
    dataset: options.StoreName,
    ratios: Annotated[
        str | None, typer.Option(metavar="TRAIN,VAL,TEST", help="Shares of the subjects (default: 0.7,0.1,0.2).")
    ] = None,
    name: Annotated[str | None, typer.Option(help="Name of the split (default: default).")] = None,
    seed: options.Seed = None,
    config: options.ConfigFile = None,
    assignments: options.Assignments = None,
    data_dir: options.DataDir = options.DATA_DIR,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
    as_json: options.AsJson = False,
    debug: options.Debug = False,
) -> None:
    """Split the cases of a store by subject, so that no patient is in two parts."""
    del debug
    from hga_cli.core.config import resolve
    from hga_cli.data.splits import PARTS
    from hga_cli.workflows.split import split
    from hga_cli.workflows.stores import store_of

    flags = {"split.ratios": numbers(ratios, "--ratios", 3), "split.name": name, "split.seed": seed}
    settings = resolve(file=config, assignments=assignments or [], flags=flags).split
    store = store_of(dataset, data_dir)
    made, is_new = split(store, settings)
    terminal = Terminal(quiet=quiet, verbose=verbose, as_json=as_json)
    terminal.detail(f"settings: {settings}")
    if not is_new:
        terminal.say(f"the same split '{made.name}' was there already")
    rows = []
    for part in PARTS:
        cases = made.part(part)
        subjects = {store.cases[case].subject for case in cases}
        rows.append(
            [part, ", ".join(cases[:4]) + (" ..." if len(cases) > 4 else ""), str(len(subjects)), str(len(cases))]
        )
    document = {"name": made.name, "train": made.train, "val": made.val, "test": made.test}
    terminal.show(document, people=[table([f"split '{made.name}'", "cases", "subjects", "number"], rows, numbers=2)])
