"""What a data set is: modalities and their file names, labels, regions, subjects. One TOML file each.

The shipped ones are in ``data/raw/descriptions``; a user's own has the same keys. A file may start from a shipped one
(``base = "brats"``) and say only what differs, and it may leave modalities and labels to the ``dataset.json`` of the
raw folder (``dataset_json = true``).
"""

import re
import tomllib
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import AfterValidator, ConfigDict, Field, TypeAdapter, ValidationError, model_validator
from pydantic.dataclasses import dataclass

from hga_cli.core.catalog import shipped
from hga_cli.core.combinations import Combination, all_combinations, combination_name, in_order
from hga_cli.core.config import merged
from hga_cli.core.errors import ConfigError, UsageError, suggestion
from hga_cli.data.raw.case_ids import composed
from hga_cli.imaging.arrays import SUFFIX
from hga_cli.imaging.volume import PATIENT_SUFFIXES
from hga_cli.metrics.regions import Region

STRICT = ConfigDict(extra="forbid", use_attribute_docstrings=True)
LABEL, CHANNELS = "label", "channels"
RESERVED = frozenset({LABEL, CHANNELS, "fused"})
"""Words that mean something else where a modality is named."""
Name = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_-]*$", max_length=40)]
SEPARATORS = "_- ."
"""What stands between a case and an ending."""


def _path_end(text: str) -> str:
    """Drop a suffix that was written too (``labels/*.nii.gz``): names are compared without it."""
    suffix = next((one for one in (*PATIENT_SUFFIXES, SUFFIX) if text.lower().endswith(one)), "")
    plain = composed(text[: len(text) - len(suffix)])
    if not plain.strip(SEPARATORS):
        message = f"'{text}' names no file; write what names end in, for example t1"
        raise ValueError(message)
    return plain


def _ending(text: str) -> str:
    """Drop the separator before an ending too (``_t1``): any separator may stand there."""
    plain = _path_end(text)
    return plain if "/" in plain or "*" in plain else plain.lstrip(SEPARATORS)


