"""Which model is used: of a run, or of a file that was given away."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from hga_cli.core.errors import ConfigError, DataError, UsageError
from hga_cli.core.run_folder import RunFolder, find_run
from hga_cli.engine.expectation import Expectation
from hga_cli.engine.inference import TrainedModel, load_model


def run_or_file(runs_dir: Path, run_name: str | None, model: Path | None) -> RunFolder | Path:
    """Return the run that is meant (by default the latest finished one), or the model file.

    Raises:
        DataError: there is none.
        UsageError: both are named.
    """
    if model is None:
        return find_run(runs_dir, run_name, finished=True)
    if run_name is not None:
        message = f"--run {run_name} and --model {model} both name a model"
        raise UsageError(message, hint="--run for a run in --runs-dir, --model for a file of 'hga export'")
    if not model.is_dir():
        return model
    run = RunFolder(model)
    run.about()
    return run


def checkpoint_of(run: RunFolder, which: str) -> Path:
    """Return the ``best`` or the ``last`` checkpoint of a run.

    Raises:
        ConfigError: the best is wanted, but the run was never validated.
    """
    if which == "best" and not run.best.exists():
        message = f"run '{run.name}' has no best checkpoint: it was not validated"
        raise ConfigError(message, hint="take the last one: --set evaluation.checkpoint=last")
    return run.best if which == "best" else run.last


def load_from(source: RunFolder | Path, which: str, device: torch.device) -> TrainedModel:
    """Load a model file, or the checkpoint ``which`` of a run with what its evaluation measured.

    What the evaluation did not measure is what validation did; one of training cases says nothing.

    Raises:
        ConfigError: absent or damaged.
        DataError: ``metrics.json`` of the run is damaged.
    """
    if isinstance(source, Path):
        return load_model(source, device)
    model = replace(load_model(checkpoint_of(source, which), device), name=source.name)
    measured = _measured(source)
    is_ours = measured is not None and measured.get("origin", {}).get("model", {}).get("digest") == model.digest
    evaluated = Expectation.from_metrics(measured) if measured and is_ours else None
    return replace(model, expected=evaluated.over(model.expected)) if evaluated else model


def _measured(run: RunFolder) -> dict[str, Any] | None:
    path = run.path / "metrics.json"
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except ValueError:
        found = None
    if not isinstance(found, dict):
        message = f"'{path}' is damaged"
        raise DataError(message, hint="'hga evaluate' writes it again")
    return found
