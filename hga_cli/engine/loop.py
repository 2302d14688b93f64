"""The training loop."""

import os
import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from statistics import fmean
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
    if training.step == 0:
        save(run, training, about)
    workers = workers_that_fit(scheme.config.data, len(scheme.modalities), AHEAD, progress)
    batches = load(patches, training.step, scheme.steps, workers=workers)
    with stage(progress, "train", scheme.steps, training.step), _stop_requests() as requests, closing(batches):
        course = _Course(
            training=training,
            run=run,
            about=about,
            progress=progress,
            examination=examination,
            events=events,
            requests=requests,
        )
        if course.is_validation_due():
            course.make_up()
            course.stop_if_asked()
        began = time.perf_counter()
        while not course.has_ended_early() and (batch := next(batches, None)) is not None:
            loss = training.learn(batch)
            course.seconds.append(time.perf_counter() - began)
            progress.advance(f"epoch {training.epoch}/{scheme.config.optim.epochs}  loss {loss:.3f}")
            if training.step % scheme.iterations == 0:
                course.end_epoch()
            course.stop_if_asked()
            began = time.perf_counter()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Course:
    """A training with all that hears of it, and what happens between its steps."""

    training: Training
    run: RunFolder
    about: dict[str, Any]
    progress: Progress
    examination: Examination | None
    events: Events | None
    requests: list[int]
    """Signals that asked this process to stop."""
    seconds: list[float] = field(default_factory=list)
    """How long each step of the running epoch took, with the wait for its batch."""

    def is_validation_due(self) -> bool:
        """Tell whether epochs are over and the validation after them is not done."""
        scheme, epoch = self.training.scheme, self.training.epoch
        if self.examination is None or self.training.step % scheme.iterations:
            return False
        return self.examination.is_due(self.training.contest, epoch, scheme.config.optim.epochs)

    def has_ended_early(self) -> bool:
        """Tell whether patience has ended."""
        return self.examination is not None and self.examination.is_over(self.training.contest)

    def end_epoch(self) -> None:
        """Validate where it is due, write the line of the journal, and save."""
        training, run = self.training, self.run
        line = training.end_epoch()
        if training.step == training.scheme.steps:
            training.finish()
        if self.is_validation_due():
            line |= self._examine()
        run.journal(line)
        if self.events is not None:
            self.events.write(line)
        run.log(f"epoch {line['epoch']}: loss {line['losses']['loss']:.4f}, {fmean(self.seconds):.4f} s a step")
        self.seconds.clear()
        save(run, training, self.about)

    def make_up(self) -> None:
        """Do the validation that an interrupted run owes, and add it to the line of its epoch."""
        if found := self._examine():
            line = {"epoch": self.training.epoch - 1, **found}
            self.run.complete_journal(line)
            if self.events is not None:
                self.events.write(line)
            save(self.run, self.training, self.about)

    def stop_if_asked(self) -> None:
        """Save and stop where any rank was asked to and something is left to do.

        Raises:
            Interrupted: it was.
        """
        training = self.training
        scheme = training.scheme
        (asked,) = scheme.ranks.sum(len(self.requests), device=scheme.device)
        is_unfinished = training.step < scheme.steps and not self.has_ended_early()
        if asked and (is_unfinished or self.is_validation_due()):
            if training.step % scheme.iterations:
                save(self.run, training, self.about)
            self.run.log(f"interrupted after step {training.step}")
            raise Interrupted

    def _examine(self) -> dict[str, Any]:
        """Validate, keep the best checkpoint, and return what the journal gets: nothing where a signal came first.

        The best checkpoint is written before the last one: a kill in between makes the resumed run do it again.
        """
        training, run, examination = self.training, self.run, self.examination
        assert examination is not None
        training.model.eval()
        result = validate(examination, training.scheme.ranks, stop=lambda: bool(self.requests))
        training.model.train()
        if result is None:
            return {}
        is_best = training.contest.note(training.epoch, result)
        text = f"validation after epoch {training.epoch}: mean Dice {_number(result['mean'])}" + (
            ", the best so far" if is_best else ""
        )
        self.progress.say(text)
        run.log(text)
        if is_best:
            state = training.state()
            if training.scheme.ranks.is_first:
                save_checkpoint(run.best, training.tensors(), {**self.about, "training": state})
        if self.has_ended_early():
            training.finish()
            run.log(f"ended early: no better validation since epoch {training.contest.best_epoch}")
        return {"validation": result}


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
