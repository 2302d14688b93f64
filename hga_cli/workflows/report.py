"""From runs to pages that show what they reached: one for each run, and one that compares them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hga_cli.core.atomic import write_text
from hga_cli.core.errors import DataError, HgaError, UsageError
from hga_cli.core.progress import Progress, Silent
from hga_cli.core.run_folder import RunFolder
from hga_cli.reporting.comparison_page import comparison_page
from hga_cli.reporting.facts import Document, RunFacts
from hga_cli.reporting.page import GENERATOR
from hga_cli.reporting.run_page import run_page
from hga_cli.reporting.texts import csv_of
from hga_cli.workflows.compare import compare
from hga_cli.workflows.report_material import Wishes, facts_of, material_of


def report(
    runs: Sequence[RunFolder], output: Path | None, wishes: Wishes, progress: Progress | None = None
) -> dict[str, Any]:
    """Write a page for each run, and with several runs one that compares the others with the first.

    What cannot be shown (no evaluation, the store is gone, ...) is said on the page, and in ``not_shown``.

    Args:
        runs: finished or not.
        output: the page of the only run, or the one that compares; None: ``report.html`` in the run, or
            ``comparison.html`` beside the first run.
        wishes: which store, device and combination.
        progress: is told each case that is predicted.

    Returns:
        ``pages``: for each run ``run``, ``file``, ``bytes``, ``cases`` (that are shown) and ``not_shown`` (why
        something is not); ``comparison``: the same with ``runs`` instead, or None.

    Raises:
        DataError: a file of a run is damaged, or something else than a page of ours is where one would be written.
        UsageError: a run is named twice, the output is no HTML file, or nobody was scored with the combination.
    """
    named = _titled(runs)
    several = len(runs) > 1
    pages = {title: run.path / "report.html" for title, run in named.items()}
    if output is not None and not several:
        pages = dict.fromkeys(pages, output)
    comparison = (output or runs[0].path.parent / "comparison.html") if several else None
    for target in (*pages.values(), *([comparison] if comparison else [])):
        _require_page(target)
    facts = {title: facts_of(run) for title, run in named.items()}
    progress = progress or Silent()
    return {
        "pages": [_page(facts[title], run, pages[title], wishes, progress) for title, run in named.items()],
        "comparison": _comparison(facts, comparison) if comparison else None,
    }


def _page(facts: RunFacts, run: RunFolder, target: Path, wishes: Wishes, progress: Progress) -> dict[str, Any]:
    material = material_of(facts, run, wishes, progress)
    write_text(target, run_page(material))
    errors = [part for part in (material.examples, material.presence) if isinstance(part, HgaError)]
    examples = () if isinstance(material.examples, HgaError) else material.examples
    return {
        "run": run.name,
        **_written(target),
        "cases": [example.choice.case for example in examples],
        "not_shown": list(dict.fromkeys(error.message for error in errors)),
    }


def _comparison(facts: dict[str, RunFacts], target: Path) -> dict[str, Any]:
    first, *others = facts
    differences = {title: _difference(facts[title], facts[first]) for title in others}
    evaluated = {title: one.metrics for title, one in facts.items() if one.metrics}
    papers = {"comparison.csv": csv_of(evaluated)} if evaluated else {}
    write_text(target, comparison_page(facts, differences, papers))
    errors = {title: one.message for title, one in differences.items() if isinstance(one, HgaError)}
    reasons = [f"{title} - {first}: {message}" for title, message in errors.items()]
    return {"runs": list(facts), **_written(target), "not_shown": reasons}


def _written(target: Path) -> dict[str, Any]:
    return {"file": str(target), "bytes": target.stat().st_size}


def _difference(facts: RunFacts, first: RunFacts) -> Document | HgaError:
    """Return the paired differences of a run and the first one, or why there are none."""
    if facts.metrics is None or first.metrics is None:
        name = (facts if facts.metrics is None else first).name
        message = f"run '{name}' was not evaluated"
        return DataError(message, hint=f"hga evaluate {name}")
    try:
        return compare(facts.metrics, first.metrics, skip=True)
    except DataError as error:
        return error


def _titled(runs: Sequence[RunFolder]) -> dict[str, RunFolder]:
    """Return a title for each run: its name, or the path where names are the same.

    Raises:
        UsageError: a run is named twice.
    """
    folders = [run.path.resolve() for run in runs]
    twice = [run.name for run, folder in zip(runs, folders, strict=True) if folders.count(folder) > 1]
    if twice:
        message = f"run '{twice[0]}' is named twice"
        raise UsageError(message, hint="name each run once")
    names = [run.name for run in runs]
    return {run.name if names.count(run.name) == 1 else str(run.path): run for run in runs}


def _require_page(target: Path) -> None:
    """Refuse to replace a file that is no page of ours.

    Raises:
        UsageError: its name does not end in ``.html``.
        DataError: something else is there.
    """
    if target.suffix.lower() != ".html":
        message = f"'{target}': a report is an HTML page"
        raise UsageError(message, hint="name a file that ends in .html: -o page.html")
    if target.is_dir() or (target.exists() and GENERATOR.encode() not in target.read_bytes()):
        message = f"'{target}' is there already, and is no page of 'hga report'"
        raise DataError(message, hint="choose another file: -o page.html")
