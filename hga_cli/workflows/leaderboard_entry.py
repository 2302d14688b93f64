"""What runs reached that differ in nothing but their seed, and whether that is more than a baseline reached."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import nan
from statistics import fmean, stdev
from typing import Any

from hga_cli.core.combinations import Combination
from hga_cli.core.digest import digest
from hga_cli.reporting.facts import Document, averaged_regions, flat_settings
from hga_cli.reporting.heat_map import is_known
from hga_cli.workflows.compare import SCORES, compare
from hga_cli.workflows.resume import FREE_ON_RESUME, SECTIONS_OF_TRAINING

REFERENCE = ("joint", "equal")
"""Method and balancer of the baseline."""
ALL_REGIONS = "mean of regions"
"""Stands for a region where those that count in means count alike."""
OF_METHOD = ("method.", "optim.balancer")
"""How settings begin in which a run may differ from its baseline without any doubt about the comparison."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """A run that was trained to its end and scored."""

    name: str
    config: Document
    """``config.toml``."""
    sources: Document
    """Hashes of what it was trained on."""
    metrics: Document
    """``metrics.json``."""
    validations: Sequence[Document]
    """The lines of ``journal.jsonl`` with a validation."""
    rarest: Combination
    """The modalities that most training cases lack; empty where all are lacking alike, or nobody knows."""

    @property
    def seed(self) -> int:
        """The seed of its training."""
        return int(self.config["seed"])

    @property
    def settings(self) -> dict[str, Any]:
        """Return what it was trained and scored with, but for its seed: dotted key -> value."""
        trained = {name: self.config[name] for name in SECTIONS_OF_TRAINING if name != "seed"}
        flat = flat_settings({**trained, "evaluation": self.metrics["origin"]["settings"]})
        return {key: value for key, value in flat.items() if key not in FREE_ON_RESUME}

    @property
    def kind(self) -> str:
        """Return a hash that runs share which differ in their seed only."""
        return digest([self.settings, self.sources.get("available")])

    def value(self, score: str, combinations: Iterable[str]) -> float:
        """Return the mean over regions of the means over combinations, of what is known."""
        table, chosen = self.metrics["combinations"], list(combinations)
        return mean(mean(table[name][region][score] for name in chosen) for region in averaged_regions(self.metrics))


@dataclass(frozen=True)
class Entry:
    """Runs that differ in their seed only, at least one, by seed."""

    runs: Sequence[Scored]

    @cached_property
    def settings(self) -> dict[str, Any]:
        """What all runs share: dotted key -> value."""
        return self.runs[0].settings

    @property
    def columns(self) -> dict[str, str]:
        """What usually varies in a sweep."""
        keys = {
            "method": "method.name",
            "balancer": "optim.balancer",
            "backbone": "network.backbone",
            "imbalance": "data.imbalance",
        }
        return {name: str(self.settings[key]) for name, key in keys.items()}

    @property
    def is_baseline(self) -> bool:
        """Whether others are compared with it."""
        return (self.columns["method"], self.columns["balancer"]) == REFERENCE

    def numbers(self) -> dict[str, Any]:
        """Return means over seeds (Dice as a share, HD95 in mm), their spread, and the worst combination."""
        names = list(self.runs[0].metrics["combinations"])
        rarest = self.runs[0].rarest
        with_rarest = self.with_rarest(names)
        table = {name: mean(run.value("dice", [name]) for run in self.runs) for name in names}
        known = [name for name in names if is_known(table[name])]
        worst = min(known, key=lambda name: table[name]) if known else None
        of_seeds = [run.value("dice", names) for run in self.runs]
        return {
            "runs": [run.name for run in self.runs],
            "seeds": [run.seed for run in self.runs],
            "dice": mean(of_seeds),
            "dice_sd": stdev(of_seeds) if len(of_seeds) > 1 and all(map(is_known, of_seeds)) else nan,
            "hd95": mean(run.value("hd95", names) for run in self.runs),
            "rarest": {"modalities": list(rarest), "dice": mean(run.value("dice", with_rarest) for run in self.runs)},
            "worst": {"combination": worst, "dice": table[worst] if worst else nan},
            "combinations": table,
            "regions": {region: self._of_region(region) for region in self.runs[0].metrics["mean"]},
        }

    def with_rarest(self, combinations: Iterable[str]) -> list[str]:
        """Return those of the combinations that contain a modality that most training cases lack."""
        return [name for name in combinations if set(self.runs[0].rarest) & set(name.split("+"))]

    def against(self, baseline: "Entry") -> dict[str, Any]:
        """Return the paired differences to a baseline: region -> score -> see ``workflows.compare``.

        Pairs are cases under the same combination; each value is the mean over the seeds of an entry.
        """
        regions: dict[str, Any] = compare(self._averaged(), baseline._averaged(), skip=True)["regions"]
        return regions

    def _of_region(self, region: str) -> dict[str, float]:
        return {score: mean(run.metrics["mean"][region][score] for run in self.runs) for score in SCORES}

    def _averaged(self) -> dict[str, Any]:
        """Return a document of ``metrics.json`` with the means over seeds, and those over regions as one more."""
        values: dict[tuple[str, str, str], dict[str, list[Any]]] = defaultdict(lambda: defaultdict(list))
        subjects = {}
        for run in self.runs:
            averaged = averaged_regions(run.metrics)
            for row in run.metrics["cases"]:
                subjects[row["case"]] = row["subject"]
                for score in SCORES:
                    values[row["case"], row["combination"], row["region"]][score].append(row[score])
                    if row["region"] in averaged:
                        values[row["case"], row["combination"], ALL_REGIONS][score].append(row[score])
        rows = [
            {
                "case": case,
                "subject": subjects[case],
                "combination": combination,
                "region": region,
                **{score: _or_none(mean(numbers)) for score, numbers in found.items()},
            }
            for (case, combination, region), found in values.items()
        ]
        first = self.runs[0].metrics
        return {"conventions": first["conventions"], "mean": {ALL_REGIONS: {}, **first["mean"]}, "cases": rows}


def baseline_of(entry: Entry, entries: Sequence[Entry]) -> Entry | None:
    """Return what an entry is compared with: ``joint`` with the sum of losses, on the same cases and backbone.

    Of several the one that differs least in the settings that belong to no method, and then the one that is first.
    """
    fitting = [
        other
        for other in entries
        if other.is_baseline
        and other.runs[0].sources.get("available") == entry.runs[0].sources.get("available")
        and _network(other) == _network(entry)
    ]
    if entry in fitting:
        return None
    return min(fitting, key=lambda other: len(different(entry, other)), default=None)


def different(entry: Entry, other: Entry) -> dict[str, tuple[Any, Any]]:
    """Return the settings in which two entries differ, but for method and balancer: key -> its value in each."""
    keys = {**entry.settings, **other.settings}
    pairs = {key: (entry.settings.get(key), other.settings.get(key)) for key in keys if not key.startswith(OF_METHOD)}
    return {key: (own, others) for key, (own, others) in pairs.items() if own != others}


def mean(values: Iterable[float | None]) -> float:
    """Return the mean of what is known; NaN where nothing is."""
    known = [value for value in values if is_known(value)]
    return fmean(known) if known else nan


def _network(entry: Entry) -> dict[str, Any]:
    return {key: value for key, value in entry.settings.items() if key.startswith("network.")}


def _or_none(value: float) -> float | None:
    return value if is_known(value) else None
