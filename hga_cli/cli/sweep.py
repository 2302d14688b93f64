"""``hga sweep``: many trainings, each scored, from one list."""

from pathlib import Path
from typing import Annotated, Any

import typer

from hga_cli.cli import options
from hga_cli.cli.output import Terminal, reporting_errors, table
from hga_cli.cli.values import part_of
from hga_cli.core.errors import HgaError

TOLD = ("nothing", "senseless", "in the way", "finished", "failed", "interrupted", "not started")
"""States that are counted in the title of the table."""

EXAMPLES = (
    "Examples:  hga sweep sample_data/sweep.toml --dry-run;  hga sweep mine.toml --gpu 0 --shard 1/4;  "
    "hga sweep mine.toml --makefile sweep.mk"
)


@reporting_errors
def run(
    file: Annotated[Path, typer.Argument(metavar="FILE.toml", help="What varies, and what all runs share.")],
    shard: Annotated[str | None, typer.Option(metavar="I/N", help="Do only part I of N of the runs.")] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check all runs and show what would be done; write nothing.")
    ] = False,
    makefile: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write a Makefile fragment for 'make -j' instead of training."),
    ] = None,
    gpu: options.Gpus = None,
    device: options.Device = None,
    config: options.ConfigFile = None,
    assignments: options.Assignments = None,
    data_dir: options.DataDir = options.DATA_DIR,
    runs_dir: options.RunsDir = options.RUNS_DIR,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
    as_json: options.AsJson = False,
    debug: options.Debug = False,
) -> None:
    """Train and evaluate every combination of a list, one after another; what is done is skipped."""
    del debug
    from hga_cli.core.sweep_plan import members, read_sweep
    from hga_cli.engine.devices import choose_device, gpu_numbers
    from hga_cli.engine.ranks import Ranks
    from hga_cli.workflows import sweep as story
    from hga_cli.workflows.stores import store_of
    from hga_cli.workflows.sweep_commands import Place, write_makefile
    from hga_cli.workflows.sweep_outlook import OPEN, look_ahead, require_startable

    part = part_of(shard)
    terminal = Terminal(quiet=quiet, verbose=verbose, as_json=as_json)
    plan = read_sweep(file)
    runs = members(plan, file, config=config, assignments=assignments or [])
    used = (("--device", device), ("--gpu", gpu))
    store = store_of(plan.dataset, data_dir)
    place = Place(
        store=store.path,
        data_dir=data_dir,
        runs_dir=runs_dir,
        device=tuple(word for option, value in used if value for word in (option, value)),
    )
    ranks = Ranks(count=len(gpu_numbers(gpu)) if gpu else 1)
    prospects = look_ahead(runs, store, place, choose_device(device, gpu), ranks=ranks, progress=terminal)
    mine = prospects[part[0] - 1 :: part[1]] if part else prospects
    document: dict[str, Any] = {"sweep": str(file), "shard": part, "runs": story.rows(mine, {}), "makefile": None}
    try:
        require_startable(prospects, skip_senseless=plan.on_problem == "skip")
    except HgaError:
        terminal.show({**document, "runs": story.rows(prospects, {})}, people=_shown(story.rows(prospects, {})))
        raise
    if dry_run:
        return terminal.show(document, people=[*_shown(document["runs"]), "nothing was written"])
    if makefile:
        chosen = [one.member for one in mine if one.todo in (*OPEN, "nothing")]
        write_makefile(makefile, chosen, place)
        told = f"written: {makefile} with {len(chosen)} runs; next: make -k -j 2 -f {makefile}"
        return terminal.show({**document, "makefile": str(makefile)}, people=[told])
    endings = story.carry_out(mine, place, terminal)
    document["runs"] = story.rows(mine, endings)
    terminal.show(document, people=[*_shown(document["runs"]), f"next: hga report --leaderboard {runs_dir}"])
    if code := story.exit_code(endings):
        raise typer.Exit(code)
    return None


def _shown(rows: list[dict[str, Any]]) -> list[Any]:
    """Return a table with one line for each run, and below it why some cannot be, or failed."""
    lines = [
        [one["run"], one["todo"], one["result"] or "", "" if one["seconds"] is None else f"{one['seconds']:.0f}"]
        for one in rows
    ]
    states = {state: sum(state in (one["todo"], one["result"]) for one in rows) for state in TOLD}
    title = f"{len(rows)} runs" + "".join(f", {count} {state}" for state, count in states.items() if count)
    reasons = [f"{one['run']}: {one['reason']}" for one in rows if one["reason"]]
    return [table(["run", "to do", "result", "time (s)"], lines, title=title, numbers=1), *reasons]
