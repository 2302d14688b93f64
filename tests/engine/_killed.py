"""Trains runs in several processes each, all but the last of which are killed: at a random moment, or in a save.

Called by a test as ``python _killed.py STORE FOLDER``; prints, for each run, how many of its processes were killed.
Everything heavy is imported once, each process is a fork of this one.
"""

import os
import random
import signal
import sys
import time
from itertools import count
from pathlib import Path

import safetensors.torch
import torch
import torch._dynamo  # the first optimiser imports it, for more than a second: not in every process
from _training import planned, settings

from hga_cli.core.run_folder import RunFolder
from hga_cli.data.store import Store
from hga_cli.engine import checkpoint
from hga_cli.workflows.train import train

LONG = {"optim__epochs": 12, "optim__iterations": 2, "data__patch": [8, 8, 8], "data__batch": 1}
WORKERS = {"hga-published": 0, "hga": 1}


def fork(store, run, config, *, last_save=None):
    """Start a process that trains; it dies in its save number ``last_save`` (0, 1, ...), with 60 % written."""
    process = os.fork()
    if process:
        return process
    status = 1
    try:
        torch.set_num_threads(1)
        if last_save is not None:
            checkpoint.save_file = dying(last_save)
        train(planned(store, config), run, resume=run.last.exists())
        status = 0
    finally:
        os._exit(status)


def dying(last):
    calls = count()

    def save_file(tensors, path, metadata):
        safetensors.torch.save_file(tensors, path, metadata)
        if next(calls) == last:
            os.truncate(path, int(0.6 * path.stat().st_size))
            os.kill(os.getpid(), signal.SIGKILL)

    return save_file


def killed(store, run, config, moments):
    """Train to the end and return how many processes did not live to see it."""
    number = 0
    for last_save in (1, 0, 2, None, None, None, None):
        process = fork(store, run, config, last_save=last_save)
        if last_save is None:
            time.sleep(moments.uniform(0.03, 0.4))
            os.kill(process, signal.SIGKILL)
        status = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
        if status > 0:
            sys.exit("a resumed training failed")
        number += status == -signal.SIGKILL
    if os.waitpid(fork(store, run, config), 0)[1]:
        sys.exit("the last training failed")
    return number


if __name__ == "__main__":
    whole = Store(Path(sys.argv[1]))
    for method, workers in WORKERS.items():
        folder = Path(sys.argv[2]) / method
        folder.mkdir(parents=True)
        changes = {**LONG, "data__workers": workers}
        print(killed(whole, RunFolder(folder), settings(method, **changes), random.Random(7)))