Ending = Annotated[str, AfterValidator(_ending)]
PathEnd = Annotated[str, AfterValidator(_path_end)]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class LabelClass:
    """One class: class k of the network is the k-th entry (background is 0)."""

    name: Name
    values: Annotated[tuple[int, ...], Field(min_length=1)]
    """Values that mean this class in a file. The first is written where a model never saw a file with labels."""
    doubt: str = ""
    """What to do where a file, or a whole data set, uses more than one of the values."""


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
    ids: tuple[str, ...] = ()
    """The combinations in the order of their numbers in published tables; empty: by size, from the last modality on."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Layout:
    """Where files lie, where the endings of their names do not say everything."""

    case: str | None = None
    """Regular expression, searched in the absolute path without suffix; its groups, joined by ``_``, are the case id,
    and the files of a case may lie in several folders. None, no match or no group: what stands before the ending in
    the file name, else the name of the folder; the files of a case lie in one folder."""
    ignore: tuple[PathEnd, ...] = ()
    """Ends of paths (``Raw_Data/*``) that preprocessing passes over."""
    suffixes: Annotated[tuple[str, ...], Field(min_length=1)] = (".nii.gz", ".nii")
    orientation: Annotated[str, Field(pattern=r"^[RL][AP][SI]$")] = "RAS"
    """Direction of the axes of arrays (``.npy``), which do not say it themselves."""
    spacing: tuple[float, float, float] = (1.0, 1.0, 1.0)
    """Voxel size of arrays (``.npy``) in mm."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Description:
    """A data set. M = number of modalities, K = number of labels + 1 (background)."""

    name: Name
    title: str = ""
    modalities: Annotated[tuple[Name, ...], Field(min_length=1)]
    files: dict[str, Annotated[tuple[Ending, ...], Field(min_length=1)]]
    """For each modality, and for ``label``, the endings of file names, compared without case; a separator before them
    (``_t1``) and a suffix (``.nii.gz``) are dropped. An entry with ``/`` or ``*`` is a pattern for the end of a path
    instead (``Masks/Consensus``). A pattern with a folder comes before endings; of two entries that match, the one that
    matches less counts (``post_t1`` before ``t1``, ``*t1_gd*`` before ``*t1*``); else the file is a problem.
    ``channels``, if it is there: files that hold all modalities along their last axis, in the order of
    ``modalities``."""
    labels: Annotated[tuple[LabelClass, ...], Field(min_length=1)]
    regions: Annotated[tuple[RegionOfLabels, ...], Field(min_length=1)]
    ignore_label: int | None = None
    """The value of voxels that nobody labelled (``ignore`` of nnU-Net): a file that holds it is refused."""
    subject: str | None = None
    """Regular expression whose first group, found in a case id, is the subject; None or no match: the id itself."""
    list_name: str | None = None
    """Regular expression for names in lists (splits, imbalance tables): its first group is the case, a second one the
    number of a slice. None or no match: the name is the case."""
    layout: Layout = Field(default_factory=Layout)
    imbalance: Rates = Field(default_factory=Rates)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        names = [entry.name for entry in self.labels]
        endings = [word for words in self.files.values() for word in {one.casefold() for one in words}]
        values = [value for entry in self.labels for value in entry.values]
        digits = self.imbalance.digits
        checks = [
            (len(set(self.modalities)) == len(self.modalities), "a modality is named twice"),
            (not RESERVED & set(self.modalities), f"a modality cannot be called {', '.join(sorted(RESERVED))}"),
            (
                set(self.files) - {CHANNELS} == {*self.modalities, LABEL},
                "[files] needs one entry per modality and one for label",
            ),
            (len(set(values)) == len(values) and 0 not in values, "a label value is used twice, or is 0 (background)"),
            (self.ignore_label not in (0, *values), "ignore_label is the value of a label, or 0 (background)"),
            (len(set(names)) == len(names), "two labels have the same name"),
            (len({region.name for region in self.regions}) == len(self.regions), "two regions have the same name"),
            (len(set(endings)) == len(endings), "an ending stands for two modalities"),
            (all(set(region.labels) <= set(names) for region in self.regions), "a region names an unknown label"),
            (not digits or sorted(digits) == sorted(self.modalities), "imbalance.digits must name each modality once"),
            (
                not self.imbalance.ids
                or sorted(self.imbalance.ids) == sorted(map(combination_name, all_combinations(self.modalities))),
                "imbalance.ids must name each combination once",
            ),
        ]
        for holds, text in checks:
            if not holds:
                raise ValueError(text)
        patterns = {"subject": self.subject, "list_name": self.list_name, "layout.case": self.layout.case}
        for key, pattern in patterns.items():
            _require_group(key, pattern)
        return self

    @property
    def classes(self) -> int:
        """K: labels and background."""
        return len(self.labels) + 1

    @property
    def digits(self) -> Combination:
        """The modalities in the order of the digits of a short form of rates."""
        return self.imbalance.digits or self.modalities

    @property
    def numbered(self) -> list[Combination]:
        """The 2**M - 1 combinations, each at the place of its number in published tables."""
        named = {combination_name(one): one for one in all_combinations(self.modalities)}
        if self.imbalance.ids:
            return [named[name] for name in self.imbalance.ids]
        return [in_order(one, self.modalities) for one in all_combinations(self.modalities[::-1])]

    def subject_of(self, case: str) -> str:
        """Return the subject of a case id."""
        found = re.match(self.subject, case) if self.subject else None
        return (found.group(1) if found else None) or case

    def listed(self, name: str) -> tuple[str, int | None]:
        """Return (case, slice) that a name in a list means; the slice is None where it is the whole case.

        Raises:
            ConfigError: what the rule takes for the number of a slice is none.
        """
        found = re.match(self.list_name, name) if self.list_name else None
        if found is None or not found.group(1):
            return name, None
        case, *others = found.groups()
        number = others[0] if others else None
        if number is not None and not number.isdecimal():
            message = f"data set '{self.name}', list_name: '{number}' in '{name}' is no number of a slice"
            raise ConfigError(message, hint=r"its second group is the number of a slice, (\d+), or is not there")
        return case, None if number is None else int(number)

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


def load_description(name_or_file: str, raw: Path | None = None) -> Description:
    """Return a shipped description by name, or one from a TOML file.

    Args:
        name_or_file: ``brats``, or ``mine.toml``.
        raw: the raw folder, for descriptions that leave modalities and labels to its ``dataset.json``.

    Raises:
        UsageError: no such name.
        ConfigError: no such file, or it does not describe a data set.
        DataError: there is no usable ``dataset.json`` in ``raw``.
    """
    tree = _tree(name_or_file)
    if tree.pop("dataset_json", False):
        from hga_cli.data.raw.dataset_json import read_dataset_json

        tree = merged(tree, read_dataset_json(raw, name_or_file))
    return parse_description(tree, name_or_file)


def _tree(name_or_file: str) -> dict[str, Any]:
    """Read a description and lay it over the one it is based on."""
    known = shipped("data/raw/descriptions")
    path = Path(name_or_file)
    if name_or_file in known:
        text = known[name_or_file].read_text(encoding="utf-8")
    elif path.suffix == ".toml":
        text = _text(path)
    else:
        message = f"no data set called '{name_or_file}'"
        raise UsageError(message, hint=f"{suggestion(name_or_file, known)}; or a file: --dataset mine.toml")
    try:
        tree = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        message = f"'{path}' is not a TOML file: {error}"
        raise ConfigError(message, hint="compare it with a shipped one: hga info datasets brats") from None
    base = tree.pop("base", None)
    if base is None:
        return tree
    if base not in known:
        message = f"data set description '{name_or_file}', base: no shipped data set called '{base}'"
        raise ConfigError(message, hint=suggestion(str(base), known))
    return merged(_inherited(_tree(base), tree.get("modalities")), tree)


def _inherited(base: dict[str, Any], modalities: Any) -> dict[str, Any]:
    """Return what is taken from a base under other modalities: no file of those that are gone.

    What digits mean holds for the same modalities in any order, numbers of combinations for the same order only.
    """
    if not isinstance(modalities, list):
        return base
    before, rates = base.get("modalities", []), dict(base.get("imbalance", {}))
    if sorted(before) != sorted(map(str, modalities)):
        rates = {}
    elif before != modalities:
        rates.pop("ids", None)
    files = {role: words for role, words in base["files"].items() if role in (*modalities, LABEL, CHANNELS)}
    return {**base, "files": files, "imbalance": rates}


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        message = f"no data set description '{path}'"
        raise ConfigError(message, hint=f"shipped ones: {', '.join(shipped('data/raw/descriptions'))}") from None
    except UnicodeDecodeError as error:
        message = f"'{path}' is not a TOML file: {error}"
        raise ConfigError(message, hint="save it as UTF-8 text") from None


def parse_description(tree: dict[str, Any], source: str) -> Description:
    """Check a tree of plain values and return it as a description.

    Raises:
        ConfigError: says which key of ``source`` is wrong and why.
    """
    try:
        return TypeAdapter(Description).validate_python(tree)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"]) or "file"
        message = f"data set description '{source}', {key}: {first['msg']}"
        raise ConfigError(message, hint="compare it with a shipped one: hga info datasets brats") from None


def as_tree(description: Description) -> dict[str, Any]:
    """Return a description as plain values, for a store or a checkpoint."""
    tree: dict[str, Any] = TypeAdapter(Description).dump_python(description, mode="json")
    return tree


def _require_group(key: str, pattern: str | None) -> None:
    """Check a regular expression (pydantic turns the ValueError into one of its own)."""
    try:
        if pattern is not None and re.compile(pattern).groups < 1:
            message = f"{key} needs a group in parentheses"
            raise ValueError(message)
    except re.error as error:
        message = f"{key} is no regular expression: {error}"
        raise ValueError(message) from None
