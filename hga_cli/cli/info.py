"""``hga info``: what is inside a store or a run, what can be chosen by name, and a first description of raw data."""

from pathlib import Path
from typing import Annotated, Any

import typer

from hga_cli.cli import options
from hga_cli.cli.info_backbones import abilities_table, facts_document, facts_text
from hga_cli.cli.info_parts import overview_parts, run_parts, store_parts
from hga_cli.cli.output import Terminal, reporting_errors, table
from hga_cli.core.errors import UsageError
from hga_cli.core.names import KINDS, listed, text_of

EXAMPLES = (
    "Examples:  hga info;  hga info brats -v;  hga info my-run;  hga info methods;  hga info methods hga > mine.toml;  "
    "hga info --describe raw/mine > mine.toml"
)


@reporting_errors
def run(
    what: Annotated[
        str | None,
        typer.Argument(help=f"A store, a run, settings, or one of: {', '.join(KINDS)} (default: what there is)."),
    ] = None,
    name: Annotated[str | None, typer.Argument(help="Of the names of a kind, the one to show in full.")] = None,
    describe: Annotated[
        Path | None,
        typer.Option(metavar="RAW_DIR", help="Draft the description (--dataset) of a raw folder, as TOML."),
    ] = None,
    data_dir: options.DataDir = options.DATA_DIR,
    runs_dir: options.RunsDir = options.RUNS_DIR,
    config: options.ConfigFile = None,
    assignments: options.Assignments = None,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
    as_json: options.AsJson = False,
    debug: options.Debug = False,
) -> None:
    """Show what is inside a store or a run, who misses what, and everything that can be chosen by name."""
    del debug
    terminal = Terminal(quiet=quiet, verbose=verbose, as_json=as_json)
    _refuse_contradictions(what, name, describe, has_settings=config is not None or bool(assignments))
    if describe is not None:
        _draft(describe, terminal)
    elif what == "settings":
        _settings(config, assignments or [], terminal)
    elif what in KINDS and name is not None:
        _one_name(what, name, terminal)
    elif what in KINDS:
        _names(what, terminal)
    elif what is None:
        _overview(data_dir, runs_dir, terminal)
    else:
        _place(what, data_dir, runs_dir, terminal, verbose=verbose)


def _refuse_contradictions(what: str | None, name: str | None, describe: Path | None, *, has_settings: bool) -> None:
    if describe is not None and what is not None:
        message = f"--describe drafts a description and shows nothing of '{what}'"
        raise UsageError(message, hint=f"hga info --describe {describe}, or hga info {what}")
    if name is not None and what not in KINDS:
        message = f"'{what}' has no names of which '{name}' could be one"
        raise UsageError(message, hint=f"leave '{name}' out; kinds with names: {', '.join(KINDS)}")
    if has_settings and what != "settings":
        message = "--config and --set change nothing here"
        raise UsageError(message, hint="leave them out; what they add up to: hga info settings -c FILE.toml")


def _draft(raw: Path, terminal: Terminal) -> None:
    from hga_cli.data.raw.draft import draft

    made = draft(raw)
    for hint in made.hints:
        terminal.warn(hint)
    terminal.show_file(made.text, {"toml": made.text, "hints": made.hints})
    terminal.say(f"read it, keep it as a file, then: hga preprocess {raw} --dataset FILE.toml")


def _settings(config: Path | None, assignments: list[str], terminal: Terminal) -> None:
    from hga_cli.core.config import dump, resolve, to_toml

    resolved = resolve(file=config, assignments=assignments, progress=terminal)
    terminal.show_file(to_toml(resolved), dump(resolved))


def _one_name(kind: str, name: str, terminal: Terminal) -> None:
    text = text_of(kind, name)
    document: dict[str, Any] = {"kind": kind, "name": name, "text": text}
    if kind == "backbones":
        text += facts_text(name)
        document |= {"text": text, **facts_document(name)}
    terminal.show_file(text, document)


def _names(kind: str, terminal: Terminal) -> None:
    found = listed(kind)
    rows = [[one.name, one.summary, one.source] for one in found]
    if not any(one.source for one in found):
        rows = [row[:2] for row in rows]
    made = table([kind, "what it is", "source"][: len(rows[0]) if rows else 2], rows)
    more = f"one in full: hga info {kind} {found[0].name}" if found else f"there are no {kind}"
    documents: list[dict[str, Any]] = [{**one.as_dict()} for one in found]
    if kind == "backbones":
        documents = [{**one, **facts_document(one["name"])} for one in documents]
    parts = [made, *([abilities_table()] if kind == "backbones" else [])] if found else []
    terminal.show({kind: documents}, people=[*parts, more])


def _overview(data_dir: Path, runs_dir: Path, terminal: Terminal) -> None:
    from hga_cli.workflows.info import overview

    document = overview(data_dir, runs_dir)
    terminal.show(document, people=overview_parts(document, data_dir, runs_dir))


def _place(what: str, data_dir: Path, runs_dir: Path, terminal: Terminal, *, verbose: bool) -> None:
    from hga_cli.core.run_folder import RunFolder
    from hga_cli.workflows.info import describe_run, describe_store, find
    from hga_cli.workflows.split import unusable_splits

    found = find(what, data_dir, runs_dir)
    if isinstance(found, RunFolder):
        document = describe_run(found)
        terminal.show(document, people=run_parts(document))
    else:
        document = {**describe_store(found), "unusable_splits": unusable_splits(found)}
        terminal.show(document, people=store_parts(document, verbose=verbose))
