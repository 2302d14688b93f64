"""Finding the store a command is about."""

from pathlib import Path

from hga_cli.core.errors import UsageError
from hga_cli.core.run_folder import RunFolder
from hga_cli.data.store import Store


def store_of(name: str | None, data_dir: Path, run: RunFolder | None = None) -> Store:
    """Open a store.

    Args:
        name: a folder that holds a store, or a name below ``data_dir``; None: the store of ``run``.
        data_dir: where stores are.
        run: a run that knows its store.

    Raises:
        UsageError: neither a name nor a run.
        DataError: there is no store.
    """
    if name is not None:
        path = Path(name)
        return Store(path if (path / "store.h5").exists() else data_dir / name)
    if run is None:
        known = sorted(file.parent.name for file in data_dir.glob("*/store.h5"))
        message = "no data set named"
        raise UsageError(message, hint=f"--dataset NAME; stores in '{data_dir}': {', '.join(known) or 'none'}")
    return Store(Path(run.about()["store"]))
