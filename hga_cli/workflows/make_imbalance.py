"""Who misses what, at chosen unequal rates: for research on data that are complete."""

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from hga_cli.core.catalog import shipped
from hga_cli.core.combinations import Combination, all_combinations
from hga_cli.core.errors import DataError, UsageError
from hga_cli.core.progress import Progress, Silent
from hga_cli.core.settings import Imbalance
from hga_cli.data.imbalance import ImbalanceTable, crowding, draw_presence, name_of, realised_rates
from hga_cli.data.listed_splits import read_lists
from hga_cli.data.lists import Item, Roll, read_names, some
from hga_cli.data.rates import most_possible, parse_rates, rates_in_words, rates_name
from hga_cli.data.raw.description import Description
from hga_cli.data.store import Store, save_table
from hga_cli.data.table_files import read_table_file
from hga_cli.workflows.table_output import TableOutput

MUCH = 0.05
"""Share of the units that rare patterns may take beyond their expected number before it is told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """A table and what came of the wish."""

    table: ImbalanceTable
    is_new: bool
    """False: the same one was in the store."""
    wanted: dict[str, float]
    """Missing rates; nothing where the table was read."""

    @property
    def realised(self) -> dict[str, float]:
        """Share of the rows that cannot use a modality, truly absent ones included; rows with nothing do not count."""
        return realised_rates(self.table)

    @property
    def means(self) -> tuple[float | None, float]:
        """Means of the wanted rates (None: none wanted) and of the realised ones."""
        wanted = sum(self.wanted.values()) / len(self.wanted) if self.wanted else None
        return wanted, sum(self.realised.values()) / len(self.realised)

    @property
    def bound(self) -> dict[str, float | None]:
        """Mean of the wanted rates (None: none wanted), and the most that can be, since each unit keeps something."""
        return {"mean": self.means[0], "most": most_possible(len(self.table.modalities))}

    @property
    def counts(self) -> dict[Combination, int]:
        """How many rows have exactly this combination, for all combinations."""
        found = Counter(self.table.rows().values())
        return {combination: found[combination] for combination in all_combinations(self.table.modalities)}

    @property
    def nothing(self) -> int:
        """How many rows have nothing; training leaves them out."""
        return sum(not any(row) for row in self.table.available)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """What a table is drawn for."""

    unit_of: dict[str, str]
    """Row (case or slice) -> what is drawn together with it."""
    present: dict[str, Combination]
    """Row -> what it really has."""
    about: dict[str, Any]


def make_imbalance(
    store: Store,
    settings: Imbalance,
    split_name: str | None,
    progress: Progress | None = None,
    *,
    output: TableOutput | None = None,
) -> Report:
    """Draw a table for the training part of a split and keep it in the store, and in a file if that is wanted.

    Raises:
        UsageError: no rates, or rates that cannot be read, or a folder where a file should be.
        DataError: no such split, or another table has this name, or another file. Nothing was written then.
    """
    progress = progress or Silent()
    split = store.split(split_name)
    items: list[Item] = [(case, None) for case in split.train]
    if settings.unit == "slice":
        items = _slices_with_labels(store, split.train)
        progress.say(f"unit slice: {len(items)} axial slices with labels, of {len(split.train)} training cases")
    rows = Rows(
        unit_of={name_of(item): _unit(store, item, settings.unit) for item in items},
        present={name_of(item): store.cases[item[0]].modalities for item in items},
        about={"unit": settings.unit, "split": split.name},
    )
    return _kept(_drawn(rows, store.description, settings, progress), store.description, store=store, output=output)


def imbalance_of_names(
    source: str,
    description: Description,
    settings: Imbalance,
    progress: Progress | None = None,
    *,
    store: Store | None,
    output: TableOutput | None = None,
) -> Report:
    """Draw a table for names, or read a table that names them; keep it in a store or a file, if there is one.

    Args:
        source: a file with one name a line, a table (``.csv``), or a shipped split (its training part).
        description: modalities, and what names mean.
        settings: rates, rule, seed; the units are the names.
        progress: told about doubts.
        store: where the table is kept, under the ids of its cases; None: nowhere.
        output: the file it is written to; None: none.

    Raises:
        UsageError: no rates for names, or rates for a table, or a folder where a file should be.
        DataError: the file cannot be read, its names are no cases of the store, or another table has this name, or
            another file is where this one should be. Nothing was written then.
    """
    progress, known = progress or Silent(), shipped("presets/splits")
    if Path(source).suffix.lower() == ".csv":
        if settings.rates is not None:
            message = f"'{source}' is a table and says who misses what; rates are given too"
            raise UsageError(message, hint="leave out the rates, or name a text file with one name a line")
        report = Report(table=read_table_file(Path(source), description, progress), is_new=True, wanted={})
    else:
        names = read_lists(source).parts["train"] if source in known else read_names(Path(source))
        if len(set(names)) != len(names):
            message = f"'{source}' repeats {some(name for name, count in Counter(names).items() if count > 1)}"
            raise DataError(message, hint="keep each name once")
        has = dict.fromkeys(names, description.modalities)
        if store is not None:
            found = Roll(description, store.cases).find_all(names, source)
            has = {name: store.cases[case].modalities for name, (case, _) in found.items()}
        rows = Rows(unit_of={name: name for name in names}, present=has, about={"names": Path(source).name})
        report = _drawn(rows, description, settings, progress)
    if store is not None:
        table = _in_ids_of(store, report.table, source)
        report = replace(report, table=replace(table, name=settings.name or table.name))
    return _kept(report, description, store=store, output=output)


def _drawn(rows: Rows, description: Description, settings: Imbalance, progress: Progress) -> Report:
    if settings.rates is None:
        message = "no missing rates given"
        raise UsageError(message, hint="for example --rates t1=0.2,t2=0.8 or, for BraTS, --rates mr2468")
    rates = parse_rates(settings.rates, description.digits)
    cases: dict[str, list[str]] = defaultdict(list)
    for row, unit in rows.unit_of.items():
        cases[unit].append(row)
    units = sorted(cases)
    _tell(rates, len(units), description, settings, progress)
    flags = draw_presence(
        [[rows.present[row] for row in cases[unit]] for unit in units],
        rates=rates,
        patterns=description.imbalance.patterns,
        rule=settings.rule,
        empty=settings.empty,
        seed=settings.seed,
    )
    kept = {
        row: {name for name, flag in zip(rates, flags[place], strict=True) if flag} & set(rows.present[row])
        for place, unit in enumerate(units)
        for row in cases[unit]
    }
    table = ImbalanceTable(
        name=settings.name or rates_name(rates),
        cases=sorted(kept),
        modalities=description.modalities,
        available=[tuple(modality in kept[row] for modality in description.modalities) for row in sorted(kept)],
        about={
            "rates": rates,
            "rule": settings.rule,
            "empty": settings.empty,
            "seed": settings.seed,
            **rows.about,
        },
    )
    return Report(table=table, is_new=True, wanted={modality: rates[modality] for modality in description.modalities})


def _tell(
    rates: Mapping[str, float], units: int, description: Description, settings: Imbalance, progress: Progress
) -> None:
    """Say what the rates mean, and where they cannot be reached."""
    progress.say(rates_in_words(rates))
    mean, most = sum(rates.values()) / len(rates), most_possible(len(rates))
    if mean > most + 1e-9:
        progress.warn(
            f"the wanted rates have mean {mean:.2f}; {most:.2f} is the most that {len(rates)} modalities allow, since "
            "each case keeps at least one: the realised rates will be lower"
        )
    patterns, crowd = crowding(units, rates, description.imbalance.patterns)
    if settings.rule == "expected" and (units < patterns or crowd > MUCH * units):
        progress.warn(
            f"{units} units for {patterns} patterns of presence, each of which gets at least one: rare patterns take "
            f"{crowd:.1f} units more than expected, so the realised rates are off; --rule bernoulli does not do this"
        )


def _kept(report: Report, description: Description, *, store: Store | None, output: TableOutput | None) -> Report:
    """Keep the table in the store and in the file; where one cannot be, in neither."""
    if output is not None:
        output.require_free(report.table, description)
    if store is not None:
        report = replace(report, is_new=save_table(store.path, report.table))
    if output is not None:
        output.write(report.table, description)
    return report


def _unit(store: Store, item: Item, unit: str) -> str:
    return store.cases[item[0]].subject if unit == "subject" else name_of(item)


def _slices_with_labels(store: Store, cases: list[str]) -> list[Item]:
    """Return the axial slices with labels: numbers along S in the whole canonical volume, from 0."""
    items: list[Item] = []
    for case in cases:
        trail = store.trail(case)
        labelled = np.flatnonzero(trail.crop(store.reference(case)).any(axis=(0, 1)))
        items += [(case, trail.start[2] + int(number)) for number in labelled]
    if not items:
        message = f"no training case of store '{store.path}' has a label"
        raise DataError(message, hint="use --unit case, or preprocess cases with labels")
    return items


def _in_ids_of(store: Store, table: ImbalanceTable, source: str) -> ImbalanceTable:
    """Return the table under the ids of a store; what its cases lack is not available."""
    found = Roll(store.description, store.cases).find_all(table.cases, source)
    units = {"case" if number is None else "slice" for _, number in found.values()}
    if len(units) > 1:
        message = f"'{source}' names whole cases and slices"
        raise DataError(message, hint="make one table of cases and another of slices")
    rows = {
        name_of(item): tuple(
            flag and modality in store.cases[item[0]].modalities
            for modality, flag in zip(table.modalities, table.available[place], strict=True)
        )
        for place, item in enumerate(found.values())
    }
    if len(rows) < len(found):
        message = f"'{source}' has several names for one case of the store"
        raise DataError(message, hint="keep each case once")
    names = sorted(rows)
    about = {**table.about, "unit": units.pop()}
    return replace(table, cases=names, available=[rows[name] for name in names], about=about)
