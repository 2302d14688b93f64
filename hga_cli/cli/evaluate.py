"""``hga evaluate``: how well a model does with every combination, or masks in a folder, or one run beside another."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hga_cli.cli import options
from hga_cli.cli.evaluate_parts import comparison_parts, metrics_parts
from hga_cli.cli.output import Terminal, reporting_errors
from hga_cli.cli.several_gpus import start_one_for_each
from hga_cli.cli.values import part_of
from hga_cli.core.errors import UsageError

if TYPE_CHECKING:
    import torch

    from hga_cli.core.run_folder import RunFolder
    from hga_cli.core.settings import Evaluation
    from hga_cli.engine.ranks import Ranks

EXAMPLES = (
    "Examples:  hga evaluate;  hga evaluate my-run --combinations flair+t2,flair;  "
    "hga evaluate my-run --split val --convention brats --json;  hga evaluate my-run --compare other-run;  "
    "hga evaluate --predictions masks --references labels --dataset brats"
)


@dataclass(frozen=True, kw_only=True)
class Question:
    """What is asked of runs."""

    dataset: str | None
    split: str
    combinations: str
    config: Path | None
    assignments: list[str]
    flags: dict[str, Any]

    def asked(self) -> dict[str, str | None]:
        """Return the options that only a run can answer."""
        return {
            "--split": _unlike(self.split, "test"),
            "--combinations": _unlike(self.combinations, "all"),
            "--dataset": self.dataset,
            "--convention": self.flags["evaluation.convention"],
        }

    def settings(self, run: "RunFolder | None" = None) -> "Evaluation":
        """Return how a run, or a folder of masks, is scored."""
        from hga_cli.core.config import resolve

        file = self.config or (run.config_file if run else None)
        return resolve(file=file, assignments=self.assignments, flags=self.flags).evaluation

    def folder(self, run: "RunFolder") -> Path:
        """Return where the answer about a run lies."""
        from hga_cli.core.config import resolve
        from hga_cli.workflows.evaluate import metrics_folder

        return metrics_folder(
            run,
            split=self.split,
            combinations=self.combinations,
            dataset=self.dataset,
            settings=self.settings(run),
            usual=resolve(file=run.config_file).evaluation,
        )


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a model is scored, and on which part of the cases."""

    device: "torch.device"
    ranks: "Ranks"
    part: tuple[int, int] | None


@reporting_errors
def run(
    run_name: Annotated[
        str | None, typer.Argument(metavar="RUN", help="Run, by name or folder (default: the latest finished).")
    ] = None,
    dataset: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|STORE",
            help="Another store (default: the one of the run); with --predictions, a data set or FILE.toml.",
        ),
    ] = None,
    split: Annotated[
        str, typer.Option(metavar="PART|NAME/PART", help="train, val or test of the split of the run, or of another.")
    ] = "test",
    combinations: Annotated[str, typer.Option(metavar="all|A+B,C", help="Combinations to score.")] = "all",
    scoring: Annotated[
        str | None,
        typer.Option("--convention", help="What empty structures score: hga, brats, diagonal, exclude (default: hga)."),
    ] = None,
    predictions: Annotated[
        Path | None, typer.Option(help="Folder of label maps to score, without a model; needs --references.")
    ] = None,
    references: Annotated[
        Path | None, typer.Option(help="Folder of the true label maps, with the same names as the predictions.")
    ] = None,
    other: Annotated[
        str | None,
        typer.Option(
            "--compare", metavar="RUN|DIR", help="Test RUN against this one; both are runs, or folders of metrics.json."
        ),
    ] = None,
    shard: Annotated[
        str | None, typer.Option(metavar="I/N", help="Score only part I of N; the last part to end writes the table.")
    ] = None,
    gpu: options.Gpus = None,
    device: options.Device = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Folder of metrics.json and .csv (default: in the run; of masks: scores)."),
    ] = None,
    data_dir: options.DataDir = options.DATA_DIR,
    config: options.ConfigFile = None,
    assignments: options.Assignments = None,
    runs_dir: options.RunsDir = options.RUNS_DIR,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
    as_json: options.AsJson = False,
    debug: options.Debug = False,
) -> None:
    """Score a model with every combination of modalities, or masks, on the original grid: Dice and HD95 per region."""
    del debug
    from hga_cli.core.orphans import follow_stdin
    from hga_cli.core.run_folder import find_run
    from hga_cli.engine.devices import choose_device
    from hga_cli.engine.ranks import is_rank, joined_ranks

    follow_stdin()
    part = part_of(shard)
    computing = {"--shard": shard, "--gpu": gpu, "--device": device}
    asking = {"RUN": run_name, "--split": _unlike(split, "test"), "--combinations": _unlike(combinations, "all")}
    _require_both({"--predictions": predictions, "--references": references})
    if predictions:
        _refuse("--predictions scores masks without a model", {**asking, "--compare": other, **computing})
    if other:
        _refuse("--compare reads what was scored before", computing)
    if (predictions or other) and is_rank():
        message = "--predictions and --compare are done by one process, this is one of several"
        raise UsageError(message, hint="leave out torchrun")
    terminal = Terminal(quiet=quiet, verbose=verbose, as_json=as_json)
    question = Question(
        dataset=dataset,
        split=split,
        combinations=combinations,
        config=config,
        assignments=assignments or [],
        flags={"evaluation.convention": scoring},
    )
    if predictions and references:
        settings = question.settings()
        terminal.detail(f"settings: {settings}")
        return _score_folders(predictions, references, dataset, settings, output or Path("scores"), terminal)
    if other:
        return _compare((run_name, other), runs_dir, question, output, terminal)
    chosen = choose_device(device, gpu)
    start_one_for_each(gpu)
    with joined_ranks(chosen) as ranks:
        folder = find_run(runs_dir, run_name, finished=True)
        place = Place(device=chosen, ranks=ranks, part=part)
        return _evaluate(question, folder, place, data_dir=data_dir, output=output, terminal=terminal)


