"""What the training cases of a run had: missing rates as they were wanted and as they came out."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from hga_cli.core.combinations import Combination, all_combinations, combination_name, dots
from hga_cli.core.digest import digest
from hga_cli.core.errors import DataError
from hga_cli.data.store import Store
from hga_cli.reporting.facts import RunFacts
from hga_cli.reporting.markup import Markup, element
from hga_cli.reporting.tables import plain_table


@dataclass(frozen=True, slots=True, kw_only=True)
class Presence:
    """Who had what in a training."""

    table: str
    """Name of the imbalance table, or ``none``."""
    unit: str
    """``cases`` or ``slices``."""
    modalities: Combination
    wanted: Mapping[str, float]
    """modality -> missing rate that was asked for; empty where no table was used."""
    available: Mapping[str, Combination]
    """Training case (or slice) -> what could be used of it."""

    @classmethod
    def of(cls, facts: RunFacts, store: Store) -> "Presence":
        """Read it from the store that a run was trained on.

        Raises:
            DataError: split or table are gone, or are not those of the training any more.
        """
        data = facts.config["data"]
        split, table = store.split(data["split"]), store.table(data["imbalance"])
        present = {case: store.cases[case].modalities for case in split.train}
        found = table.available_of(present) if table else present
        available = {name: has for name, has in found.items() if has}
        recorded = facts.about.get("sources", {}).get("available")
        if recorded not in (None, digest(available)):
            message = f"store '{store.path}' has another split '{split.name}' or table than the run was trained with"
            raise DataError(message, hint="they were made again since; train again to compare")
        return cls(
            table=data["imbalance"],
            unit="slices" if table and table.by_slice else "cases",
            modalities=store.modalities,
            wanted=(table.about.get("rates") or {}) if table else {},
            available=available,
        )

    def realised(self, modality: str) -> float:
        """Return the share of cases that lack a modality."""
        return sum(modality not in has for has in self.available.values()) / len(self.available)

    def shown(self) -> Markup:
        """Return two tables: missing rates, and how many cases have each combination."""
        total, counts = len(self.available), Counter(self.available.values())
        what = f"imbalance table '{self.table}'" if self.table != "none" else "no imbalance table: what the cases have"
        rates = [
            [name, f"{self.wanted[name]:.2f}" if name in self.wanted else "-", f"{self.realised(name):.2f}"]
            for name in self.modalities
        ]
        owners = [
            [f"{dots(one, self.modalities)} {combination_name(one)}", str(counts[one]), f"{counts[one] / total:.0%}"]
            for one in all_combinations(self.modalities)
            if counts[one]
        ]
        tables = [
            plain_table("Missing rates", ["modality", "wanted", "realised"], rates),
            plain_table("Available combinations", ["combination", self.unit, "share"], owners),
        ]
        without = 2 ** len(self.modalities) - 1 - len(owners)
        return element(
            "div",
            element("p", f"{total} training {self.unit}, {what}."),
            element("div", *tables, class_="side-by-side"),
            element("p", f"Nobody has one of the other {without} combinations.", class_="quiet"),
        )
