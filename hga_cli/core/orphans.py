"""A worker process ends with the process that started it, also where that one was killed and could tell nobody."""

import os
import shutil
from multiprocessing import parent_process
from multiprocessing.process import BaseProcess
from multiprocessing.util import get_temp_dir
from threading import Thread


def end_with_the_parent() -> None:
    """Let this process end as soon as the one that started it is gone, whatever it is doing then. Called by a worker.

    What is watched is a pipe that the parent holds open, not who the parent is: after a parent that died early
    ``os.getppid`` names its heir, which does not die.
    """
    parent = parent_process()
    if parent is not None:
        Thread(target=_follow, args=(parent, get_temp_dir()), daemon=True).start()


def _follow(parent: BaseProcess, folder: str) -> None:
    parent.join()
    shutil.rmtree(folder, ignore_errors=True)  # of the socket through which a worker hands out shared memory
    os._exit(1)
