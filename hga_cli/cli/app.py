"""The program ``hga``: puts the commands together."""

import os
import sys
from io import TextIOWrapper
from typing import Annotated

import typer

from hga_cli import __version__
from hga_cli.cli import evaluate, export, info, make_imbalance, predict, preprocess, report, split, sweep, train

EPILOG = (
    "A first run:  hga preprocess raw_dir --dataset brats;  hga split --dataset brats;  "
    "hga train --dataset brats --preset quick;  hga evaluate;  hga predict CASE_FOLDER"
)

app = typer.Typer(
    name="hga",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_show_locals=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=EPILOG,
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"hga {__version__}")
        raise typer.Exit


@app.callback()
def hga(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Train and use medical image segmentation when patients lack modalities, unequally."""
    del version


for module, name, panel in (
    (preprocess, "preprocess", "Prepare"),
    (split, "split", "Prepare"),
    (make_imbalance, "make-imbalance", "Prepare"),
    (train, "train", "Train"),
    (sweep, "sweep", "Train"),
    (evaluate, "evaluate", "Use"),
    (predict, "predict", "Use"),
    (report, "report", "Use"),
    (export, "export", "Use"),
    (info, "info", "Look"),
):
    app.command(name, rich_help_panel=panel, epilog=module.EXAMPLES)(module.run)


def main() -> None:
    """Run the program.

    Threads that wait for each other sleep instead of spinning, which spares much time where other programs run beside
    them. Characters a terminal cannot show are replaced.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")
    app()
