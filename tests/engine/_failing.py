"""``hga`` as one rank of several, of which the second has bad luck: ``_failing.py MISFORTUNE ARGUMENTS...``."""

import os
import signal
import sys

import torch

from hga_cli.cli.app import main
from hga_cli.core.errors import DataError
from hga_cli.engine.training import Training

STEP = 2
MISFORTUNE = sys.argv.pop(1)
begin, learn, learn_part = Training.__init__, Training.learn, Training._learn_part


def strikes(training, kind):
    return kind == MISFORTUNE and training.scheme.ranks.rank == 1 and training.step == STEP


def begin_or_fail(self, scheme):
    begin(self, scheme)
    if MISFORTUNE == "begin" and scheme.ranks.rank == 1:
        raise DataError("this device has no room", hint="take another")


def learn_or_fail(self, batch):
    if strikes(self, "error"):
        raise DataError("the disk of this machine is gone", hint="buy another")
    if strikes(self, "bug"):
        raise ZeroDivisionError("a fault of ours")
    if strikes(self, "kill"):
        os.kill(os.getpid(), signal.SIGKILL)
    return learn(self, batch)


def learn_part_or_spoil(self, part, share):
    if strikes(self, "nan"):
        for image in part.images.values():
            image.fill_(torch.nan)
    return learn_part(self, part, share)


Training.__init__, Training.learn, Training._learn_part = begin_or_fail, learn_or_fail, learn_part_or_spoil
torch.set_num_threads(1)
main()
