"""Lists and tables of modules that know what kind of module they hold."""

from collections.abc import Iterator
from typing import Generic, TypeVar

from torch import nn

Kind = TypeVar("Kind", bound=nn.Module)


class Modules(nn.ModuleList, Generic[Kind]):
    """Modules of one kind in a row."""

    def __iter__(self) -> Iterator[Kind]:
        """Return the modules in turn."""
        return super().__iter__()  # type: ignore[return-value]

    def __getitem__(self, place: int) -> Kind:  # type: ignore[override]
        """Return one module."""
        return super().__getitem__(place)  # type: ignore[return-value]


class PerModality(nn.ModuleDict, Generic[Kind]):
    """One module for each modality; all parameters outside are shared by the modalities."""

    def __getitem__(self, name: str) -> Kind:
        """Return the module of a modality."""
        return super().__getitem__(name)  # type: ignore[return-value]
