"""Who misses what, at chosen unequal rates: for research on data that are complete."""

from collections import Counter, defaultdict
from dataclasses import dataclass

from hga_cli.core.combinations import Combination, all_combinations
from hga_cli.core.errors import UsageError
from hga_cli.core.settings import Imbalance
from hga_cli.data.imbalance import ImbalanceTable, draw_presence, parse_rates, rates_name, realised_rates
from hga_cli.data.store import Store, save_table


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """A table and what came of the wish."""

    table: ImbalanceTable
    is_new: bool
    wanted: dict[str, float]
    realised: dict[str, float]
    """Share of the training cases that cannot use a modality, truly absent ones included."""
    counts: dict[Combination, int]
    """How many cases have exactly this combination."""


def make_imbalance(store: Store, settings: Imbalance, split_name: str | None) -> Report:
    """Draw a table for the training part of a split and keep it in the store.

    Raises:
        UsageError: no rates, or rates that cannot be read.
        DataError: no such split, or another table has this name.
    """
    if settings.rates is None:
        message = "no missing rates given"
        raise UsageError(message, hint="for example --rates t1=0.2,t2=0.8 or, for BraTS, --rates mr2468")
    digits = store.description.digits
    rates = parse_rates(settings.rates, digits)
    split = store.split(split_name)
    units: dict[str, list[str]] = defaultdict(list)
    for case in split.train:
        units[store.cases[case].subject if settings.unit == "subject" else case].append(case)
    present = {case: store.cases[case].modalities for case in split.train}
    names = sorted(units)
    flags = draw_presence(
        [[present[case] for case in units[name]] for name in names],
        rates=rates,
        patterns=store.description.imbalance.patterns,
        rule=settings.rule,
        seed=settings.seed,
    )
    row_of = {case: flags[index] for index, name in enumerate(names) for case in units[name]}
    columns = [digits.index(modality) for modality in store.modalities]
    cases = sorted(split.train)
    table = ImbalanceTable(
        name=settings.name or rates_name(rates, digits),
        cases=cases,
        modalities=store.modalities,
        available=[tuple(bool(row_of[case][column]) for column in columns) for case in cases],
        about={
            "rates": rates,
            "rule": settings.rule,
            "unit": settings.unit,
            "seed": settings.seed,
            "split": split.name,
        },
    )
    found = Counter(table.available_of(case, present[case]) for case in cases)
    return Report(
        table=table,
        is_new=save_table(store.path, table),
        wanted={modality: rates[modality] for modality in store.modalities},
        realised=realised_rates(table, present),
        counts={combination: found[combination] for combination in all_combinations(store.modalities)},
    )
