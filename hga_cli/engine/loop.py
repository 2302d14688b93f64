"""The training loop."""

import os
import shutil
import signal
from collections.abc import Iterator
from contextlib import closing, contextmanager
from types import FrameType
from typing import Any

from hga_cli.core.atomic import replacing
from hga_cli.core.progress import Progress, stage
from hga_cli.core.run_folder import RunFolder
from hga_cli.data.loading import AHEAD, Patches, load
from hga_cli.data.shared_memory import workers_that_fit
from hga_cli.engine.checkpoint import save_checkpoint
from hga_cli.engine.training import Training


class Interrupted(KeyboardInterrupt):
    """Training was asked to stop; the checkpoint of the last finished step is written."""


def fit(training: Training, patches: Patches, run: RunFolder, about: dict[str, Any], progress: Progress) -> None:
    """Train to the end, from wherever ``training`` stands.

    Args:
        training: what is trained.
        patches: the batch of each step.
        run: where checkpoints, journal and log go.
        about: what the model is, kept in every checkpoint.
        progress: is told each step.

    Raises:
        Interrupted: SIGINT or SIGTERM came; the state after the running step is saved.
        ConfigError: a loss was not finite.
    """
    scheme = training.scheme
    if training.step == 0:
        save(training, run, about)
    workers = workers_that_fit(scheme.config.data, len(scheme.modalities), AHEAD, progress)
    batches = load(patches, training.step, scheme.steps, workers=workers)
    with stage(progress, "train", scheme.steps, training.step), _stop_requests() as requests, closing(batches):
        for batch in batches:
            loss = training.learn(batch)
            progress.advance(f"epoch {training.epoch}/{scheme.config.optim.epochs}  loss {loss:.3f}")
            if training.step % scheme.iterations == 0:
                line = training.end_epoch()
                if training.step == scheme.steps:
                    training.finish()
                run.journal(line)
                save(training, run, about)
                run.log(f"epoch {line['epoch']}: loss {line['losses']['loss']:.4f}")
            if requests and training.step < scheme.steps:
                save(training, run, about)
                run.log(f"interrupted after step {training.step}")
                raise Interrupted


def save(training: Training, run: RunFolder, about: dict[str, Any]) -> None:
    """Write the newest checkpoint; the one before is kept as ``previous``."""
    if run.last.exists():
        with replacing(run.previous) as temporary:
            _copy(run.last, temporary)
    save_checkpoint(run.last, training.tensors(), {**about, "training": training.state()})


def _copy(source: Any, target: Any) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


@contextmanager
def _stop_requests() -> Iterator[list[int]]:
    """Collect SIGINT and SIGTERM in a list instead of dying from them."""
    requests: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        del frame
        requests.append(number)

    old = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield requests
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)
