"""What to expect of a model: the Dice it reached on cases it was not trained on, for each combination.

Cases without a structure do not count in an evaluation, whatever its convention gives them: they would promise accuracy
where there was nothing to find. In validation those count as 0 in which it was predicted nevertheless.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np

from hga_cli.core.combinations import Combination, combination_name, in_order

Scores = Mapping[str, float | None]
"""region -> Dice, None where it was in no case."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Addition:
    """The absent modality that would help most."""

    modality: str
    region: str
    """The region that would gain most."""
    before: float
    after: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Expectation:
    """Mean Dice per combination and region."""

    measured_on: str
    """``validation`` (while it was trained) or ``test``."""
    dice: Mapping[str, Scores]
    """Name of a combination -> region -> Dice."""

    @classmethod
    def from_contest(cls, contest: Mapping[str, Any]) -> Self | None:
        """Read the latest validation out of a checkpoint; None where there was none."""
        latest = contest.get("latest")
        return cls(measured_on="validation", dice=latest["combinations"]) if latest else None

    @classmethod
    def from_metrics(cls, document: Mapping[str, Any]) -> Self:
        """Read ``metrics.json`` of an evaluation: the mean Dice over cases in which a structure exists."""
        rows = document["combinations"].items()
        table = {name: {region: score["dice_with_structure"] for region, score in row.items()} for name, row in rows}
        return cls(measured_on=str(document["split"]), dice=table)

    def as_tree(self) -> dict[str, Any]:
        """Return plain values, for a model file."""
        return asdict(self)

    def of(self, combination: Combination) -> dict[str, float] | None:
        """Return region -> Dice for a combination; None where it was not measured."""
        scores = self.dice.get(combination_name(combination), {})
        return {region: dice for region, dice in scores.items() if dice is not None} or None

    def best_addition(self, combination: Combination, modalities: Combination) -> Addition | None:
        """Return the absent modality that raises the mean Dice most; None where none does, or nothing is known."""
        before = self.of(combination)
        if before is None:
            return None
        best, most = None, 0.0
        for name in modalities:
            after = {} if name in combination else self.of(in_order((*combination, name), modalities)) or {}
            gains = {region: after[region] - before[region] for region in before if region in after}
            if gains and np.mean(list(gains.values())) > most:
                region = max(gains, key=lambda one: gains[one])
                most = float(np.mean(list(gains.values())))
                best = Addition(modality=name, region=region, before=before[region], after=after[region])
        return best
