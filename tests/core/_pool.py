"""A process with two workers, which is killed as soon as both are at work: ``python _pool.py FOLDER``."""

import os
import signal
import sys
import time
from pathlib import Path

from hga_cli.core.processes import in_processes


def wait_for_ever(note):
    Path(note).touch()
    while True:
        time.sleep(1)


if __name__ == "__main__":
    notes = [Path(sys.argv[1]) / name for name in ("one", "two")]
    if not os.fork():  # kills its parent
        while not all(note.exists() for note in notes):
            time.sleep(0.01)
        os.kill(os.getppid(), signal.SIGKILL)
        os._exit(0)
    list(in_processes(wait_for_ever, notes, workers=2))
