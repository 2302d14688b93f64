"""Opening the files of a store, and checking that they are what they should be."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from hga_cli.core.atomic import replacing
from hga_cli.core.errors import DataError

VERSION = 1
DAMAGED = (OSError, KeyError, RuntimeError, TypeError, ValueError)
"""What h5py and JSON raise when bytes of a file have changed (our own errors are none of them)."""
INDEX = "hga-store"
CASE = "hga-case"


def open_checked(path: Path, kind: str) -> Any:
    """Open a file of the store for reading.

    Raises:
        DataError: absent, damaged, of another kind, or of a version this program does not know.
    """
    if not path.exists():
        what = "store" if kind == INDEX else "case"
        message = f"no {what} at '{path}'"
        raise DataError(message, hint="make it with 'hga preprocess RAW_DIR', or name it with --dataset")
    try:
        file = h5py.File(path, "r")
        about = file.attrs.get("format"), file.attrs.get("version")
    except DAMAGED as error:
        raise damaged(path, error) from None
    if about != (kind, VERSION):
        found = f"{about[0]} version {about[1]}"
        file.close()
        message = f"'{path}' is {found}, expected {kind} version {VERSION}"
        raise DataError(message, hint="update hga, or preprocess again into another folder")
    return file


def damaged(path: Path, error: Exception) -> DataError:
    """Return the error for a file whose bytes have changed."""
    message = f"'{path}' is damaged: {error}"
    return DataError(message, hint="remove it and run 'hga preprocess' again")


@contextmanager
def reading(path: Path, kind: str) -> Iterator[Any]:
    """Open a file of the store, and turn whatever its contents raise into one clear error.

    Raises:
        DataError: as ``open_checked``, or what is read is damaged.
    """
    with open_checked(path, kind) as file:
        try:
            yield file
        except DAMAGED as error:
            raise damaged(path, error) from None


@contextmanager
def writing(path: Path) -> Iterator[Any]:
    """Yield a new HDF5 file in memory; write it as ``path`` if the block succeeds.

    HDF5 itself never writes to the disk, because it does not survive one that is full.

    Raises:
        OSError: with the name of the file; whatever was at ``path`` is still there.
    """
    try:
        with replacing(path) as temporary:
            with h5py.File(temporary, "w", driver="core", backing_store=False) as file:
                yield file
                file.flush()
                content = file.id.get_file_image()
            temporary.write_bytes(content)
    except OSError as error:
        error.filename = str(path)
        raise


def write_texts(group: Any, name: str, texts: list[str]) -> None:
    """Write a list of texts (UTF-8) as a data set (n)."""
    group.create_dataset(name, data=np.array(texts, dtype=object), dtype=h5py.string_dtype())


def read_texts(group: Any, name: str) -> list[str]:
    """Read a list of texts."""
    return [str(text) for text in group[name].asstr()[()]]


def tuples(value: Any) -> Any:
    """Turn lists, as JSON returns them, into tuples at every depth."""
    return tuple(tuples(item) for item in value) if isinstance(value, list) else value
