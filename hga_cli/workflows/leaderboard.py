"""From a folder of runs to the tables that rank them, as a page and as files."""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hga_cli.core.atomic import write_json, write_text
from hga_cli.core.digest import digest
from hga_cli.core.errors import DataError, UsageError
from hga_cli.reporting.heat_map import is_known
from hga_cli.reporting.leaderboard_charts import chart_files
from hga_cli.reporting.leaderboard_page import leaderboard_page
from hga_cli.reporting.page import GENERATOR
from hga_cli.workflows.leaderboard_curves import curve_of
from hga_cli.workflows.leaderboard_entry import ALL_REGIONS, Entry, Scored, baseline_of, different
from hga_cli.workflows.leaderboard_papers import csv_text, latex_text
from hga_cli.workflows.leaderboard_runs import gathered


def leaderboard(runs_dir: Path, output: Path | None = None, *, latex: bool = False) -> dict[str, Any]:
    """Rank the runs of a folder, and write a page, JSON and CSV of one name, perhaps LaTeX, and charts as SVG.

    Runs that differ in their seed only are one entry. Runs on other data, another split, other combinations, or scored
    by other rules stand in tables of their own: their numbers say nothing about each other.

    Args:
        runs_dir: where runs are.
        output: the page; None: ``leaderboard.html`` in that folder.
        latex: also write ``.tex``.

    Returns:
        ``boards``: for each kind of question ``title``, ``dataset``, ``split``, ``conventions``, ``modalities``,
        ``regions``, ``cases`` and ``entries``, the best first, each with its ``curve`` (see ``curve_of``) and, where it
        has a baseline, ``other_settings``, in which the two differ beyond method and balancer (key -> both values);
        ``left_out``: runs that are not ranked, or not in all columns, and why; ``files``: what was written.

    Raises:
        DataError: no run can be ranked, or something else than a page of ours is there.
        UsageError: the output is no HTML file.
    """
    target = output or runs_dir / "leaderboard.html"
    files = [target.with_suffix(ending) for ending in (".html", ".json", ".csv", *([".tex"] if latex else []))]
    _require_free(target, files)
    found, left_out = gathered(runs_dir)
    document: dict[str, Any] = {"boards": _boards(found, left_out), "left_out": left_out}
    charts = {target.with_name(name): text for name, text in chart_files(document["boards"], target.stem).items()}
    _require_free(target, list(charts))
    papers = {"leaderboard.tex": latex_text(document), "leaderboard.csv": csv_text(document)}
    page, as_json, as_csv, *as_tex = files
    write_text(page, leaderboard_page(document, papers))
    write_json(as_json, document)
    write_text(as_csv, papers["leaderboard.csv"])
    for path, text in {**dict.fromkeys(as_tex, papers["leaderboard.tex"]), **charts}.items():
        write_text(path, text)
    return {**document, "files": [str(path) for path in (*files, *charts)]}


def _boards(found: Sequence[tuple[Scored, dict[str, Any]]], left_out: list[dict[str, str]]) -> list[dict[str, Any]]:
    """Return a table for each kind of question, those with most runs first."""
    groups: dict[str, list[Scored]] = defaultdict(list)
    stores: dict[str, str] = {}
    for run, data in found:
        question = _question(run, data)
        groups[question].append(run)
        stores.setdefault(question, Path(data["dataset"]).name)
    boards = [
        _board(stores[question], runs, left_out)
        for question, runs in sorted(groups.items(), key=lambda one: -len(one[1]))
    ]
    titles = [board["title"] for board in boards]
    for number, board in enumerate(boards):
        if titles.count(board["title"]) > 1:
            board["title"] += f" (other cases or rules, {titles[: number + 1].count(board['title'])})"
    return boards


def _question(run: Scored, data: dict[str, Any]) -> str:
    """Return a hash that runs share whose scores can be compared: same cases, same split, same rules."""
    metrics = run.metrics
    asked = [metrics["split"], metrics["origin"]["split"], metrics["conventions"], sorted(metrics["combinations"])]
    return digest([data["cases"] or data["dataset"], asked])


def _board(store: str, runs: Sequence[Scored], left_out: list[dict[str, str]]) -> dict[str, Any]:
    metrics = runs[0].metrics
    split = f"{metrics['origin']['split']['name']}/{metrics['origin']['split']['part']}"
    entries = _entries(runs, left_out)
    return {
        "title": f"{store}, {split}, convention {metrics['conventions']['name']}",
        "dataset": store,
        "split": split,
        "conventions": metrics["conventions"],
        "modalities": metrics["modalities"],
        "regions": list(metrics["mean"]),
        "cases": len({row["case"] for row in metrics["cases"]}),
        "entries": sorted(_told(entries), key=lambda one: -one["dice"] if is_known(one["dice"]) else 1.0),
    }


def _entries(runs: Sequence[Scored], left_out: list[dict[str, str]]) -> list[Entry]:
    """Return runs that differ in their seed only together; a second run of one seed adds nothing."""
    kinds: dict[str, dict[int, Scored]] = defaultdict(dict)
    for run in runs:
        first = kinds[run.kind].setdefault(run.seed, run)
        if first is not run:
            left_out.append({"run": run.name, "reason": f"the same settings and seed as run '{first.name}'"})
    return [Entry([of_seed[seed] for seed in sorted(of_seed)]) for of_seed in kinds.values()]


def _told(entries: Sequence[Entry]) -> list[dict[str, Any]]:
    """Return what is shown of each entry."""
    alike = defaultdict[str, list[Entry]](list)
    for entry in entries:
        alike[str(entry.columns)].append(entry)
    labels = [_label(entry, entries, alike[str(entry.columns)]) for entry in entries]
    baselines = [baseline_of(entry, entries) for entry in entries]
    differences = [
        entry.against(baseline) if baseline else {} for entry, baseline in zip(entries, baselines, strict=True)
    ]
    return [
        {
            "label": label,
            **entry.columns,
            **entry.numbers(),
            "curve": curve_of(entry),
            "baseline": labels[entries.index(baseline)] if baseline else None,
            "is_baseline": entry.is_baseline,
            "other_settings": different(entry, baseline) if baseline else {},
            "difference": found[ALL_REGIONS]["dice"] if found else None,
            "differences": found,
        }
        for entry, label, baseline, found in zip(entries, labels, baselines, differences, strict=True)
    ]


def _label(entry: Entry, entries: Sequence[Entry], alike: Sequence[Entry]) -> str:
    """Return a name that says in what an entry differs from the others: its method, and what else varies."""
    usual = [
        value
        for key, value in entry.columns.items()
        if key == "method" or len({other.columns[key] for other in entries}) > 1
    ]
    keys = [key for key in entry.settings if len({str(other.settings.get(key)) for other in alike}) > 1]
    return " ".join([*usual, *(f"{key}={entry.settings[key]}" for key in keys)])


def _require_free(target: Path, files: Sequence[Path]) -> None:
    """Refuse to replace files that no leaderboard wrote.

    Raises:
        UsageError: the page has no name that ends in ``.html``.
        DataError: something else is there.
    """
    if target.suffix != ".html":
        message = f"'{target}': a leaderboard is an HTML page"
        raise UsageError(message, hint="name a file that ends in .html: -o leaderboard.html")
    if target.is_file() and GENERATOR.encode() in target.read_bytes():
        return
    taken = [path for path in files if path.exists()]
    if taken:
        message = f"'{taken[0]}' is there already, and belongs to no page of 'hga report'"
        raise DataError(message, hint="choose another file: -o leaderboard.html")
