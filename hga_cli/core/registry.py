"""A table of things that can be chosen by name. It imports nothing until an entry is loaded."""

from dataclasses import dataclass
from importlib import import_module
from typing import Any, Generic, TypeVar

from hga_cli.core.errors import ConfigError, suggestion


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One choice: its name, where it lives (``module:attribute``), one line about it, and its source."""

    name: str
    target: str
    summary: str
    source: str


E = TypeVar("E", bound=Entry)


class Registry(Generic[E]):
    """Names of one kind of thing, for example backbones."""

    def __init__(self, kind: str, entries: list[E]) -> None:
        self.kind = kind
        self.entries = {entry.name: entry for entry in entries}
        if len(self.entries) != len(entries):
            message = f"two entries of the table of {kind}s have the same name"
            raise ValueError(message)

    def check(self, name: str) -> E:
        """Return the entry called ``name``.

        Raises:
            ConfigError: there is none; the hint suggests the nearest name.
        """
        if name not in self.entries:
            message = f"no {self.kind} called '{name}'"
            raise ConfigError(message, hint=suggestion(name, self.entries))
        return self.entries[name]

    def load(self, name: str) -> Any:
        """Import and return what the entry points to."""
        module, attribute = self.check(name).target.split(":")
        return getattr(import_module(module), attribute)
