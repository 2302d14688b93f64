"""Splits that others made: folders of lists, tables, and the shipped ones in ``presets/splits``."""

import tomllib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from hga_cli.core.catalog import shipped
from hga_cli.core.errors import DataError, suggestion
from hga_cli.data.lists import CASE_COLUMNS, Item, Roll, Row, read_names, read_rows, some
from hga_cli.data.splits import PARTS, Split

SPELLINGS = {
    **{"train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val"},
    **{"test": "test", "testing": "test"},
}
PART_COLUMNS = ("part", "split", "fold")
HINT = "a folder with train.txt, test.txt and perhaps val.txt; a table with columns case and part"


@dataclass(frozen=True, slots=True, kw_only=True)
class Lists:
    """What lists say, before it is known which cases the names mean."""

    source: str
    parts: dict[str, list[str]]
    """Part -> names, all three parts."""
    subjects: dict[str, str] = field(default_factory=dict)
    """Name -> subject, where a table says so."""
    shipped: bool = False
    """The data set may have fewer cases than a shipped split names."""

    @property
    def repeated(self) -> list[str]:
        """The names that stand there more than once, sorted."""
        counts = Counter(name for part in PARTS for name in self.parts[part])
        return sorted(name for name, count in counts.items() if count > 1)


def read_lists(source: str) -> Lists:
    """Read a shipped split (by its name), a folder of lists, or a table.

    Raises:
        DataError: there is nothing of the kind, or it cannot be read.
    """
    known, path = shipped("presets/splits"), Path(source)
    if source in known:
        tree = tomllib.loads(known[source].read_text(encoding="utf-8"))
        return Lists(source=source, parts={part: tree[part] for part in PARTS}, shipped=True)
    if path.stem in PARTS and path.suffix == ".txt" and path.exists():
        path = path.parent
    if path.is_dir():
        return _read_folder(path)
    if path.is_file():
        return _read_table(path)
    message = f"no list of cases '{source}'"
    raise DataError(message, hint=f"{HINT}; or a shipped split: {suggestion(source, known)}")


def split_of(lists: Lists, roll: Roll, name: str) -> tuple[Split, list[str]]:
    """Return the split that lists mean, and the names of a shipped split that are no cases of the store.

    Raises:
        DataError: unknown names, two parts that share a case, or a part of a shipped split of which nobody is there.
    """
    names = [name for part in PARTS for name in lists.parts[part]]
    found = {name: item for name in names if (item := roll.find(name)) is not None}
    if not (lists.shipped and found):
        found = roll.find_all(names, lists.source)
    parts = {part: [name for name in lists.parts[part] if name in found] for part in PARTS}
    _refuse_shared_cases(parts, found, lists.source)
    for part in PARTS:
        if lists.parts[part] and not parts[part]:
            message = f"none of the {len(lists.parts[part])} {part} cases of '{lists.source}' is in the store"
            raise DataError(message, hint=f"preprocess them too: {some(lists.parts[part])}")
    cases = {part: sorted({found[name][0] for name in parts[part]}) for part in PARTS}
    split = Split(name=name, **cases, about={"from": Path(lists.source).name})
    return split, [name for name in names if name not in found]


def subjects_in(names: dict[str, str], roll: Roll, where: str) -> dict[str, str]:
    """Return case -> subject from name -> subject.

    Raises:
        DataError: unknown names, or names of one case with different subjects.
    """
    subjects: dict[str, str] = {}
    for name, (case, _) in roll.find_all(list(names), where).items():
        if subjects.setdefault(case, names[name]) != names[name]:
            message = f"{where}: case '{case}' has two subjects, '{subjects[case]}' and '{names[name]}'"
            raise DataError(message, hint="a case belongs to one subject")
    return subjects


def read_subjects(path: Path) -> dict[str, str]:
    """Read a table with columns case and subject.

    Raises:
        DataError: it cannot be read, a cell is empty, or a name has two subjects.
    """
    return _subjects(read_rows(path))


def lost_zeros(names: Iterable[str]) -> str:
    """Return what to add about names that are there twice, where one is a number: perhaps it was another name once."""
    odd = next((name for name in names if name.isdecimal()), None)
    return f"; or was one of them '00{odd}' before a spreadsheet program took it for a number?" if odd else ""


def _read_folder(folder: Path) -> Lists:
    parts: dict[str, list[str]] = {"val": []}
    for part in PARTS:
        file = folder / f"{part}.txt"
        if file.exists():
            parts[part] = read_names(file, may_be_empty=part == "val")
    if lacking := [f"{part}.txt" for part in PARTS if part not in parts]:
        message = f"folder '{folder}' has no {' and no '.join(lacking)}"
        raise DataError(message, hint=HINT)
    return Lists(source=str(folder), parts=parts)


def _read_table(path: Path) -> Lists:
    rows = read_rows(path)
    parts: dict[str, list[str]] = {part: [] for part in PARTS}
    for row in rows:
        word = row.cell(*PART_COLUMNS)
        if word.lower() not in SPELLINGS:
            message = f"{row.where}: no part called '{word}'"
            raise DataError(message, hint=f"expected one of: {', '.join(SPELLINGS)}")
        parts[SPELLINGS[word.lower()]].append(row.cell(*CASE_COLUMNS))
    if not parts["train"]:
        message = f"'{path}' names no training case"
        raise DataError(message, hint=HINT)
    has_subjects = "subject" in map(str.lower, rows[0].cells)
    return Lists(source=str(path), parts=parts, subjects=_subjects(rows) if has_subjects else {})


def _subjects(rows: list[Row]) -> dict[str, str]:
    subjects: dict[str, str] = {}
    for row in rows:
        name, subject = row.cell(*CASE_COLUMNS), row.cell("subject")
        if subjects.setdefault(name, subject) != subject:
            message = f"{row.where}: '{name}' has two subjects, '{subjects[name]}' and '{subject}'"
            raise DataError(message, hint="a case belongs to one subject")
    return subjects


def _refuse_shared_cases(parts: dict[str, list[str]], found: dict[str, Item], source: str) -> None:
    first: dict[str, tuple[str, str]] = {}
    leaks: dict[str, str] = {}
    for part in PARTS:
        for name in parts[part]:
            case = found[name][0]
            other, place = first.setdefault(case, (name, part))
            if place != part:
                leaks.setdefault(case, f"'{other}' in {place} and '{name}' in {part}")
    if leaks:
        message = f"{source}: {len(leaks)} cases are in two parts, for example {next(iter(leaks.values()))}"
        hint = "all slices of a case, and all cases of a subject, belong to one part"
        raise DataError(message, hint=hint + lost_zeros(leaks))
