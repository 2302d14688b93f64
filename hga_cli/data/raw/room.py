"""Whether a store has room for what is to come."""

import shutil
from collections.abc import Sequence
from pathlib import Path

from hga_cli.core.errors import DataError
from hga_cli.core.progress import Progress
from hga_cli.data.raw.discovery import RawCase

PACKED, PLAIN = 1.8, 0.5
"""Bytes of a store for each byte of compressed and of plain sources: roughly, and rather too many."""
MEGABYTE = 1e6


def expected_bytes(cases: Sequence[RawCase]) -> int:
    """Return about how many bytes cases take in a store."""
    files = {
        path for case in cases for path in (*case.images.values(), case.label) if path is not None and path.exists()
    }
    return round(sum(path.stat().st_size * (PACKED if path.suffix == ".gz" else PLAIN) for path in files))


def warn_of_little_room(store: Path, cases: Sequence[RawCase], progress: Progress) -> None:
    """Say so where the cases may not fit on the disk of the store."""
    needed, free = expected_bytes(cases), _free(store)
    if needed > free:
        sizes = f"about {needed / MEGABYTE:.0f} MB are needed, {free / MEGABYTE:.0f} MB are free"
        progress.warn(f"'{store}' may not hold all cases: {sizes}")


def no_room(store: Path, case: RawCase, error: OSError) -> DataError:
    """Return the error for a case that could not be written."""
    needed, free = expected_bytes([case]), _free(store)
    message = (
        f"case '{case.case}' could not be written into '{store}': {error.strerror or error}; it takes about "
        f"{needed / MEGABYTE:.1f} MB, {free / MEGABYTE:.1f} MB are free"
    )
    return DataError(message, hint="make room, or choose another place with -o; what was finished is kept")


def _free(store: Path) -> int:
    folder = next(path for path in (store, *store.absolute().parents) if path.exists())
    return shutil.disk_usage(folder).free
