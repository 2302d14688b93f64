"""Memory: that of a CPU is kept from step to step; running out of that of a GPU is an error with advice."""

import ctypes
import os
import resource
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from hga_cli.core.errors import ConfigError

TRIM_THRESHOLD, MMAP_MAX = -1, -4
"""Of ``mallopt`` in the C library of Linux: how much free memory goes back to the system (-1: none), and how many
blocks come straight from it."""
STATUS = Path("/proc/self/status")
"""What Linux tells of this process."""


def keep_memory() -> None:
    """Let this process keep the memory of large tensors and use it again, which torch does on a GPU only.

    Without it each of them is fetched from the system page by page: a training step of ``unet`` (80^3, 2 threads) took
    1.9 (fp32) to 2.3 (bf16) times as long, an evaluation 1.4 to 1.7 times. It costs memory, as blocks of many sizes
    leave gaps: 0.3 to 1 GiB in that step, up to a fifth in evaluation; all of it is kept until the process ends.
    Nothing is done where the C library is not that of Linux, or where the user has set it with ``MALLOC_...``.
    """
    if not sys.platform.startswith("linux") or any(name.startswith("MALLOC_") for name in os.environ):
        return
    change = getattr(ctypes.CDLL(None), "mallopt", None)
    if change is not None:
        change(TRIM_THRESHOLD, -1)
        change(MMAP_MAX, 0)


@contextmanager
def enough_memory(what: str, hint: str) -> Iterator[None]:
    """Turn a lack of GPU memory into an error.

    Args:
        what: what was being done.
        hint: which settings make it smaller.

    Raises:
        ConfigError: the memory does not suffice.
    """
    try:
        yield
    except torch.OutOfMemoryError as error:
        message = f"the memory of the GPU does not suffice for {what}: {str(error).splitlines()[0]}"
        raise ConfigError(message, hint=hint) from None


def peak_of_process() -> int:
    """Return the most memory (bytes) that this process ever had.

    Linux tells it as VmHWM; ``ru_maxrss`` begins there with that of the process that started this one.
    """
    for line in STATUS.read_text(encoding="utf-8", errors="replace").splitlines() if STATUS.exists() else ():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
