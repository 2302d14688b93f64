"""What a data set is: modalities and their file names, labels, regions, subjects. One TOML file each.

The shipped ones are in ``data/descriptions``; a user's own has the same keys.
"""

import re
import tomllib
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError, model_validator
from pydantic.dataclasses import dataclass

from hga_cli.core.catalog import shipped
from hga_cli.core.combinations import Combination
from hga_cli.core.errors import ConfigError, suggestion
from hga_cli.metrics.regions import Region

STRICT = ConfigDict(extra="forbid", use_attribute_docstrings=True)
LABEL = "label"
Name = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_-]*$", max_length=40)]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class LabelClass:
    """One class: class k of the network is the k-th entry (background is 0)."""

    name: Name
    values: Annotated[tuple[int, ...], Field(min_length=1)]
    """Values that mean this class in a file. The first is written where a model never saw a file with labels."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class RegionOfLabels:
    """A union of classes that is scored together."""

    name: Name
    labels: Annotated[tuple[str, ...], Field(min_length=1)]
    minimum_voxels: Annotated[int, Field(ge=0)] = 0
    """A prediction with fewer voxels counts as empty (ET of BraTS: 500)."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Rates:
    """How the short form of missing rates (mr2468) is read."""

    digits: tuple[str, ...] = ()
    """The modality of each digit."""
    patterns: tuple[str, ...] = ()
    """Order in which patterns of presence are visited; empty: from all present downwards, as binary numbers."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Description:
    """A data set. M = number of modalities, K = number of labels + 1 (background)."""

    name: Name
    title: str = ""
    modalities: Annotated[tuple[Name, ...], Field(min_length=1)]
    files: dict[str, Annotated[tuple[str, ...], Field(min_length=1)]]
    """For each modality, and for ``label``, the endings of file names (without ``.nii.gz``), compared without case."""
    labels: Annotated[tuple[LabelClass, ...], Field(min_length=1)]
    regions: Annotated[tuple[RegionOfLabels, ...], Field(min_length=1)]
    subject: str | None = None
    """Regular expression whose first group, found in a case id, is the subject; None or no match: the id itself."""
    imbalance: Rates = Field(default_factory=Rates)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        names = [entry.name for entry in self.labels]
        values = [value for entry in self.labels for value in entry.values]
        digits = self.imbalance.digits
        checks = [
            (len(set(self.modalities)) == len(self.modalities), "a modality is named twice"),
            (LABEL not in self.modalities, f"'{LABEL}' cannot be a modality"),
            (set(self.files) == {*self.modalities, LABEL}, "[files] needs one entry per modality and one for label"),
            (len(set(values)) == len(values) and 0 not in values, "a label value is used twice, or is 0 (background)"),
            (all(set(region.labels) <= set(names) for region in self.regions), "a region names an unknown label"),
            (not digits or sorted(digits) == sorted(self.modalities), "imbalance.digits must name each modality once"),
            (self.subject is None or re.compile(self.subject).groups >= 1, "subject needs a group in parentheses"),
        ]
        for holds, text in checks:
            if not holds:
                raise ValueError(text)
        return self

    @property
    def classes(self) -> int:
        """K: labels and background."""
        return len(self.labels) + 1

    @property
    def digits(self) -> Combination:
        """The modalities in the order of the digits of a short form of rates."""
        return self.imbalance.digits or self.modalities

    def subject_of(self, case: str) -> str:
        """Return the subject of a case id."""
        found = re.match(self.subject, case) if self.subject else None
        return found.group(1) if found else case

    def scored_regions(self) -> list[Region]:
        """Return the regions as sets of class indices."""
        index = {entry.name: position for position, entry in enumerate(self.labels, start=1)}
        return [
            Region(
                name=region.name,
                classes=tuple(index[label] for label in region.labels),
                minimum_voxels=region.minimum_voxels,
            )
            for region in self.regions
        ]


def load_description(name_or_file: str) -> Description:
    """Return a shipped description by name, or one from a TOML file.

    Raises:
        ConfigError: no such name or file, or the file does not describe a data set.
    """
    known = shipped("data/descriptions")
    if name_or_file in known:
        return parse_description(tomllib.loads(known[name_or_file].read_text(encoding="utf-8")), name_or_file)
    path = Path(name_or_file)
    if path.suffix != ".toml":
        message = f"no data set called '{name_or_file}'"
        raise ConfigError(message, hint=f"{suggestion(name_or_file, known)}; or a file: --dataset mine.toml")
    try:
        return parse_description(tomllib.loads(path.read_text(encoding="utf-8")), name_or_file)
    except FileNotFoundError:
        message = f"no data set description '{path}'"
        raise ConfigError(message, hint=f"shipped ones: {', '.join(known)}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        message = f"'{path}' is not a TOML file: {error}"
        raise ConfigError(message) from None


def parse_description(tree: dict[str, Any], source: str) -> Description:
    """Check a tree of plain values and return it as a description.

    Raises:
        ConfigError: says which key of ``source`` is wrong and why.
    """
    try:
        return TypeAdapter(Description).validate_python(tree)
    except (ValidationError, re.error) as error:
        first = error.errors()[0] if isinstance(error, ValidationError) else {"loc": ("subject",), "msg": str(error)}
        key = ".".join(str(part) for part in first["loc"]) or "file"
        message = f"data set description '{source}', {key}: {first['msg']}"
        raise ConfigError(message, hint="compare it with a shipped description, for example brats") from None


def as_tree(description: Description) -> dict[str, Any]:
    """Return a description as plain values, for a store or a checkpoint."""
    tree: dict[str, Any] = TypeAdapter(Description).dump_python(description, mode="json")
    return tree
