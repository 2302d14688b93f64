"""Lists of names and tables that people wrote. Everything in them is text: ``001``, ``1e5`` and ``nan`` stay so.

A name in a list means a case of a store as the description says (``list_name``): ``HG_BraTS20_Training_002`` is
``BraTS20_Training_002``, and ``myops_training_101_slice_3`` is slice 3 of ``myops_training_101``.
"""

import csv
import io
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from hga_cli.core.errors import DataError
from hga_cli.data.raw.case_ids import composed
from hga_cli.data.raw.description import Description

Item = tuple[str, int | None]
"""A case and the number of a slice; None is the whole case."""
CASE_COLUMNS = ("case", "data_name")


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of a table."""

    where: str
    """File and line, for errors."""
    cells: dict[str, str]
    """Column -> text."""

    def cell(self, *columns: str) -> str:
        """Return the text of the first of these columns (small letters) in which something is written.

        Raises:
            DataError: there is none.
        """
        known = {column.lower(): text for column, text in self.cells.items()}
        for column in columns:
            if known.get(column):
                return known[column]
        message = f"{self.where}: nothing in column '{columns[0]}'; columns: {', '.join(self.cells)}"
        raise DataError(message, hint=f"the first line names the columns; give each line a '{columns[0]}'")


def read_names(path: Path, *, may_be_empty: bool = False) -> list[str]:
    """Read a text file with one name a line; empty lines mean nothing.

    Raises:
        DataError: no such file, no UTF-8 text, or no name in it, unless that may be.
    """
    names = [line.strip() for line in _text(path).split("\n") if line.strip()]
    if not names and not may_be_empty:
        message = f"'{path}' names nothing"
        raise DataError(message, hint="write one name a line")
    return names


def read_rows(path: Path) -> list[Row]:
    """Read a table with names of columns in its first line; commas, semicolons, tabs or blanks separate.

    Raises:
        DataError: no such file, no UTF-8 text, no row, or a row of another length than the first line.
    """
    text = _text(path)
    first = text.lstrip().partition("\n")[0]
    separator = next((mark for mark in ",;\t" if mark in first), " ")
    lines = csv.reader(io.StringIO(text), delimiter=separator, skipinitialspace=True)
    rows: list[Row] = []
    columns: list[str] | None = None
    try:
        for line in lines:
            cells = [cell.strip() for cell in line]
            where = f"'{path}', line {lines.line_num}"
            if columns is None:
                columns = cells if any(cells) else None
            elif any(cells):
                rows.append(Row(where=where, cells=_named(columns, cells, where)))
    except csv.Error as error:
        message = f"'{path}', line {lines.line_num}: {error}"
        raise DataError(message, hint="save it as CSV; each quote that opens has to close") from None
    if not rows:
        message = f"'{path}' is a table without rows"
        raise DataError(message, hint="the first line names the columns, each other line is a case")
    return rows


def _named(columns: Sequence[str], cells: Sequence[str], where: str) -> dict[str, str]:
    if len(cells) != len(columns):
        message = f"{where}: {len(cells)} cells, expected {len(columns)}: {', '.join(columns)}"
        raise DataError(message, hint="put cells that hold a comma into quotes")
    if len(set(columns)) != len(columns):
        message = f"{where}: two columns have the same name: {', '.join(columns)}"
        raise DataError(message, hint="name each column once, in the first line")
    return dict(zip(columns, cells, strict=True))


class Roll:
    """The cases of a store under the names that lists give them.

    Args:
        description: says what a name means.
        cases: ids in the store; they may themselves be such names.
    """

    def __init__(self, description: Description, cases: Iterable[str]) -> None:
        self._description = description
        self._cases = frozenset(cases)
        self._meant: dict[Item, list[str]] = defaultdict(list)
        for case in sorted(self._cases):
            self._meant[description.listed(case)].append(case)

    def find(self, name: str) -> Item | None:
        """Return what a name means; None: no case of the store.

        Raises:
            DataError: it may mean several cases.
        """
        if name in self._cases:
            return name, None
        case, number = self._description.listed(name)
        for key, rest in (((case, number), None), ((case, None), number)):
            found = self._meant.get(key, [])
            if len(found) > 1:
                message = f"'{name}' may mean any of these cases: {', '.join(found)}"
                raise DataError(message, hint="write the id of the case as it is in the store")
            if found:
                return found[0], rest
        return None

    def find_all(self, names: Sequence[str], where: str) -> dict[str, Item]:
        """Return what each name of a list means.

        Args:
            names: of the list.
            where: name of the list, for the error.

        Raises:
            DataError: lists the names that are no cases of the store, and says where zeros were lost.
        """
        found = {name: self.find(name) for name in names}
        unknown = [name for name, item in found.items() if item is None]
        if unknown:
            message = f"{where}: {len(unknown)} of {len(found)} names are no cases of the store: {some(unknown)}"
            raise DataError(message, hint=self._hint(unknown))
        return {name: item for name, item in found.items() if item is not None}

    def _hint(self, unknown: Sequence[str]) -> str:
        bare = {_without_zeros(case): case for case in sorted(self._cases)}
        spoiled = next((name for name in unknown if _without_zeros(name) in bare), None)
        if spoiled is not None:
            return (
                f"'{spoiled}' was '{bare[_without_zeros(spoiled)]}' before a spreadsheet program took it for a number: "
                "format the column as text, restore the ids, save again"
            )
        return f"names are compared letter by letter; the store has {len(self._cases)} cases: {some(self._cases)}"


def some(names: Iterable[str]) -> str:
    """Return the first few names, sorted."""
    known = sorted(names)
    return ", ".join(known[:5]) + (" ..." if len(known) > 5 else "")


def _text(path: Path) -> str:
    try:
        return composed(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        message = f"no file '{path}'"
        raise DataError(message, hint="check the path") from None
    except UnicodeDecodeError as error:
        message = f"'{path}' is not UTF-8 text: {error}"
        raise DataError(message, hint="save it as UTF-8 (spreadsheet programs call it 'CSV UTF-8')") from None


def _without_zeros(name: str) -> str:
    return name.removesuffix(".0").lstrip("0")
