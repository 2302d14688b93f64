"""Options that several commands have: the same spelling and help everywhere."""

from pathlib import Path
from typing import Annotated

import typer

DATA, MODEL, OUTPUT, GENERAL = "Data", "Model", "Output", "General"

ConfigFile = Annotated[
    Path | None, typer.Option("--config", "-c", help="Settings from a TOML file.", rich_help_panel=GENERAL)
]
Assignments = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="One setting, e.g. optim.epochs=5.", rich_help_panel=GENERAL),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Only results and errors.", rich_help_panel=GENERAL)]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Also versions and settings.", rich_help_panel=GENERAL)]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.", rich_help_panel=GENERAL)]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.", rich_help_panel=GENERAL)]

DataDir = Annotated[
    Path, typer.Option("--data-dir", envvar="HGA_DATA", help="Folder of the stores.", rich_help_panel=GENERAL)
]
RunsDir = Annotated[
    Path, typer.Option("--runs-dir", envvar="HGA_RUNS", help="Folder of the runs.", rich_help_panel=GENERAL)
]
DATA_DIR, RUNS_DIR = Path("data"), Path("runs")

StoreName = Annotated[
    str, typer.Option("--dataset", metavar="NAME|STORE", help="Name below --data-dir, or folder of a store.")
]
SplitName = Annotated[
    str | None, typer.Option("--split", metavar="NAME", help="Split (default: the only one of the store).")
]
Seed = Annotated[int | None, typer.Option("--seed", help="Seed of everything random (default: 1037).")]
Gpu = Annotated[str | None, typer.Option("--gpu", metavar="N", help="Number of the GPU.", rich_help_panel=MODEL)]
Gpus = Annotated[
    str | None,
    typer.Option("--gpu", metavar="N[,N]", help="Number of the GPU; 0,1: two share the work.", rich_help_panel=MODEL),
]
Device = Annotated[
    str | None,
    typer.Option(
        "--device",
        metavar="auto|cpu|cuda[:N]|mps",
        help="Where to compute (default: HGA_DEVICE, or auto).",
        rich_help_panel=MODEL,
    ),
]
