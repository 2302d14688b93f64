"""Event files for TensorBoard: the numbers of the journal as curves."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hga_cli.core.errors import SetupError


class Events:
    """Writes lines of the journal as scalars over epochs.

    Args:
        folder: of the event files.
        epoch: the first epoch to come; what an interrupted run wrote of later ones is dropped.

    Raises:
        SetupError: the package tensorboard is not installed.
    """

    def __init__(self, folder: Path, epoch: int) -> None:
        self._writer: Any = summary_writer()(str(folder), purge_step=epoch)

    def write(self, line: dict[str, Any]) -> None:
        """Write every number of a line; names inside names are joined by ``/``."""
        for name, value in numbers(line):
            self._writer.add_scalar(name, value, line["epoch"])
        self._writer.flush()

    def close(self) -> None:
        """End the file."""
        self._writer.close()


def summary_writer() -> Any:
    """Return the class of TensorBoard that writes event files.

    Raises:
        SetupError: the package tensorboard is not installed.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        message = "the package tensorboard is not installed"
        raise SetupError(message, hint="pip install 'hga-cli[tensorboard]', or --set log.tensorboard=false") from None
    return SummaryWriter


def numbers(tree: dict[str, Any], start: str = "") -> Iterator[tuple[str, float]]:
    """Yield the numbers of a tree of plain values with the path that leads to them."""
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from numbers(value, f"{start}{key}/")
        elif isinstance(value, int | float) and not isinstance(value, bool) and (start or key != "epoch"):
            yield f"{start}{key}", float(value)
