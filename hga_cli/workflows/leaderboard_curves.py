"""What entries reached in validation while they were trained, over optimiser steps."""

from collections.abc import Iterable, Mapping
from statistics import fmean
from typing import Any

from hga_cli.reporting.facts import averaged_regions
from hga_cli.workflows.leaderboard_entry import Entry, mean

Table = Mapping[str, Mapping[str, float | None]]
"""Combination -> region -> Dice."""
RULES = ("combinations", "cases", "overlap")
"""Settings of ``validation`` that runs must share for their curves to be compared."""


def curve_of(entry: Entry) -> dict[str, Any] | None:
    """Return the Dice of an entry in validation, averaged as on the board: over combinations, regions, and seeds.

    Returns:
        ``steps`` of the optimiser at which all its seeds were validated; at each of them ``dice`` over all
        ``combinations``, and ``rarest`` over ``with_rarest``, those with a modality that most training cases lack (NaN
        where there is none, or a seed does not know it); ``rules`` of the validation. None: there is no such step.
    """
    seeds = [{line["step"]: line["validation"]["combinations"] for line in run.validations} for run in entry.runs]
    steps = sorted(set.intersection(*map(set, seeds)))
    if not steps:
        return None
    names = list(seeds[0][steps[0]])
    with_rarest, regions = entry.with_rarest(names), averaged_regions(entry.runs[0].metrics)
    return {
        "steps": steps,
        "combinations": names,
        "with_rarest": with_rarest,
        "dice": [fmean(_dice(tables[step], names, regions) for tables in seeds) for step in steps],
        "rarest": [fmean(_dice(tables[step], with_rarest, regions) for tables in seeds) for step in steps],
        "rules": {key: entry.settings.get(f"validation.{key}") for key in RULES},
    }


def _dice(table: Table, combinations: Iterable[str], regions: Iterable[str]) -> float:
    """Return the mean over regions of the means over combinations, of what is known."""
    chosen = [table[name] for name in combinations]
    return mean(mean(row[region] for row in chosen) for region in regions)
