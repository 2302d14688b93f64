"""Doing many things in several processes, and ending them properly."""

import os
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from typing import TypeVar

from hga_cli.core.errors import SetupError
from hga_cli.core.orphans import end_with_the_parent

Item = TypeVar("Item")
Result = TypeVar("Result")


def usable_cores() -> int:
    """Return how many cores this process may use, which in a container or a job may be fewer than there are."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def in_processes(function: Callable[[Item], Result], items: Sequence[Item], workers: int) -> Iterator[Result]:
    """Yield ``function(item)`` for all items, in the order in which they are finished.

    With one worker all is done in this process, in the order of the items. When the caller stops early or is
    interrupted, what has begun is finished and the rest is left.

    Raises:
        SetupError: a worker died, most often for want of memory.
    """
    if workers == 1:
        yield from map(function, items)
        return
    pool = ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_follow_the_parent)
    try:
        for future in as_completed([pool.submit(function, item) for item in items]):
            yield future.result()
    except BrokenProcessPool:
        message = f"one of {workers} worker processes died, perhaps for want of memory"
        raise SetupError(message, hint="use fewer of them: --workers 1; what was finished is kept") from None
    finally:
        pool.shutdown(cancel_futures=True)


def _follow_the_parent() -> None:
    """Leave Ctrl-C to the parent, and end with it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    end_with_the_parent()