def _unlike(value: str, default: str) -> str | None:
    return None if value == default else value


def _require_both(folders: dict[str, Path | None]) -> None:
    given = [name for name, value in folders.items() if value is not None]
    if len(given) == 1:
        message = f"{given[0]} needs {next(name for name in folders if name not in given)}"
        raise UsageError(message, hint="name both folders of masks: --predictions DIR --references DIR")


def _refuse(why: str, others: dict[str, str | None]) -> None:
    """Refuse options that would have no effect."""
    given = [name for name, value in others.items() if value is not None]
    if given:
        message = f"{why}, so {given[0]} has no meaning"
        raise UsageError(message, hint=f"leave out {given[0]}, or {why.split()[0]}")


def _score_folders(
    predictions: Path,
    references: Path,
    dataset: str | None,
    settings: "Evaluation",
    target: Path,
    terminal: Terminal,
) -> None:
    from hga_cli.data.raw.description import load_description
    from hga_cli.metrics.conventions import convention
    from hga_cli.workflows.evaluate import versions, write_metrics
    from hga_cli.workflows.score_folders import score_folders

    document = score_folders(
        predictions,
        references,
        load_description(dataset) if dataset else None,
        convention(settings.convention, settings.hd95),
        settings=settings,
        progress=terminal,
    )
    about = {"predictions": str(predictions), "references": str(references), "dataset": dataset}
    document = {**about, **document, "versions": versions()}
    paths = write_metrics(target, document, latex=settings.latex)
    terminal.show(document, people=metrics_parts(document, paths))


def _compare(
    names: tuple[str | None, str], runs_dir: Path, question: Question, output: Path | None, terminal: Terminal
) -> None:
    from hga_cli.core.atomic import write_json
    from hga_cli.core.run_folder import find_run
    from hga_cli.workflows.compare import compare, evaluation_at, file_name, read_metrics

    folders = [evaluation_at(name, runs_dir) if name else None for name in names]
    if all(folders):
        _refuse("--compare of two folders reads what they hold", question.asked())
    named = list[tuple[str, Path]]()
    for name, folder in zip(names, folders, strict=True):
        if folder:
            named.append((str(name), folder))
        else:
            run = find_run(runs_dir, name, finished=True)
            named.append((run.name, question.folder(run)))
    (title, place), (other_title, _) = named
    first, second = (read_metrics(folder) for _, folder in named)
    found = compare(first, second, skip=question.settings().unpaired == "skip")
    document = {"first": title, "second": other_title, "split": first.get("split"), **found}
    path = (output or place) / file_name(other_title)
    write_json(path, document)
    terminal.show(document, people=comparison_parts(document, path))


def _evaluate(
    question: Question,
    run: "RunFolder",
    place: Place,
    *,
    data_dir: Path,
    output: Path | None,
    terminal: Terminal,
) -> None:
    from hga_cli.core.combinations import parse_combinations
    from hga_cli.core.progress import Silent
    from hga_cli.engine.inference import load_model
    from hga_cli.metrics.conventions import convention
    from hga_cli.workflows import evaluate as story
    from hga_cli.workflows.kept_scores import FOLDER, forget
    from hga_cli.workflows.leakage import require_new
    from hga_cli.workflows.models import checkpoint_of
    from hga_cli.workflows.stores import store_of

    settings, ranks, part = question.settings(run), place.ranks, place.part
    progress = terminal if ranks.is_first else Silent()
    if ranks.is_first:
        terminal.detail(f"settings: {settings}")
    checkpoint = checkpoint_of(run, settings.checkpoint)
    model = load_model(checkpoint, place.device)
    store = store_of(question.dataset, data_dir, run)
    cases = story.part_of_split(store, question.split, model.config.data.split)
    chosen = parse_combinations(question.combinations, model.modalities)
    rule = convention(settings.convention, settings.hd95)
    if question.split.rpartition("/")[2] != "train":
        require_new(cases, model, store, run=run, checkpoint=checkpoint, progress=progress)
    progress.say(f"run {run.name}, {len(cases)} cases of '{question.split}', on {model.device}")
    target = output or question.folder(run)
    keep_in = target / FOLDER
    if part or ranks.count > 1:
        how = story.scoring(chosen, rule, settings)
        missing = story.evaluate_shard(
            model, store, cases, how, keep_in=keep_in, shard=part or (1, 1), ranks=ranks, progress=progress
        )
        if not ranks.is_first:
            return None
        if part and missing:
            text = f"part {part[0]} of {part[1]} is done; {len(missing)} of {len(cases)} cases wait for other parts"
            return terminal.show({"shard": list(part), "missing": missing}, people=[f"{text}, kept in '{keep_in}'"])
        progress = progress if missing else Silent()
    document = story.evaluate(model, store, cases, chosen, rule, settings=settings, keep_in=keep_in, progress=progress)
    origin = story.origin(model, checkpoint, store, question.split, settings)
    document = {"run": run.name, "split": question.split, **document, "origin": origin}
    paths = story.write_metrics(target, document, latex=settings.latex)
    forget(keep_in)
    return terminal.show(document, people=metrics_parts(document, paths))
