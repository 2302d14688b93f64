"""Imbalance tables as CSV files.

Our layout: a column ``case`` and one column of 0 and 1 per modality. The published layout (HGA, PASSION): columns
``data_name,mask_id,mask,pos_mask_ids`` with one flag per modality in ``mask``, the number of the combination, and the
numbers of all combinations that are part of it; CRLF ends a line, and a unit with nothing available has none.
"""

import ast
import csv
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from hga_cli.core.atomic import replacing
from hga_cli.core.combinations import Combination, combination_name, in_order
from hga_cli.core.errors import DataError
from hga_cli.core.progress import Progress
from hga_cli.data.imbalance import ImbalanceTable
from hga_cli.data.lists import Row, read_rows, some
from hga_cli.data.raw.description import Description

PUBLISHED = ("data_name", "mask_id", "mask", "pos_mask_ids")


def write_table_file(path: Path, table: ImbalanceTable, description: Description, *, published: bool) -> None:
    """Write a table as a CSV file, in our layout or in the published one."""
    rows, end = (_published_rows(table, description), "\r\n") if published else (_own_rows(table), "\n")
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator=end).writerows(rows)


def read_table_file(path: Path, description: Description, progress: Progress) -> ImbalanceTable:
    """Read a table from a CSV file; the columns tell the layout.

    Ids of parts (``pos_mask_ids``) that do not follow from the mask are told, not refused: the published table of
    MSSEG has such.

    Raises:
        DataError: the file cannot be read, has neither layout, names something twice, or has a wrong cell.
    """
    rows = read_rows(path)
    columns = list(rows[0].cells)
    if set(columns) >= set(PUBLISHED):
        read: Callable[[Row, Description], Combination] = _read_published
        doubtful = [row.where for row in rows if not _parts_follow(row, description)]
        if doubtful:
            progress.warn(f"pos_mask_ids do not follow from mask in {len(doubtful)} rows ({doubtful[0]}); mask counts")
    elif sorted(columns) == sorted(["case", *description.modalities]):
        read = _read_own
    else:
        message = f"'{path}' has the columns {', '.join(columns)}"
        expected = f"case,{','.join(description.modalities)}"
        raise DataError(message, hint=f"expected {expected}, or as published {','.join(PUBLISHED)}")
    names = [row.cell("case", "data_name") for row in rows]
    if twice := [name for name, count in Counter(names).items() if count > 1]:
        message = f"'{path}' names {some(twice)} more than once"
        raise DataError(message, hint="keep one line for each")
    flags = [_flags(read(row, description), description.modalities) for row in rows]
    return ImbalanceTable(
        name=path.stem, cases=names, modalities=description.modalities, available=flags, about={"from": path.name}
    )


def _own_rows(table: ImbalanceTable) -> list[list[Any]]:
    rows = [[name, *map(int, flags)] for name, flags in zip(table.cases, table.available, strict=True)]
    return [["case", *table.modalities], *rows]


def _published_rows(table: ImbalanceTable, description: Description) -> list[list[Any]]:
    rows: list[list[Any]] = [list(PUBLISHED)]
    for name, has in table.rows().items():
        if has:
            number = description.numbered.index(has)
            rows.append([name, number, list(_flags(has, table.modalities)), _parts(has, description)])
    return rows


def _parts(combination: Combination, description: Description) -> list[int]:
    """Return the numbers of all combinations that are part of this one, itself included, ascending."""
    return [number for number, part in enumerate(description.numbered) if set(part) <= set(combination)]


def _flags(combination: Iterable[str], modalities: Sequence[str]) -> tuple[bool, ...]:
    return tuple(modality in combination for modality in modalities)


def _read_own(row: Row, description: Description) -> Combination:
    for modality in description.modalities:
        if row.cells[modality] not in ("0", "1"):
            message = f"{row.where}: {modality} is '{row.cells[modality]}', expected 0 or 1"
            raise DataError(message, hint="1: the case may use this modality; 0: it misses it")
    return in_order((name for name in description.modalities if row.cells[name] == "1"), description.modalities)


def _read_published(row: Row, description: Description) -> Combination:
    mask, count = _literal(row, "mask"), len(description.modalities)
    if not isinstance(mask, list) or len(mask) != count or not all(isinstance(flag, bool) for flag in mask):
        message = f"{row.where}: mask is '{row.cells['mask']}', expected {count} times True or False in brackets"
        raise DataError(message, hint=f"one for each of {', '.join(description.modalities)}, in this order")
    has = tuple(name for name, flag in zip(description.modalities, mask, strict=True) if flag)
    number = _literal(row, "mask_id")
    if not has or number != description.numbered.index(has):
        found = f"mask_id {number} and mask {combination_name(has) or 'with nothing in it'}"
        message = f"{row.where}: {found} do not belong together"
        known = ", ".join(f"{place} {combination_name(one)}" for place, one in enumerate(description.numbered))
        raise DataError(message, hint=f"ids of data set '{description.name}': {known}")
    return has


def _parts_follow(row: Row, description: Description) -> bool:
    parts: bool = _literal(row, "pos_mask_ids") == _parts(_read_published(row, description), description)
    return parts


def _literal(row: Row, column: str) -> Any:
    """Read a number, or a list of flags or numbers; nothing is evaluated."""
    try:
        return ast.literal_eval(row.cells[column])
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        message = f"{row.where}: cannot read {column} '{row.cells[column]}'"
        raise DataError(message, hint='expected as in: 10,"[True, True, True, False]","[1, 2, 3]"') from None
