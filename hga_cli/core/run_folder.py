"""A run: one folder with config, checkpoints, journal and results.

``config.toml`` (resolved), ``run.json`` (where it came from and whether it is finished), ``checkpoints/``,
``journal.jsonl`` (one line per epoch), ``log.txt``, ``metrics.json`` and ``metrics.csv``.
"""

import json
import re
import shutil
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from filelock import FileLock, Timeout

from hga_cli.core.atomic import write_json, write_text
from hga_cli.core.errors import DataError, UsageError, suggestion

RUNNING, FINISHED = "running", "finished"
ALWAYS_TOLD = ("status", "changed", "store")
"""What every ``run.json`` says."""


class RunFolder:
    """The files of one run."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def name(self) -> str:
        """The name of the run."""
        return self.path.name

    @property
    def last(self) -> Path:
        """The newest checkpoint."""
        return self.path / "checkpoints" / "last.safetensors"

    @property
    def previous(self) -> Path:
        """The checkpoint before the newest."""
        return self.path / "checkpoints" / "previous.safetensors"

    @property
    def best(self) -> Path:
        """The checkpoint that was best in validation, if there was one."""
        return self.path / "checkpoints" / "best.safetensors"

    @property
    def config_file(self) -> Path:
        """The resolved settings."""
        return self.path / "config.toml"

    def about(self) -> dict[str, Any]:
        """Read ``run.json``.

        Raises:
            DataError: this is no run folder, or ``run.json`` is not one of ours.
        """
        try:
            about = json.loads((self.path / "run.json").read_text(encoding="utf-8"))
        except (FileNotFoundError, NotADirectoryError):
            message = f"'{self.path}' is no run folder: it has no run.json"
            raise DataError(message, hint="name a folder that 'hga train' made") from None
        except ValueError:
            about = None
        if not isinstance(about, dict) or not all(isinstance(about.get(key), str) for key in ALWAYS_TOLD):
            message = f"'{self.path / 'run.json'}' is damaged, or was not made by 'hga train'"
            raise DataError(message, hint="move that folder elsewhere")
        return about

    def write_about(self, about: dict[str, Any]) -> None:
        """Write ``run.json``."""
        write_json(self.path / "run.json", about)

    def write_config(self, text: str) -> None:
        """Write ``config.toml``."""
        write_text(self.config_file, text)

    def log(self, text: str) -> None:
        """Append one line with the time to ``log.txt``."""
        with (self.path / "log.txt").open("a", encoding="utf-8") as file:
            file.write(f"{datetime.now():%Y-%m-%d %H:%M:%S} {text}\n")

    def journal(self, line: dict[str, Any]) -> None:
        """Append one line to ``journal.jsonl``."""
        with (self.path / "journal.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")

    def has_journal(self) -> bool:
        """Tell whether an epoch is over."""
        path = self.path / "journal.jsonl"
        return path.exists() and path.stat().st_size > 0

    def rewind_journal(self, epoch: int) -> None:
        """Drop the lines of ``epoch`` and later: they will be written again."""
        self._change_journal(lambda lines: [line for line in lines if _epoch_of(line) < epoch])

    def complete_journal(self, line: dict[str, Any]) -> None:
        """Add to the line of an epoch what was found out after it was written."""
        self._change_journal(
            lambda lines: [
                json.dumps(json.loads(old) | line) if _epoch_of(old) == line["epoch"] else old for old in lines
            ]
        )

    def _change_journal(self, change: Callable[[list[str]], list[str]]) -> None:
        path = self.path / "journal.jsonl"
        if path.exists():
            lines = change(path.read_text(encoding="utf-8").splitlines())
            write_text(path, "".join(f"{line}\n" for line in lines))

    def lock(self) -> FileLock:
        """Return the lock that a training holds, taken.

        Raises:
            DataError: another process trains in this folder.
        """
        lock = FileLock(self.path / ".lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            message = f"another process is training in '{self.path}'"
            raise DataError(message, hint="wait for it, or choose another name with --run") from None
        return lock


class WatchedRun(RunFolder):
    """A run as all ranks but the first see it: they read it and write nothing."""

    def write_about(self, about: dict[str, Any]) -> None:
        """Write nothing."""

    def write_config(self, text: str) -> None:
        """Write nothing."""

    def log(self, text: str) -> None:
        """Write nothing."""

    def journal(self, line: dict[str, Any]) -> None:
        """Write nothing."""

    def rewind_journal(self, epoch: int) -> None:
        """Write nothing."""

    def complete_journal(self, line: dict[str, Any]) -> None:
        """Write nothing."""

    def lock(self) -> FileLock:
        """Return a lock that is not taken: the first rank holds the one that counts."""
        return FileLock(self.path / ".lock")


def new_run(runs_dir: Path, name: str, *, overwrite: bool) -> RunFolder:
    """Make an empty run folder; what ``require_free`` refuses is refused."""
    run = require_free(runs_dir, name, overwrite=overwrite)
    if not run.path.exists() or _has_contents(run.path):
        _remove(run.path)
    run.path.mkdir(parents=True, exist_ok=True)
    return run


def require_free(runs_dir: Path, name: str, *, overwrite: bool) -> RunFolder:
    """Return the run that ``new_run`` would make; nothing is removed.

    Raises:
        UsageError: the name is not a plain file name.
        DataError: the folder exists and is not empty (with ``overwrite``: and is no run, or one that still trains).
    """
    run = RunFolder(runs_dir / _plain(name))
    if run.path.is_file() or (run.path.exists() and _has_contents(run.path)):
        if not overwrite:
            message = f"run '{name}' exists in '{runs_dir}'"
            raise DataError(
                message, hint="continue it with --resume, replace it with --overwrite, or choose --run NAME"
            )
        run.about()
        run.lock().release()
    return run


def find_run(runs_dir: Path, name: str | None, *, finished: bool) -> RunFolder:
    """Return a run by name or path; None means the latest one.

    Args:
        runs_dir: where runs are.
        name: of the run, or the path of its folder.
        finished: whether only finished runs count when no name is given.

    Raises:
        DataError: there is none.
    """
    if name is not None:
        path = Path(name) if (Path(name) / "run.json").exists() else runs_dir / _plain(name)
        if not (path / "run.json").exists():
            known = [folder.parent.name for folder in runs_dir.glob("*/run.json")]
            message = f"no run '{name}' in '{runs_dir}'"
            raise DataError(message, hint=suggestion(name, known) if known else "make one with 'hga train'")
        return RunFolder(path)
    found = [RunFolder(file.parent) for file in runs_dir.glob("*/run.json")]
    usable = [run for run in found if not finished or run.about()["status"] == FINISHED]
    if not usable:
        what = "finished run" if finished else "run"
        message = f"no {what} in '{runs_dir}'"
        raise DataError(message, hint="make one with 'hga train', or name its folder with --runs-dir")
    return max(usable, key=lambda run: run.about()["changed"])


def _remove(run: Path) -> None:
    """Remove a run under another name, so that a kill in between leaves no half of it under its own.

    What such a kill left before is removed too.
    """
    start = f".removed-{run.name}-"
    for left in run.parent.glob(f"{start}????????"):
        shutil.rmtree(left, ignore_errors=True)
    if run.exists():
        with TemporaryDirectory(prefix=start, dir=run.parent, ignore_cleanup_errors=True) as aside:
            run.rename(Path(aside) / run.name)


def _has_contents(folder: Path) -> bool:
    """Tell whether something is in a folder beyond what a training leaves that failed before its first step."""
    return any(path.name not in (".lock", "config.toml") for path in folder.iterdir())


def fresh_name(runs_dir: Path, start: str) -> str:
    """Return ``start`` and the date and time, not used yet in ``runs_dir``."""
    name = dated = f"{start}-{datetime.now():%Y%m%d-%H%M%S}"
    number = 2
    while (runs_dir / name).exists():
        name = f"{dated}_{number}"
        number += 1
    return name


def _epoch_of(line: str) -> float:
    """Return the epoch of a line of the journal; infinity for one that was cut off by a kill."""
    try:
        return float(json.loads(line)["epoch"])
    except json.JSONDecodeError:
        return float("inf")


def _plain(name: str) -> str:
    if not re.fullmatch(r"[^\W_][\w.+-]{0,99}", name):
        message = f"'{name}' cannot be the name of a run"
        raise UsageError(message, hint="use letters, digits, dots, dashes; for example brats-hga-1")
    return name
