"""From a run to one file that can be given away."""

from datetime import datetime
from pathlib import Path

import torch

from hga_cli import __version__
from hga_cli.core.errors import DataError
from hga_cli.core.run_folder import RunFolder
from hga_cli.engine.inference import TrainedModel
from hga_cli.engine.model_file import essence, read_model, write_model
from hga_cli.workflows.models import checkpoint_of, load_from


def export(run: RunFolder, target: Path, *, which: str = "last", overwrite: bool = False) -> TrainedModel:
    """Write a model file: weights, settings, modalities, labels, regions, preparation, what to expect; no patients.

    Args:
        run: where the model was trained.
        target: any file name; ``.hga`` is usual.
        which: the ``best`` or the ``last`` checkpoint.
        overwrite: replace a file that is there.

    Returns:
        The model, as it can be loaded from the file.

    Raises:
        ConfigError: the checkpoint is absent or damaged.
        DataError: the file is there already.
    """
    if target.exists() and not overwrite:
        message = f"'{target}' is there already"
        raise DataError(message, hint="replace it with --overwrite, or choose another name")
    model = load_from(run, which, torch.device("cpu"))
    weights, about = read_model(checkpoint_of(run, which))
    kept = essence(about)
    expected = {"expected": model.expected.as_tree()} if model.expected else {}
    told = {"name": run.name, "exported": f"{datetime.now():%Y-%m-%d}", "hga": __version__}
    write_model(target, weights, {**kept, **expected, **told})
    return load_from(target, which, torch.device("cpu"))
