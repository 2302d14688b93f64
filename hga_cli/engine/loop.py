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
from hga_cli.engine.events import Events
from hga_cli.engine.training import Training
from hga_cli.engine.validation import Examination, validate


class Interrupted(KeyboardInterrupt):
    """Training was asked to stop; the checkpoint of the last finished step is written."""


def fit(
    training: Training,
    patches: Patches,
    run: RunFolder,
    about: dict[str, Any],
    progress: Progress,
    examination: Examination | None = None,
    events: Events | None = None,
) -> None:
    """Train to the end, from wherever ``training`` stands.

    Args:
        training: what is trained.
        patches: the batch of each step.
        run: where checkpoints, journal and log go.
        about: what the model is, kept in every checkpoint.
        progress: is told each step.
        examination: how the network is validated now and then; None: never.
        events: gets every line of the journal too.

    Raises:
        Interrupted: SIGINT or SIGTERM came; the state after the running step is saved.
        ConfigError: a loss was not finite.
    """
    scheme = training.scheme
    ranks = scheme.ranks
    if training.step == 0:
        save(run, training, about)
    workers = workers_that_fit(scheme.config.data, len(scheme.modalities), AHEAD, progress)
    batches = load(patches, training.step, scheme.steps, workers=workers)
    with stage(progress, "train", scheme.steps, training.step), _stop_requests() as requests, closing(batches):
        validated = training.contest.epoch
        is_over = examination is not None and examination.is_over(training.contest)
        goes_on = not is_over and _examine(training, run, about, progress, examination, requests)
        if training.contest.epoch > validated:
            save(run, training, about)
        while goes_on and (batch := next(batches, None)) is not None:
            loss = training.learn(batch)
            progress.advance(f"epoch {training.epoch}/{scheme.config.optim.epochs}  loss {loss:.3f}")
            ends_epoch = training.step % scheme.iterations == 0
            if ends_epoch:
                line = training.end_epoch()
                if training.step == scheme.steps:
                    training.finish()
                goes_on = _examine(training, run, about, progress, examination, requests)
                if training.contest.epoch == training.epoch:
                    line["validation"] = training.contest.latest
                run.journal(line)
                if events is not None:
                    events.write(line)
                run.log(f"epoch {line['epoch']}: loss {line['losses']['loss']:.4f}")
                save(run, training, about)
            (asked,) = ranks.sum(len(requests), device=scheme.device)
            if asked and (training.step < scheme.steps or _is_due(training, examination)):
                if not ends_epoch:
                    save(run, training, about)
                run.log(f"interrupted after step {training.step}")
                raise Interrupted


def _examine(
    training: Training,
    run: RunFolder,
    about: dict[str, Any],
    progress: Progress,
    examination: Examination | None,
    requests: list[int],
) -> bool:
    """Validate where it is due, keep the best checkpoint, and return whether the training goes on.

    The best checkpoint is written before the last one: a kill in between makes the resumed run do it again.
    """
    if examination is None or not _is_due(training, examination):
        return True
    epoch = training.epoch
    training.model.eval()
    result = validate(examination, training.scheme.ranks, stop=lambda: bool(requests))
    training.model.train()
    if result is None:
        return True
    is_best = training.contest.note(epoch, result)
    text = f"validation after epoch {epoch}: mean Dice {_number(result['mean'])}" + (
        ", the best so far" if is_best else ""
    )
    progress.say(text)
    run.log(text)
    if is_best:
        state = training.state()
        if training.scheme.ranks.is_first:
            save_checkpoint(run.best, training.tensors(), {**about, "training": state})
    if examination.is_over(training.contest):
        training.finish()
        run.log(f"ended early: no better validation since epoch {training.contest.best_epoch}")
        return False
    return True


def _is_due(training: Training, examination: Examination | None) -> bool:
    if examination is None or training.step % training.scheme.iterations:
        return False
    return examination.is_due(training.contest, training.epoch, training.scheme.config.optim.epochs)


def _number(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.3f}"


def save(run: RunFolder, training: Training, about: dict[str, Any]) -> None:
    """Write the newest checkpoint; the one before is kept as ``previous``. Only the first rank writes."""
    state = training.state()
    if not training.scheme.ranks.is_first:
        return
    if run.last.exists():
        with replacing(run.previous) as temporary:
            _copy(run.last, temporary)
    save_checkpoint(run.last, training.tensors(), {**about, "training": state})


def _copy(source: Any, target: Any) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


@contextmanager
def _stop_requests() -> Iterator[list[int]]:
    """Collect SIGINT and SIGTERM in a list instead of dying from them; a second Ctrl-C does not wait."""
    requests: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        del frame
        if requests and number == signal.SIGINT:
            raise KeyboardInterrupt
        requests.append(number)

    old = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield requests
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)
