"""What can be chosen by name, without importing anything heavy: shipped TOML files and the tables of the catalog."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any

from hga_cli.core.backbones import BACKBONES
from hga_cli.core.catalog import BALANCERS, OUTER_UPDATES, SAMPLERS, TERMS, shipped
from hga_cli.core.errors import UsageError, suggestion
from hga_cli.core.registry import Registry

SHIPPED = {
    "datasets": "data/raw/descriptions",
    "methods": "presets/methods",
    "presets": "presets/recipes",
    "splits": "presets/splits",
}
"""Kinds whose names are TOML files, and their folders in the package."""
TABLES: Mapping[str, Registry[Any]] = {
    "backbones": BACKBONES,
    "balancers": BALANCERS,
    "outer-updates": OUTER_UPDATES,
    "samplers": SAMPLERS,
    "terms": TERMS,
}
"""Kinds whose names are entries of the catalog."""
KINDS = (*SHIPPED, *TABLES)


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """One name, one line about it, and where it comes from."""

    name: str
    summary: str
    source: str

    def as_dict(self) -> dict[str, str]:
        """Return the three fields, for ``--json``."""
        return {"name": self.name, "summary": self.summary, "source": self.source}


def listed(kind: str) -> list[Listed]:
    """Return everything of a kind (one of ``KINDS``), sorted by name."""
    if kind in TABLES:
        entries = TABLES[kind].entries.values()
        return [Listed(name=entry.name, summary=entry.summary, source=entry.source) for entry in entries]
    return [_from_file(name, file) for name, file in _files(kind).items()]


def text_of(kind: str, name: str) -> str:
    """Return a shipped TOML file as it is, or what the catalog says of a name.

    Raises:
        UsageError: no such name; the hint suggests the nearest one.
    """
    known = TABLES[kind].entries if kind in TABLES else _files(kind)
    if name not in known:
        message = f"no '{name}' among the {kind}"
        raise UsageError(message, hint=suggestion(name, known) if known else f"there are no {kind}")
    if kind in SHIPPED:
        return _files(kind)[name].read_text(encoding="utf-8")
    entry = TABLES[kind].entries[name]
    return f"{entry.name}: {entry.summary}\nsource: {entry.source}\ncode: {entry.target.replace(':', ', ')}\n"


def kinds_of(name: str) -> list[str]:
    """Return the kinds that have this name."""
    return [kind for kind in KINDS if name in (TABLES[kind].entries if kind in TABLES else _files(kind))]


def _files(kind: str) -> dict[str, Traversable]:
    folder = SHIPPED[kind]
    return shipped(folder) if files("hga_cli").joinpath(folder).is_dir() else {}


def _from_file(name: str, file: Traversable) -> Listed:
    tree = tomllib.loads(file.read_text(encoding="utf-8"))
    return Listed(name=name, summary=tree.get("summary") or tree.get("title", ""), source=tree.get("source", ""))
