"""``hga evaluate``: how well a model does with every combination, or masks in a folder, or one run beside another."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hga_cli.cli import options
from hga_cli.cli.evaluate_parts import comparison_parts, metrics_parts
from hga_cli.cli.output import Terminal, reporting_errors
from hga_cli.cli.values import part_of
from hga_cli.core.errors import UsageError

if TYPE_CHECKING:
    from hga_cli.core.run_folder import RunFolder
    from hga_cli.core.settings import Evaluation

EXAMPLES = (
    "Examples:  hga evaluate;  hga evaluate my-run --combinations flair+t2,flair;  "
    "hga evaluate my-run --split val --convention brats --json;  hga evaluate my-run --compare other-run;  "
    "hga evaluate --predictions masks --references labels --dataset brats"
)


@dataclass(frozen=True, kw_only=True)
class Question:
    """What is asked of a run."""

    run: "RunFolder"
    dataset: str | None
    split: str
    combinations: str
    settings: "Evaluation"
    usual: "Evaluation"
    """The settings of the run itself."""

    def folder(self, run: "RunFolder") -> Path:
        """Return where the answer about ``run`` lies."""
        from hga_cli.workflows.evaluate import metrics_folder

        return metrics_folder(
            run,
            split=self.split,
            combinations=self.combinations,
            dataset=self.dataset,
            settings=self.settings,
            usual=self.usual,
        )


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
        typer.Option("--compare", metavar="RUN", help="Test RUN against this one; both were evaluated before."),
    ] = None,
    shard: Annotated[
        str | None, typer.Option(metavar="I/N", help="Score only part I of N; the last part to end writes the table.")
    ] = None,
    gpu: options.Gpu = None,
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
    from hga_cli.core.config import resolve
    from hga_cli.core.run_folder import find_run

    part = part_of(shard)
    computing = {"--shard": shard, "--gpu": gpu, "--device": device}
    asking = {"RUN": run_name, "--split": _unlike(split, "test"), "--combinations": _unlike(combinations, "all")}
    _require_both({"--predictions": predictions, "--references": references})
    if predictions:
        _refuse("--predictions scores masks without a model", {**asking, "--compare": other, **computing})
    if other:
        _refuse("--compare reads what was scored before", computing)
    terminal = Terminal(quiet=quiet, verbose=verbose, as_json=as_json)
    flags = {"evaluation.convention": scoring}
    if predictions and references:
        settings = resolve(file=config, assignments=assignments or [], flags=flags).evaluation
        terminal.detail(f"settings: {settings}")
        return _score_folders(predictions, references, dataset, settings, output or Path("scores"), terminal)
    folder = find_run(runs_dir, run_name, finished=True)
    settings = resolve(file=config or folder.config_file, assignments=assignments or [], flags=flags).evaluation
    terminal.detail(f"settings: {settings}")
    question = Question(
        run=folder,
        dataset=dataset,
        split=split,
        combinations=combinations,
        settings=settings,
        usual=resolve(file=folder.config_file).evaluation,
    )
    if other:
        return _compare(question, find_run(runs_dir, other, finished=True), output, terminal)
    return _evaluate(question, data_dir, output or question.folder(folder), part, (device, gpu), terminal)


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
        convention(settings.convention),
        settings=settings,
        progress=terminal,
    )
    about = {"predictions": str(predictions), "references": str(references), "dataset": dataset}
    document = {**about, **document, "versions": versions()}
    paths = write_metrics(target, document, latex=settings.latex)
    terminal.show(document, people=metrics_parts(document, paths))


def _compare(question: Question, second: "RunFolder", output: Path | None, terminal: Terminal) -> None:
    from hga_cli.core.atomic import write_json
    from hga_cli.workflows.compare import compare, read_metrics

    first = question.run
    folders = question.folder(first), question.folder(second)
    found = compare(*map(read_metrics, folders))
    document = {"first": first.name, "second": second.name, "split": question.split, **found}
    path = (output or folders[0]) / f"comparison-with-{second.name}.json"
    write_json(path, document)
    terminal.show(document, people=comparison_parts(document, path))


def _evaluate(
    question: Question,
    data_dir: Path,
    target: Path,
    part: tuple[int, int] | None,
    place: tuple[str | None, str | None],
    terminal: Terminal,
) -> None:
    from hga_cli.core.combinations import parse_combinations
    from hga_cli.engine.devices import choose_device
    from hga_cli.engine.inference import load_model
    from hga_cli.metrics.conventions import convention
    from hga_cli.workflows import evaluate as story
    from hga_cli.workflows.kept_scores import forget
    from hga_cli.workflows.leakage import require_new
    from hga_cli.workflows.models import checkpoint_of
    from hga_cli.workflows.stores import store_of

    settings, run = question.settings, question.run
    checkpoint = checkpoint_of(run, settings.checkpoint)
    model = load_model(checkpoint, choose_device(*place))
    store = store_of(question.dataset, data_dir, run)
    cases = story.part_of_split(store, question.split, model.config.data.split)
    chosen, rule = parse_combinations(question.combinations, model.modalities), convention(settings.convention)
    if question.split.rpartition("/")[2] != "train":
        require_new(cases, model, store, run=run, checkpoint=checkpoint, progress=terminal)
    terminal.say(f"run {run.name}, {len(cases)} cases of '{question.split}', on {model.device}")
    keep_in = target / "scores"
    if part:
        how = story.scoring(chosen, rule, settings)
        missing = story.evaluate_shard(model, store, cases, how, shard=part, keep_in=keep_in, progress=terminal)
        if missing:
            text = f"part {part[0]} of {part[1]} is done; {len(missing)} of {len(cases)} cases wait for other parts"
            return terminal.show({"shard": list(part), "missing": missing}, people=[f"{text}, kept in '{keep_in}'"])
    document = story.evaluate(model, store, cases, chosen, rule, settings=settings, keep_in=keep_in, progress=terminal)
    origin = story.origin(model, checkpoint, store, question.split, settings)
    document = {"run": run.name, "split": question.split, **document, "origin": origin}
    paths = story.write_metrics(target, document, latex=settings.latex)
    forget(keep_in)
    return terminal.show(document, people=metrics_parts(document, paths))
