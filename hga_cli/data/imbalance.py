"""Imbalance tables: who misses what, at chosen unequal rates. A table can only hide more than a case already lacks.

The rule "expected" is the procedure behind the published BraTS tables (Shi et al., PASSION, ACM Multimedia 2024, and
HGA), for any number of modalities: patterns of presence get blocks of their expected size, what is left over is drawn
at random, and all is shuffled. Ours departs in two points, and reproduces all published tables row by row: a pattern
of probability 0 never occurs, and a unit is drawn again while *none of what it really has* would be left.

The rule "bernoulli" draws each modality of each unit on its own; with units that keep nothing left out instead of drawn
again it is the procedure behind the published table of MSSEG.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hga_cli.core.combinations import Combination, in_order
from hga_cli.core.errors import DataError
from hga_cli.data.lists import Item, some

Presence = NDArray[np.bool_]
SLICE = "_slice_"


@dataclass(frozen=True, slots=True, kw_only=True)
class ImbalanceTable:
    """Case, or slice of a case -> which modalities may be used."""

    name: str
    cases: list[str]
    """Ids of cases, or names of slices (``<case>_slice_<number>``)."""
    modalities: Combination
    available: list[tuple[bool, ...]]
    """(N, M) in the order of ``cases`` and ``modalities``; a row may be empty."""
    about: dict[str, Any] = field(default_factory=dict)
    """How it was made: wanted rates, rule, unit, seed, split."""

    @property
    def by_slice(self) -> bool:
        """Whether the rows are slices."""
        return self.about.get("unit") == "slice"

    def rows(self) -> dict[str, Combination]:
        """Return what the table leaves to each of its rows."""
        return {
            case: tuple(modality for modality, flag in zip(self.modalities, row, strict=True) if flag)
            for case, row in zip(self.cases, self.available, strict=True)
        }

    def available_of(self, present: Mapping[str, Combination]) -> dict[str, Combination]:
        """Return what the rows of some cases may use; nothing, where the table leaves nothing.

        A case may have no slice in a table of slices; in a table of cases it must have its row.

        Args:
            present: case -> what it really has.

        Raises:
            DataError: a case is not in the table, or has nothing of what the table leaves to it.
        """
        rows = self.rows()
        case_of = {name: item_of(name)[0] if self.by_slice else name for name in rows}
        if not self.by_slice and (absent := set(present) - set(rows)):
            message = f"imbalance table '{self.name}' has no row for {len(absent)} training cases: {some(absent)}"
            raise DataError(message, hint="make a table for this split: hga make-imbalance")
        kept = {name: has for name, has in rows.items() if case_of[name] in present}
        usable = {name: in_order(set(has) & set(present[case_of[name]]), self.modalities) for name, has in kept.items()}
        if lost := [name for name, has in kept.items() if has and not usable[name]]:
            message = f"training cases are left without any modality: {some(lost)}"
            hint = "they changed since the imbalance table was made: hga make-imbalance --name NAME"
            raise DataError(message, hint=hint)
        return usable


def name_of(item: Item) -> str:
    """Return the name of a row: the case, or ``<case>_slice_<number>``."""
    case, number = item
    return case if number is None else f"{case}{SLICE}{number}"


def item_of(name: str) -> tuple[str, int]:
    """Return the case and number of a name of a slice."""
    case, _, number = name.rpartition(SLICE)
    return case, int(number)


def draw_presence(
    present: Sequence[Sequence[Combination]],
    *,
    rates: Mapping[str, float],
    patterns: Sequence[str],
    rule: str,
    empty: str,
    seed: int,
) -> Presence:
    """Draw which modalities each unit keeps.

    Args:
        present: for each unit, in sorted order, what each of its cases really has.
        rates: missing rate of each modality, in the order of the digits.
        patterns: order in which patterns are visited, as in a data set description; empty: binary, downwards.
        rule: ``expected`` or ``bernoulli``.
        empty: ``redraw`` units that would keep nothing, or ``drop`` them: they keep nothing.
        seed: of numpy's legacy generator, as published.

    Returns:
        (N, M) flags, columns in the order of ``rates``.
    """
    generator = np.random.RandomState(seed)
    missing = np.array(list(rates.values()))
    total = len(present)
    uniforms = np.stack([generator.uniform(size=total) for _ in rates], axis=1)
    if rule == "bernoulli":
        flags = uniforms > missing
    else:
        flags = _blocks(total, rates, patterns)
        order = np.arange(total)
        generator.shuffle(order)
        flags = flags[order]
    if empty == "redraw":
        names = list(rates)
        for unit, cases in enumerate(present):
            leaves = _leaves_something(cases, names)
            while not leaves(flags[unit]):
                flags[unit] = [generator.uniform() > rate for rate in missing]
    return flags


def crowding(total: int, rates: Mapping[str, float], patterns: Sequence[str]) -> tuple[int, float]:
    """Return how many patterns are possible, and how many units more than expected the rare ones get together."""
    sizes = [size for _, size in _expected(total, rates, patterns) if size > 0]
    return len(sizes), sum(max(0.0, 1 - size) for size in sizes)


def realised_rates(table: ImbalanceTable) -> dict[str, float]:
    """Return the share of the rows that lack each modality; rows with nothing do not count."""
    rows = [has for has in table.rows().values() if has]
    return {modality: sum(modality not in has for has in rows) / max(1, len(rows)) for modality in table.modalities}


def _expected(total: int, rates: Mapping[str, float], patterns: Sequence[str]) -> list[tuple[Presence, float]]:
    """Return the patterns of presence, (M,) flags, each with its expected number of units."""
    missing = np.array(list(rates.values()))
    found = []
    for pattern in patterns or _downwards(len(missing)):
        here = np.array([bit == "1" for bit in pattern])
        size = float(total)
        for share in np.where(here, 1 - missing, missing):
            size *= float(share)
        found.append((here, size))
    return found


def _blocks(total: int, rates: Mapping[str, float], patterns: Sequence[str]) -> Presence:
    """Return (N, M) flags: each pattern fills a block of its expected size, at least one; the rest has nothing."""
    flags = np.zeros((total, len(rates)), dtype=bool)
    filled = 0
    for here, expected in _expected(total, rates, patterns):
        size = 0 if expected == 0 else max(1, int(expected))
        flags[filled : filled + size] = here
        filled += size
    return flags


def _downwards(modalities: int) -> list[str]:
    return ["".join(bits) for bits in product("10", repeat=modalities) if "1" in bits]


def _leaves_something(cases: Sequence[Combination], names: Sequence[str]) -> Callable[[Presence], bool]:
    has = np.array([[name in case for name in names] for case in cases])
    return lambda flags: bool((has & flags).any(axis=1).all())
