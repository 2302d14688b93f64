"""A process ends with the one that started it, also where that one was killed and could tell nobody."""

import os
import shutil
import signal
from multiprocessing import parent_process
from multiprocessing.process import BaseProcess
from multiprocessing.util import get_temp_dir
from threading import Event, Thread, get_ident

FOLLOWS_STDIN = {"HGA_FOLLOWS_STDIN": "1"}
"""Environment of a command that is to be interrupted when its stdin ends: whoever started it holds that open."""
AGAIN = 5
"""Seconds until a process that goes on is told again."""
_heard = Event()


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


def follow_stdin() -> None:
    """Let SIGTERM do what Ctrl-C does, and come when stdin ends, if the environment asks for it.

    Called by a command, in its main thread. Processes that this one starts do not hear of it: they are told to end as
    after Ctrl-C. It is not SIGINT, which a shell lets those ignore that it starts in the background, and of which a
    second one makes a training end without a save.
    """
    (name,) = FOLLOWS_STDIN
    if os.environ.pop(name, None):
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        Thread(target=_end_after_stdin, args=(get_ident(),), daemon=True).start()


def _end_after_stdin(thread: int) -> None:
    while os.read(0, 1024):
        pass
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # nobody reads stderr now: to write there would end us before we save
    while not _heard.is_set():  # Python loses an interrupt that comes while it collects garbage
        signal.pthread_kill(thread, signal.SIGTERM)
        _heard.wait(AGAIN)


def interruption_is_heard() -> None:
    """Say that this process is on its way out: it is not told again."""
    _heard.set()
