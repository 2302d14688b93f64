"""A command that shares its cases among several GPUs: one process of it for each."""

import sys

import typer


def start_one_for_each(gpu: str | None) -> None:
    """Start this command once for each GPU of ``0,1``, and end with its exit code.

    Nothing is done for one GPU, and in a process that was started so.

    Raises:
        UsageError: ``gpu`` cannot be read.
    """
    from hga_cli.engine.devices import gpu_numbers
    from hga_cli.engine.ranks import is_rank, start_ranks

    count = len(gpu_numbers(gpu)) if gpu else 1
    if count > 1 and not is_rank():
        raise typer.Exit(start_ranks(count, sys.argv[1:]))
