"""A process that reads ahead and is killed with SIGKILL: ``python _orphaned.py MOMENT WORKERS``.

Each of its workers that runs prints a line.
"""

import os
import signal
import sys
import time
from contextlib import suppress

import torch

from hga_cli.data.loading import Batch, load

PARENT = os.getpid()
MOMENT, WORKERS = sys.argv[1], int(sys.argv[2])


def kill_the_parent(*_):
    """Tell that a worker runs, kill its parent, and go on when it is gone."""
    print("worker", os.getpid(), flush=True)
    with suppress(ProcessLookupError):
        os.kill(PARENT, signal.SIGKILL)
    while os.getppid() == PARENT:
        time.sleep(0.01)


class Steps:
    def __getitem__(self, step):
        if MOMENT == "reading":
            kill_the_parent()
        print("worker", os.getpid(), flush=True)
        cases = ("c" * 10**6,) if MOMENT == "writing" else ("c",)  # more than a pipe holds
        images = {"flair": torch.zeros(1, 1, 8, 8, 8)}
        label = torch.zeros(1, 8, 8, 8, dtype=torch.uint8)
        return Batch(step=step, combination=("flair",), cases=cases, ends_cycle=False, images=images, label=label)


if MOMENT == "starting":
    torch.set_num_threads = kill_the_parent  # what a worker of PyTorch does first
batches = load(Steps(), 0, 1000, workers=WORKERS)
next(batches)
time.sleep(1)  # "waiting": all is read that may be read ahead; "writing": none of it fits into the pipe
os.kill(PARENT, signal.SIGKILL)
