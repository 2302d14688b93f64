"""How ranks end when one of them fails: the first one says why, all have its exit code."""

import time
from typing import Any

from hga_cli.core.errors import exit_code_of

FAILED, GONE = "hga/failed", "hga/gone"
PATIENCE = 10.0
"""Seconds that rank 0, which may keep what ranks tell each other, stays for them after a failure."""
PAUSE = 0.05


class Farewell:
    """What a rank that fails tells the others.

    Args:
        store: a key-value store that all ranks see (``torch.distributed.Store``).
        rank: of this process.
        count: of all of them.
    """

    def __init__(self, store: Any, *, rank: int, count: int) -> None:
        self._store, self._rank, self._count = store, rank, count

    def first_failure(self, error: BaseException) -> int | None:
        """Tell that this rank fails; return the exit code of the one that failed before it, or None if none did."""
        try:
            told = self._store.compare_set(FAILED, "", f"{self._rank} {exit_code_of(error)}").decode()
            self._store.add(GONE, 1)
        except RuntimeError:
            return None
        rank, code = map(int, told.split())
        return None if rank == self._rank else code

    def wait(self) -> None:
        """Let rank 0 stay until the others know."""
        end = time.monotonic() + PATIENCE
        try:
            while self._rank == 0 and self._store.add(GONE, 0) < self._count and time.monotonic() < end:
                time.sleep(PAUSE)
        except RuntimeError:
            return
