"""Asking a training to stop after so many steps."""

import os
import signal

import pytest

from hga_cli.core.progress import Silent
from hga_cli.engine.checkpoint import load_checkpoint
from hga_cli.engine.loop import Interrupted
from hga_cli.workflows.train import train


class StopAfter(Silent):
    """Sends SIGTERM to this process, and what else is wanted, when so many steps are done."""

    def __init__(self, steps, also=lambda: None):
        self.steps = steps
        self.also = also

    def start(self, title, total, done=0):
        self.done = done

    def advance(self, note=""):
        self.done += 1
        if self.done == self.steps:
            self.also()
            os.kill(os.getpid(), signal.SIGTERM)


def interrupt(plan, run, step, *, resume, also=lambda: None):
    with pytest.raises(Interrupted):
        train(plan, run, resume=resume, progress=StopAfter(step, also))
    assert load_checkpoint(run.last)[1]["training"]["step"] == step
