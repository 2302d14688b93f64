"""The runs of a sweep as commands of ``hga``: to be started one after another, or by ``make -j``."""

import shlex
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from hga_cli.core.atomic import write_text
from hga_cli.core.errors import DataError, UsageError
from hga_cli.core.run_folder import RunFolder
from hga_cli.core.sweep_plan import Member

MARK = "# made by hga sweep"
"""How our Makefile fragments begin."""
UNUSABLE = " \t\n:#%$\\=;|()*?[]~'\""
"""What a path must not have where make reads it as a target."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where the runs of a sweep are and what computes them."""

    store: Path
    data_dir: Path
    runs_dir: Path
    device: tuple[str, ...] = ()
    """``--device`` or ``--gpu`` with its value, as it was typed."""

    def run(self, name: str) -> RunFolder:
        """Return the folder of a run."""
        return RunFolder(self.runs_dir / name)


def start_words(member: Member, place: Place) -> list[str]:
    """Return the command that trains a run from its start. What is there without a checkpoint is replaced."""
    return ["train", *member.words, *_train_words(member, place), "--overwrite"]


def resume_words(member: Member, place: Place) -> list[str]:
    """Return the command that continues a run with its own settings."""
    return ["train", "--resume", *_train_words(member, place)]


def evaluate_words(member: Member, place: Place) -> list[str]:
    """Return the command that scores a run on its test cases."""
    return ["evaluate", member.name, "--runs-dir", str(place.runs_dir), *place.device]


def write_makefile(target: Path, runs: Iterable[Member], place: Place) -> None:
    """Write a fragment with a rule for each run: ``make -k -j 2 -f FILE``.

    A run is done when it has a ``metrics.json``; one that has a checkpoint is continued.

    Raises:
        UsageError: the folder of runs has a name that make cannot read.
        DataError: something else than a fragment of ours is there.
    """
    if any(sign in UNUSABLE for sign in str(place.runs_dir)):
        message = f"make cannot read '{place.runs_dir}' as the name of a folder"
        raise UsageError(message, hint="choose --runs-dir without spaces and special signs")
    if target.is_dir() or (
        target.exists() and not target.read_text(encoding="utf-8", errors="replace").startswith(MARK)
    ):
        message = f"'{target}' is there already, and is no fragment of 'hga sweep'"
        raise DataError(message, hint="choose another file: --makefile sweep.mk")
    members = list(runs)
    goals = [str(place.run(member.name).path / "metrics.json") for member in members]
    head = [
        f"{MARK}; run it with: make -k -j 2 -f {target}",
        f"HGA ?= {_typed([sys.executable])} -m hga_cli",
        ".PHONY: sweep",
        f"sweep: {' '.join(goals)}",
    ]
    rules = [rule for goal, member in zip(goals, members, strict=True) for rule in _rule(goal, member, place)]
    write_text(target, "\n".join([*head, *rules, ""]))


def _rule(goal: str, member: Member, place: Place) -> list[str]:
    start, resume, evaluate = (
        f"$(HGA) {_typed(words(member, place))}" for words in (start_words, resume_words, evaluate_words)
    )
    checkpoint = place.run(member.name).last
    choice = f"if [ -e {checkpoint} ]; then {resume}; else {start}; fi"
    return ["", f"{goal}:", f"\t{choice}", f"\t{evaluate}"]


def _typed(words: Sequence[str]) -> str:
    """Return words as they are typed in a recipe."""
    return shlex.join(words).replace("$", "$$")


def _train_words(member: Member, place: Place) -> list[str]:
    folders = ["--runs-dir", str(place.runs_dir), "--data-dir", str(place.data_dir)]
    return ["--dataset", str(place.store), "--run", member.name, *folders, *place.device]
