"""What a workflow tells its caller while it works. The terminal draws it; the library says nothing."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol


class Progress(Protocol):
    """Receives what a workflow is doing."""

    def say(self, text: str) -> None:
        """Tell one line."""

    def warn(self, text: str) -> None:
        """Tell one line that the user should not overlook."""

    def start(self, title: str, total: int, done: int = 0) -> None:
        """Begin a stage of ``total`` parts, of which ``done`` were finished before."""

    def advance(self, note: str = "") -> None:
        """One more part of the stage is finished."""

    def finish(self) -> None:
        """The stage is over."""


class Silent:
    """Tells nothing: the default of the library."""

    def say(self, text: str) -> None:
        """Tell nothing."""

    def warn(self, text: str) -> None:
        """Tell nothing."""

    def start(self, title: str, total: int, done: int = 0) -> None:
        """Tell nothing."""

    def advance(self, note: str = "") -> None:
        """Tell nothing."""

    def finish(self) -> None:
        """Tell nothing."""


@contextmanager
def stage(progress: Progress, title: str, total: int, done: int = 0) -> Iterator[None]:
    """Begin a stage of ``total`` parts and make sure that it ends, whatever happens inside."""
    progress.start(title, total, done)
    try:
        yield
    finally:
        progress.finish()
