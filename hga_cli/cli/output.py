"""What people and scripts see. Results on stdout, everything else on stderr."""

import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from typing import Any, ParamSpec

import typer
from rich.console import Console, RenderableType
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table

from hga_cli.core.atomic import to_json
from hga_cli.core.errors import DataError, HgaError, Problem, ProblemsError, exit_code_of

Parameters = ParamSpec("Parameters")


class Terminal:
    """Tells what a workflow does (``hga_cli.core.progress.Progress``) and shows its result.

    On a terminal there is a bar with the time left; in a log, a plain line now and then.

    Args:
        quiet: only results and errors.
        verbose: also details, such as settings.
        as_json: the result as one JSON document.
    """

    def __init__(self, *, quiet: bool = False, verbose: bool = False, as_json: bool = False) -> None:
        self._as_json = as_json
        self._verbose = verbose
        self._quiet = quiet
        self._stdout = Console(soft_wrap=True)
        self._stderr = Console(stderr=True, soft_wrap=True)
        self._bar: Progress | None = None
        self._task = TaskID(0)
        self._title, self._total, self._done = "", 0, 0

    def say(self, text: str) -> None:
        """Tell one line."""
        if not self._quiet:
            self._stderr.print(escape(text))

    def detail(self, text: str) -> None:
        """Tell one line that only the curious want."""
        if self._verbose:
            self._stderr.print(escape(text), highlight=False)

    def warn(self, text: str) -> None:
        """Tell one line that should not be overlooked."""
        self._stderr.print(f"[yellow]warning:[/] {escape(text)}")

    def start(self, title: str, total: int, done: int = 0) -> None:
        """Begin a stage."""
        self._title, self._total, self._done = title, total, done
        if self._quiet or not self._stderr.is_terminal:
            return
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
            console=self._stderr,
        )
        self._task = self._bar.add_task(title, total=total, completed=done, note="")
        self._bar.start()

    def advance(self, note: str = "") -> None:
        """One more part is finished."""
        self._done += 1
        if self._bar is not None:
            self._bar.update(self._task, advance=1, note=escape(note))
        elif not self._quiet and (self._done == self._total or self._done % max(1, self._total // 20) == 0):
            self._stderr.print(escape(f"{self._title} {self._done}/{self._total}  {note}"))

    def finish(self) -> None:
        """The stage is over."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def show(self, document: dict[str, Any], *, people: Sequence[RenderableType]) -> None:
        """Show the result: the document for scripts, or what is made for people."""
        if self._as_json:
            self._stdout.print(to_json(document), markup=False, highlight=False)
            return
        for part in people:
            self._stdout.print(escape(part) if isinstance(part, str) else part, highlight=False)

    def show_file(self, text: str, document: dict[str, Any]) -> None:
        """Show a text to the last byte, so that ``> FILE`` keeps it; or the document for scripts."""
        if self._as_json:
            self.show(document, people=[])
        else:
            typer.echo(text, nl=False)


def table(columns: Sequence[str], rows: Sequence[Sequence[str]], *, title: str = "", numbers: int = 0) -> Table:
    """Return a table; the last ``numbers`` columns are aligned to the right."""
    made = Table(title=title or None, title_justify="left", header_style="bold")
    for index, name in enumerate(columns):
        right = index >= len(columns) - numbers
        made.add_column(name, justify="right" if right else "left", no_wrap=right, overflow="fold")
    for row in rows:
        made.add_row(*(escape(cell) for cell in row))
    return made


def reporting_errors(command: Callable[Parameters, None]) -> Callable[Parameters, None]:
    """Turn errors of a command into text on stderr and an exit code. ``debug=True`` shows the traceback too."""

    @wraps(command)
    def guarded(*args: Parameters.args, **options: Parameters.kwargs) -> None:
        with _reported(debug=bool(options.get("debug")), as_json=bool(options.get("as_json"))):
            command(*args, **options)

    return guarded


@contextmanager
def _reported(*, debug: bool, as_json: bool) -> Iterator[None]:
    console = Console(stderr=True, soft_wrap=True)
    try:
        yield
    except HgaError as error:
        if debug:
            console.print(traceback.format_exc(), markup=False, highlight=False)
        _tell(error, console, as_json=as_json)
        raise typer.Exit(exit_code_of(error)) from None
    except OSError as error:
        if debug:
            console.print(traceback.format_exc(), markup=False, highlight=False)
        message = f"'{error.filename}': {error.strerror}" if error.filename else str(error)
        _tell(
            DataError(message, hint="check that the folder exists, may be written, and has room"),
            console,
            as_json=False,
        )
        raise typer.Exit(exit_code_of(error)) from None
    except KeyboardInterrupt as error:
        from hga_cli.core.orphans import interruption_is_heard

        interruption_is_heard()
        console.print("interrupted; what was finished is kept ('hga train --resume' continues a training)")
        raise typer.Exit(exit_code_of(error)) from None


def _tell(error: HgaError, console: Console, *, as_json: bool) -> None:
    if isinstance(error, ProblemsError):
        if as_json:
            document = {"problems": [problem.as_dict() for problem in error.problems]}
            Console(soft_wrap=True).print(to_json(document), markup=False, highlight=False)
        console.print(problem_table(error.problems))
    console.print(f"[bold red]error:[/] {escape(error.message)}", highlight=False)
    if error.hint:
        console.print(f"[bold]hint:[/] {escape(error.hint)}", highlight=False)


def problem_table(problems: Sequence[Problem]) -> Table:
    """Return all problems as one table."""
    return table(["case", "file", "problem"], [[one.case, one.file, one.problem] for one in problems])
