"""``hga split``: who trains, validates and tests."""

from typing import TYPE_CHECKING, Annotated

import typer

from hga_cli.cli import options
from hga_cli.cli.output import Terminal, reporting_errors, table
from hga_cli.cli.values import numbers
from hga_cli.core.catalog import shipped
from hga_cli.core.errors import UsageError

if TYPE_CHECKING:
    from rich.table import Table

    from hga_cli.data.splits import Split

SPLITS = ", ".join(shipped("presets/splits"))
EXAMPLES = (
    "Examples:  hga split --dataset brats;  hga split --dataset brats --ratios 0.8,0,0.2 --name no-val --seed 1;  "
    "hga split --dataset brats --folds 5;  hga split --dataset brats --from brats2020"
)


@reporting_errors
def run(
    dataset: options.StoreName,
    ratios: Annotated[
        str | None, typer.Option(metavar="TRAIN,VAL,TEST", help="Shares of the subjects (default: 0.7,0.1,0.2).")
    ] = None,
    folds: Annotated[
        int | None, typer.Option(metavar="K", help="K splits, NAME-1 to NAME-K; each subject is tested once.")
    ] = None,
    source: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="FOLDER|FILE|NAME",
            help=f"Lists: a folder with train.txt, test.txt, a table with columns case and part, or one of {SPLITS}.",
        ),
    ] = None,
    name: Annotated[str | None, typer.Option(help="Name of the split (default: default; folds: fold).")] = None,
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
    from hga_cli.workflows import split as workflow
    from hga_cli.workflows.stores import store_of

    if source is not None and (ratios, folds, seed) != (None, None, None):
        message = "--from says who is in which part; --ratios, --folds and --seed draw it"
        raise UsageError(message, hint="leave out one or the other")
    drawn = {"split.ratios": numbers(ratios, "--ratios", 3, example="0.7,0.1,0.2"), "split.seed": seed}
    flags = drawn | {"split.folds": folds, "split.source": source, "split.name": name}
    settings = resolve(file=config, assignments=assignments or [], flags=flags).split
    store = store_of(dataset, data_dir)
    terminal = Terminal(quiet=quiet, verbose=verbose, as_json=as_json)
    terminal.detail(f"settings: {settings}")
    if settings.folds is None:
        made, is_new = workflow.split(store, settings, terminal)
        if not is_new:
            terminal.say(f"the same split '{made.name}' was there already")
        terminal.show(_document(made), people=[_parts(made, workflow.subjects_of(store, settings))])
        return
    all_made, is_new = workflow.folds(store, settings, terminal)
    if not is_new:
        terminal.say(f"the same {len(all_made)} splits were there already")
    terminal.show({"folds": [_document(one) for one in all_made]}, people=[_overview(all_made)])


def _document(made: "Split") -> dict[str, str | list[str]]:
    return {"name": made.name, "train": made.train, "val": made.val, "test": made.test}


def _parts(made: "Split", subjects: dict[str, str]) -> "Table":
    """Return one line for each part: the first cases, numbers of subjects and cases."""
    rows = []
    for part in ("train", "val", "test"):
        cases = made.part(part)
        shown = ", ".join(cases[:4]) + (" ..." if len(cases) > 4 else "")
        rows.append([part, shown, str(len({subjects[case] for case in cases})), str(len(cases))])
    return table([f"split '{made.name}'", "cases", "subjects", "number"], rows, numbers=2)


def _overview(made: "list[Split]") -> "Table":
    """Return one line for each fold: numbers of cases."""
    rows = [[one.name, *(str(len(one.part(part))) for part in ("train", "val", "test"))] for one in made]
    return table(["cases of fold", "train", "val", "test"], rows, numbers=3)
