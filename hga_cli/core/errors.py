"""One family of errors. The library raises them; only the terminal prints them.

A message says what is wrong, where, what was expected and what was found; the hint says what repairs it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches


class HgaError(Exception):
    """An error the user can repair. ``exit_code`` is what the program ends with."""

    exit_code = 1

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(HgaError):
    """The command line asks for something that does not exist or contradicts itself."""

    exit_code = 2


class DataError(HgaError):
    """A file, folder, store, split or table is missing or wrong."""

    exit_code = 3


class ConfigError(HgaError):
    """A configuration value or a checkpoint does not fit."""

    exit_code = 4


class SetupError(HgaError):
    """A device or a package is missing."""

    exit_code = 5


def exit_code_of(error: BaseException) -> int:
    """Return what the program ends with when this error ends it: 130 is Ctrl-C, 1 something unforeseen."""
    if isinstance(error, HgaError):
        return error.exit_code
    if isinstance(error, OSError):
        return DataError.exit_code
    return 130 if isinstance(error, KeyboardInterrupt) else 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing that is wrong with one case."""

    case: str
    file: str
    problem: str

    def as_dict(self) -> dict[str, str]:
        """Return the three fields, for ``--json``."""
        return {"case": self.case, "file": self.file, "problem": self.problem}


class ProblemsError(DataError):
    """Many problems found in one pass, shown as one table."""

    def __init__(self, message: str, problems: Sequence[Problem], *, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.problems = tuple(problems)


def suggestion(name: str, known: Iterable[str]) -> str:
    """Return ``did you mean 'x'? known: x, y`` for a mistyped name."""
    names = sorted(known)
    close = get_close_matches(name, names, n=1)
    start = f"did you mean '{close[0]}'? " if close else ""
    return f"{start}known: {', '.join(names)}"
