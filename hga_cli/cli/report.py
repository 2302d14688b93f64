"""``hga report``: pages that show what runs reached."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from hga_cli.cli import options
from hga_cli.cli.output import Terminal, reporting_errors
from hga_cli.core.errors import UsageError

EXAMPLES = (
    "Examples:  hga report my-run;  hga report my-run --combination flair+t2 -o page.html;  "
    "hga report my-run other-run -o comparison.html;  hga report --leaderboard runs"
)


@reporting_errors
def run(
    run_names: Annotated[
        list[str] | None, typer.Argument(metavar="RUN...", help="Runs, by name or folder.", show_default=False)
    ] = None,
    leaderboard: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Rank all runs of a folder instead: one page, JSON, CSV and charts (there, or at -o); the only use of "
            "-c and --set here, for evaluation.latex.",
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE.html",
            help="The page (default: report.html in the run); with several runs the one that compares them "
            "(default: comparison.html beside the first run).",
        ),
    ] = None,
    combination: Annotated[
        str | None,
        typer.Option(metavar="A+B", help="What the shown cases are predicted from (default: all they have)."),
    ] = None,
    dataset: Annotated[
        str | None, typer.Option(metavar="NAME|STORE", help="Where the store is now (default: where it was).")
    ] = None,
    gpu: options.Gpu = None,
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
    """Write an HTML page for each run, and with several runs one that compares them. The pages load nothing."""
    del debug
    terminal = Terminal(quiet=quiet, verbose=verbose, as_json=as_json)
    if leaderboard is not None:
        needless = {"RUN": run_names, "--combination": combination, "--dataset": dataset, "--gpu": gpu}
        _refuse({**needless, "--device": device})
        return _rank(leaderboard, output, config, assignments or [], terminal)
    if not run_names:
        message = "no run named"
        raise UsageError(message, hint="name runs: hga report RUN; or rank all of a folder: --leaderboard runs")
    if config is not None or assignments:
        message = "--config and --set change nothing here: cases are shown as they were scored"
        raise UsageError(message, hint="leave them out; 'hga evaluate RUN --set ...' scores in another way")
    from hga_cli.core.run_folder import find_run
    from hga_cli.engine.devices import choose_device
    from hga_cli.workflows.report import report
    from hga_cli.workflows.report_material import Wishes

    folders = [find_run(runs_dir, name, finished=False) for name in run_names]
    place = choose_device(device, gpu)
    terminal.detail(f"cases are predicted on {place}")
    wishes = Wishes(device=place, data_dir=data_dir, dataset=dataset, combination=combination)
    document = report(folders, output, wishes, terminal)
    pages = [*document["pages"], *([document["comparison"]] if document["comparison"] else [])]
    for page in pages:
        for reason in page["not_shown"]:
            terminal.warn(f"{page['file']}: not shown: {reason}")
    return terminal.show(document, people=_for_people(pages))


def _refuse(others: dict[str, object]) -> None:
    """Refuse options that say nothing about a leaderboard."""
    given = [name for name, value in others.items() if value]
    if given:
        message = f"--leaderboard ranks all runs of a folder by their scores, so {given[0]} has no meaning"
        raise UsageError(message, hint=f"leave out {given[0]}, or --leaderboard")


def _rank(folder: Path, output: Path | None, config: Path | None, assignments: list[str], terminal: Terminal) -> None:
    from hga_cli.cli.leaderboard_parts import leaderboard_parts
    from hga_cli.core.config import resolve
    from hga_cli.workflows.leaderboard import leaderboard

    settings = resolve(file=config, assignments=assignments).evaluation
    document = leaderboard(folder, output, latex=settings.latex)
    terminal.show(document, people=leaderboard_parts(document))


def _for_people(pages: Sequence[dict[str, Any]]) -> list[str]:
    return [f"written: {page['file']} ({page['bytes'] / 1e6:.1f} MB): open it in a browser" for page in pages]
