"""Trains runs in several processes each, all but the last of which are killed: in a save, or at a random moment.

Called by a test as ``python _killed.py STORE FOLDER``; prints, for each run, how many died in a save, after their first
step, and at any moment. Everything heavy is imported once, each process is a fork of this one.
"""

import os
import random
import signal
import sys
from functools import partial
from itertools import count
from pathlib import Path

import safetensors.torch
import torch
import torch._dynamo  # the first optimiser imports it, for more than a second: not in every process
from _training import planned, settings

from hga_cli.core.progress import Silent
from hga_cli.core.run_folder import RunFolder
from hga_cli.data.store import Store
from hga_cli.engine import checkpoint
from hga_cli.workflows.train import train

LONG = {"optim__epochs": 12, "optim__iterations": 2, "data__patch": [8, 8, 8], "data__batch": 1}
WORKERS = {"hga-published": 0, "hga": 1}


SAVES = (0, 1, 2)
"""The save in which each of the first processes dies: with no checkpoint yet, with one, with two."""
SOON, EVER = (0.001, 0.05), (0.03, 0.4)
"""Seconds to live after the first step, and at all."""


def fork(store, run, config, *, resume, arrange=lambda: None, progress=None):
    """Start a process that trains, and return how it ended: 0, or the number of the signal that killed it, below 0."""
    process = os.fork()
    if process:
        status = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
        if status > 0:
            sys.exit("a training failed")
        return status
    status = 1
    try:
        torch.set_num_threads(1)
        arrange()
        train(planned(store, config), run, resume=resume, progress=progress)
        status = 0
    finally:
        os._exit(status)


def die_in_save(last):
    """Let this process die in its save number ``last`` (0, 1, ...), with 60 % written."""
    calls = count()

    def save_file(tensors, path, metadata):
        safetensors.torch.save_file(tensors, path, metadata)
        if next(calls) == last:
            os.truncate(path, int(0.6 * path.stat().st_size))
            os.kill(os.getpid(), signal.SIGKILL)

    checkpoint.save_file = save_file


def die_after(seconds):
    """Let this process die of SIGALRM, which ends it wherever it is, as SIGKILL does."""
    signal.setitimer(signal.ITIMER_REAL, seconds)


class DieAfterStep(Silent):
    """Lets this process die so many seconds after its first step."""

    def __init__(self, seconds):
        self.seconds = seconds

    def advance(self, note=""):
        if self.seconds:
            die_after(self.seconds)
        self.seconds = None


def killed(store, run, config, moments):
    """Train to the end and return how many processes died in a save, after their first step, and at any moment."""
    train_on = partial(fork, store, run, config, resume=True)
    in_save = [fork(store, run, config, resume=save > 0, arrange=partial(die_in_save, save)) for save in SAVES]
    after_step = [train_on(progress=DieAfterStep(moments.uniform(*SOON))) for _ in range(2)]
    at_any_time = [train_on(arrange=partial(die_after, moments.uniform(*EVER))) for _ in range(2)]
    if train_on():
        sys.exit("the last training was killed")
    return in_save.count(-signal.SIGKILL), after_step.count(-signal.SIGALRM), at_any_time.count(-signal.SIGALRM)


if __name__ == "__main__":
    whole = Store(Path(sys.argv[1]))
    for method, workers in WORKERS.items():
        folder = Path(sys.argv[2]) / method
        folder.mkdir(parents=True)
        changes = {**LONG, "data__workers": workers}
        print(*killed(whole, RunFolder(folder), settings(method, **changes), random.Random(7)))
